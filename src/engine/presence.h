#pragma once
// Who works on this root, and who died while doing so.
//
// Recovery walks all rows and directories: too much for every command, and of no use unless somebody was killed half-way.
// So each process that changes something has a byte in <root>/engines, locked as long as it lives (the kernel drops the
// lock with the process) and 1 only while it is at work. A byte that is 1 and not locked is the grave of one that was
// killed at work: the next command that changes something finds it and recovers before it begins. Commands that only
// read never look; one that writes pays an open, a read, a lock and a write of one byte.

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace estiba::engine {

/// Any thread, several processes.
class Presence {
 public:
  explicit Presence(std::string path) : path_(std::move(path)) {}
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  /// While one lives, the death of this process leaves something half-made.
  class Work {
   public:
    explicit Work(Presence& presence) : presence_(&presence) {}
    Work(Work&& o) noexcept : presence_(std::exchange(o.presence_, nullptr)) {}
    Work& operator=(Work&&) = delete;
    ~Work() {
      if (presence_ != nullptr) presence_->end();
    }

   private:
    Presence* presence_;
  };

  /// The first call in a process runs `recover` where somebody died at work, or the machine has started anew since:
  /// containers that ran then do not run now. What it throws is logged, and the next process tries again.
  /// One who finds another recovering waits for its end.
  Work begin(const std::function<void()>& recover);
  /// The same for work that must not wait for a recovery, which is left to the next begin().
  Work join();
  /// Something could not be undone (a full disk): as if this process had died at work.
  void leaveUnclean() noexcept;

 private:
  void end() noexcept;
  void enter();
  void recoverNow(const std::function<void()>& recover);
  void mark(int64_t slot, char state);

  std::string path_;
  std::mutex recovering_;  // before mutex_
  bool mustRecover_ = false, mustWait_ = false;  // by recovering_, once file_ is there
  std::mutex mutex_;
  Fd file_;
  int64_t slot_ = 0;  ///< our byte's offset
  std::vector<int64_t> graves_;
  int working_ = 0;
  bool unclean_ = false;
};

}  // namespace estiba::engine
