#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace estiba {

/// Keeps what it holds from being collected, in this and every other process, for as long as it lives: shared flocks on
/// files or directories of the store, which the kernel drops when the process dies. Unfinished work is held by a lease
/// until a row refers to it. Any thread.
class Lease {
 public:
  Lease() = default;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  /// Takes over a descriptor that has its lock already.
  void add(Fd locked) {
    std::lock_guard guard(mutex_);
    held_.push_back(std::move(locked));
  }
  /// Ends it early.
  void drop() {
    std::lock_guard guard(mutex_);
    held_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<Fd> held_;
};

/// flock(2) shared on an open file; waits. Throws SysError.
void lockShared(int fd, const std::string& name);
/// flock(2) exclusive, without waiting: false where anybody holds it.
bool tryLockExclusive(int fd);

/// Opens a directory and locks it shared (waits); empty where it is missing or has just been removed.
Fd openLockedDir(const std::string& path);
/// Opens a directory and locks it exclusively; empty where it is missing or anybody holds it.
Fd claimDir(const std::string& path);
/// Makes a new directory <parent>/<prefix><random id> (0700), opened and with a shared lock, so that no sweeper takes it
/// for litter. Returns {its name, locked descriptor}.
std::pair<std::string, Fd> makeLockedDir(const std::string& parent, const std::string& prefix = "");

}  // namespace estiba
