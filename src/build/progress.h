#pragma once
// What a build tells while it runs: vertices (units of work with a name), their output, their end.

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "apitypes/build_trace.h"

namespace estiba::build {

/// Takes traces one at a time, from any thread.
class Progress {
 public:
  using Sink = std::function<void(const apitypes::BuildTrace&)>;
  explicit Progress(Sink sink) : sink_(std::move(sink)) {}
  void emit(const apitypes::BuildTrace& trace);
  std::string nextId() { return std::to_string(++last_); }

 private:
  std::mutex mutex_;
  std::atomic<int> last_{0};
  Sink sink_;
};

/// One unit of work. It ends with done(), cached() or fail(); with the object as failed otherwise.
class Vertex {
 public:
  Vertex(Progress& progress, const std::string& name);
  ~Vertex();
  Vertex(const Vertex&) = delete;
  Vertex& operator=(const Vertex&) = delete;
  /// stream: 1 standard output, 2 standard error.
  void log(int stream, std::string_view bytes);
  /// A line of its own: "transferring context: 2B done".
  void status(const std::string& text);
  /// `detail`: what --debug shows below it. After the end too.
  void warn(const std::string& text, const std::string& detail = {});
  void done();
  void cached();
  void fail(const std::string& error);

 private:
  void end(bool cached, const std::string& error);
  Progress& progress_;
  std::string id_;
  bool open_ = true;
};

}  // namespace estiba::build
