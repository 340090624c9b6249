#pragma once
// One more process in a running container. Same rule as init.h: the caller has one thread.

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/runtime_spec.h"
#include "runtime/stage_error.h"

namespace estiba::runtime {

struct ExecOptions {
  int stdio[3] = {0, 1, 2};                    ///< -1: /dev/null. Ignored where process.terminal
  std::string cgroupPath;                      ///< the container's; empty: the caller's
  const oci::LinuxSeccomp* seccomp = nullptr;  ///< the container's filter; null: none
  const oci::LinuxPersonality* personality = nullptr;
  std::string cacheDir;  ///< as in CreateOptions
};

/// What runs now; the caller reaps it (it is the caller's child).
struct ExecProcess {
  pid_t pid = 0;  ///< in the caller's pid namespace
  Fd pidFd;
  Fd console;  ///< pty master where process.terminal
  std::vector<std::string> warnings;
};

/// Joins every namespace and the cgroup of process `target` (which must be the one that started at `startTime`, field
/// 22 of /proc/PID/stat) and executes `process` there; returns after its execve. Throws StageError; Error(not_found)
/// where the target is gone.
ExecProcess execIn(pid_t target, uint64_t startTime, const oci::Process& process, const ExecOptions& options);

}  // namespace estiba::runtime
