#pragma once
// Writing to the disk while there is still other work to do.

#include <chrono>
#include <thread>

namespace estiba {

/// While it lives, and once it has lived for a moment, a thread has the kernel write out the file system of `dirFd`
/// (syncfs(2)), so that a sync afterwards finds little left to wait for. It promises nothing: errors are the later
/// sync's to tell.
class Writeback {
 public:
  explicit Writeback(int dirFd);
  Writeback(const Writeback&) = delete;
  Writeback& operator=(const Writeback&) = delete;

 private:
  std::jthread thread_;
};

}  // namespace estiba
