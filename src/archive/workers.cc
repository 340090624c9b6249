#include "archive/workers.h"

#include <algorithm>

namespace estiba::archive {

namespace {
constexpr size_t kQueuedJobs = 96;  // each may hold two descriptors, and many processes may have 1,024 only
constexpr size_t kQueuedWeight = 16U << 20;
}  // namespace

void Workers::start() {
  const unsigned count = std::clamp(std::thread::hardware_concurrency(), 2U, 4U) - 1;
  for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { run(); });
}

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Workers::submit(std::unique_ptr<Job> job) {
  if (threads_.empty()) start();
  std::unique_lock lock(mutex_);
  if (queue_.size() >= kQueuedJobs || weight_ >= kQueuedWeight) {
    waiting_ = true;
    // Down to the half, not one place: one wake-up per file would cost more than the file.
    room_.wait(lock, [&] { return failure_ || (queue_.size() <= kQueuedJobs / 2 && weight_ <= kQueuedWeight / 2); });
    waiting_ = false;
  }
  if (failure_) std::rethrow_exception(failure_);
  weight_ += job->weight();
  queue_.push_back(std::move(job));
  lock.unlock();
  changed_.notify_one();
}

void Workers::settle() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return failure_ || (queue_.empty() && busy_ == 0); });
  if (failure_) std::rethrow_exception(failure_);
}

void Workers::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || (!queue_.empty() && !failure_); });
    if (stop_) return;
    auto job = std::move(queue_.front());
    queue_.pop_front();
    ++busy_;
    lock.unlock();
    const size_t weight = job->weight();
    std::exception_ptr failure;
    try {
      job->run();
      job.reset();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --busy_;
    weight_ -= weight;
    if (failure && !failure_) failure_ = failure;
    const bool half = waiting_ && queue_.size() <= kQueuedJobs / 2 && weight_ <= kQueuedWeight / 2;
    if (failure_ || half || (queue_.empty() && busy_ == 0)) room_.notify_all();
  }
}

}  // namespace estiba::archive
