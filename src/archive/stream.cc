#include "archive/stream.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "sys/file.h"

namespace estiba::archive {

size_t readFully(Source& from, void* to, size_t size) {
  size_t got = 0;
  while (got < size) {
    const size_t n = from.read(static_cast<char*>(to) + got, size - got);
    if (n == 0) break;
    got += n;
  }
  return got;
}

int64_t pump(Source& from, Sink& to) {
  std::vector<char> buffer(256U << 10);
  int64_t total = 0;
  while (const size_t n = from.read(buffer.data(), buffer.size())) {
    to.write(buffer.data(), n);
    total += static_cast<int64_t>(n);
  }
  return total;
}

FdSource::FdSource(Fd fd, std::string name) : owned_(std::move(fd)), fd_(owned_.get()), name_(std::move(name)) {}
FdSource::FdSource(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

size_t FdSource::read(void* to, size_t size) {
  return static_cast<size_t>(sys([&] { return ::read(fd_, to, size); }, "read '{}'", name_));
}

FdSink::FdSink(Fd fd, std::string name) : owned_(std::move(fd)), fd_(owned_.get()), name_(std::move(name)) {}
FdSink::FdSink(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

void FdSink::write(const void* from, size_t size) {
  writeAll(fd_, {static_cast<const char*>(from), size}, name_);
}

size_t StringSource::read(void* to, size_t size) {
  const size_t n = rest_.copy(static_cast<char*>(to), size);
  rest_.remove_prefix(n);
  return n;
}

size_t HashingSource::read(void* to, size_t size) {
  const size_t n = inner_.read(to, size);
  hash_.update(to, n);
  bytes_ += static_cast<int64_t>(n);
  return n;
}

void HashingSink::write(const void* from, size_t size) {
  hash_.update(from, size);
  bytes_ += static_cast<int64_t>(size);
  if (inner_ != nullptr) inner_->write(from, size);
}

size_t LimitedSource::read(void* to, size_t size) {
  const size_t n = inner_.read(to, size);
  left_ -= static_cast<int64_t>(n);
  if (left_ < 0) fail(Code::invalid, "{}: larger than {} bytes", name_, limit_);
  return n;
}

size_t PrefixedSource::read(void* to, size_t size) {
  if (used_ == prefix_.size()) return rest_->read(to, size);
  const size_t n = std::min(size, prefix_.size() - used_);
  std::memcpy(to, prefix_.data() + used_, n);
  used_ += n;
  return n;
}

struct ReadAheadSource::State {
  struct Buffer {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };

  State(Source& source, size_t eachSize, size_t count) : inner(source), bufferSize(eachSize) {
    for (size_t i = 0; i < count; ++i) {
      free.push_back({std::unique_ptr<char[]>(new char[bufferSize]), 0});  // not cleared: pages are touched when used
    }
  }

  void fill() {
    try {
      for (;;) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stop || !free.empty(); });
        if (stop) return;
        Buffer buffer = std::move(free.back());
        free.pop_back();
        lock.unlock();
        // One read, not a whole buffer: what a slow pipe has given is handed on at once.
        buffer.size = inner.read(buffer.bytes.get(), bufferSize);
        const bool end = buffer.size == 0;
        lock.lock();
        full.push_back(std::move(buffer));
        changed.notify_all();
        if (end) return;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      changed.notify_all();
    }
  }

  Source& inner;
  size_t bufferSize;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Buffer> free;
  std::deque<Buffer> full;
  std::exception_ptr failure;
  bool stop = false;
  // The reader's own:
  Buffer current;
  size_t used = 0;
  bool ended = false;
  std::thread thread;
};

ReadAheadSource::ReadAheadSource(Source& inner, size_t bufferSize, size_t buffers)
    : state_(std::make_unique<State>(inner, bufferSize, buffers)) {
  state_->thread = std::thread([state = state_.get()] { state->fill(); });
}

ReadAheadSource::ReadAheadSource(std::unique_ptr<Source> inner, size_t bufferSize, size_t buffers)
    : ReadAheadSource(*inner, bufferSize, buffers) {
  owned_ = std::move(inner);
}

ReadAheadSource::~ReadAheadSource() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

size_t ReadAheadSource::read(void* to, size_t size) {
  State& s = *state_;
  while (s.used == s.current.size) {
    if (s.ended) return 0;
    std::unique_lock lock(s.mutex);
    if (s.current.bytes) s.free.push_back(std::move(s.current));
    s.current = {};
    s.used = 0;
    s.changed.notify_all();
    s.changed.wait(lock, [&] { return !s.full.empty() || s.failure; });
    if (s.full.empty()) std::rethrow_exception(s.failure);
    s.current = std::move(s.full.front());
    s.full.pop_front();
    s.ended = s.current.size == 0;
  }
  const size_t n = std::min(size, s.current.size - s.used);
  std::memcpy(to, s.current.bytes.get() + s.used, n);
  s.used += n;
  return n;
}

}  // namespace estiba::archive
