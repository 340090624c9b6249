#pragma once

#include <string>

#include "base/fd.h"

namespace estiba {

/// flock(2) on a file that is made if missing; released when the object goes, or the process dies.
class FileLock {
 public:
  enum class Kind { shared, exclusive };
  FileLock() = default;
  /// Waits until it is granted.
  static FileLock acquire(const std::string& path, Kind kind);
  /// Empty where somebody else holds it.
  static FileLock tryAcquire(const std::string& path, Kind kind);
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace estiba
