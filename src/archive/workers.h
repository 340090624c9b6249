#pragma once
// A few threads for work whose order does not matter.

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace estiba::archive {

class Job {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;
  virtual void run() = 0;
  /// Bytes of memory that it holds until it has run.
  virtual size_t weight() const noexcept { return 0; }
};

/// Runs jobs on one to three threads. What is queued is bounded in number (each may hold descriptors) and weight. One
/// thread submits. The destructor drops what has not begun.
class Workers {
 public:
  Workers() = default;
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Waits for room; throws the first failure of an earlier job.
  void submit(std::unique_ptr<Job> job);
  /// Waits until all is done; throws the first failure.
  void settle();

 private:
  void start();
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable room_;
  std::deque<std::unique_ptr<Job>> queue_;
  size_t weight_ = 0;
  unsigned busy_ = 0;
  bool waiting_ = false;
  bool stop_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace estiba::archive
