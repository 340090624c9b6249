#include "build/progress.h"

#include "base/clock.h"
#include "base/text.h"

namespace estiba::build {

void Progress::emit(const apitypes::BuildTrace& trace) {
  std::lock_guard lock(mutex_);
  sink_(trace);
}

Vertex::Vertex(Progress& progress, const std::string& name) : progress_(progress), id_(progress.nextId()) {
  apitypes::BuildTrace trace;
  trace.vertex = id_;
  trace.name = name;
  trace.started = now().ns;
  progress_.emit(trace);
}

Vertex::~Vertex() {
  if (!open_) return;
  try {
    end(false, "cancelled");
  } catch (const std::exception&) {  // nobody listens any more
  }
}

void Vertex::log(int stream, std::string_view bytes) {
  apitypes::BuildTrace trace;
  trace.vertex = id_;
  trace.stream = stream;
  trace.log = base64Encode(bytes);
  progress_.emit(trace);
}

void Vertex::status(const std::string& text) {
  apitypes::BuildTrace trace;
  trace.vertex = id_;
  trace.status = text;
  progress_.emit(trace);
}

void Vertex::warn(const std::string& text, const std::string& detail) {
  apitypes::BuildTrace trace;
  trace.vertex = id_;
  trace.warning = text;
  if (!detail.empty()) trace.detail = detail;
  progress_.emit(trace);
}

void Vertex::end(bool cached, const std::string& error) {
  open_ = false;
  apitypes::BuildTrace trace;
  trace.vertex = id_;
  trace.completed = now().ns;
  if (cached) trace.cached = true;
  if (!error.empty()) trace.error = error;
  progress_.emit(trace);
}

void Vertex::done() { end(false, ""); }
void Vertex::cached() { end(true, ""); }
void Vertex::fail(const std::string& error) { end(false, error); }

}  // namespace estiba::build
