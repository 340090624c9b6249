#pragma once
// Starting other programs, and our own binary in another role. Never fork(2): posix_spawn and clone3 cost the same at
// any heap size.

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace estiba {

/// How a process ended.
struct ExitStatus {
  int code = 0;    ///< exit code, 0 where a signal ended it
  int signal = 0;  ///< 0 where it exited by itself
  bool coreDumped = false;
  /// As a shell and Docker report it: the code, or 128 + the signal.
  int shellCode() const noexcept { return signal != 0 ? 128 + signal : code; }
};

struct SpawnOptions {
  std::string path;               ///< executable; searched in PATH where it has no '/'
  int execFd = -1;                ///< instead of path: execute this descriptor (execveat)
  std::vector<std::string> args;  ///< args[0] included
  std::vector<std::string> env;   ///< "K=V"; empty and !clearEnv: the caller's own
  bool clearEnv = false;
  std::vector<std::pair<int, int>> fds;  ///< {ours, its number in the child}; all else is closed (close_range)
  std::string cwd;
  bool newSession = false;  ///< setsid(2)
};

/// A child of ours. The destructor kills it (SIGKILL) and waits unless release() was called.
class Process {
 public:
  Process() = default;
  Process(pid_t pid, Fd pidFd) : pid_(pid), pidFd_(std::move(pidFd)) {}
  Process(Process&& o) noexcept : pid_(std::exchange(o.pid_, 0)), pidFd_(std::move(o.pidFd_)) {}
  Process& operator=(Process&& o) noexcept;
  ~Process();

  /// clone3(CLONE_VM|CLONE_VFORK|CLONE_PIDFD) and exec. Signal mask emptied and handlers reset in the child.
  /// Throws SysError with the child's errno where exec fails.
  static Process spawn(const SpawnOptions& options);

  pid_t pid() const noexcept { return pid_; }
  int pidFd() const noexcept { return pidFd_.get(); }  ///< readable when it has ended
  explicit operator bool() const noexcept { return pid_ > 0; }
  void kill(int signal) const;
  ExitStatus wait();
  /// Leaves it running, nobody waits for it (it becomes init's when we end).
  void release() noexcept {
    pid_ = 0;
    pidFd_.reset();
  }

 private:
  pid_t pid_ = 0;
  Fd pidFd_;
};

/// Runs to the end, with its standard output and error captured (up to 1 MiB each).
struct Captured {
  ExitStatus status;
  std::string out, err;
};
Captured runCaptured(const std::vector<std::string>& args, std::string_view input = {});

ExitStatus statusOf(int waitStatus) noexcept;
/// Field 22 of /proc/PID/stat: with the pid it names one process for ever. nullopt where there is none.
std::optional<uint64_t> processStartTime(pid_t pid);
/// A pidfd for `pid` if it still is the process that started at `startTime`; empty otherwise.
Fd openProcess(pid_t pid, uint64_t startTime);

/// Sends `bytes` with descriptors (SCM_RIGHTS) over a unix socket; receives likewise (CLOEXEC).
void sendWithFds(int socket, std::string_view bytes, const std::vector<int>& fds);
/// Up to `limit` bytes in one read, and the descriptors that came with them. Empty bytes: end of stream.
std::pair<std::string, std::vector<Fd>> receiveWithFds(int socket, size_t limit);

}  // namespace estiba
