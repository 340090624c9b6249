#pragma once
// From a bundle to a process: the first process of a container. The caller is a process with ONE thread (the monitor,
// the `oci` role): the child is a copy of it (clone3 without CLONE_VM) and sets itself up before execve.

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/runtime_spec.h"
#include "runtime/cgroup.h"
#include "runtime/stage_error.h"

namespace estiba::runtime {

struct CreateOptions {
  std::string id;
  std::string bundle;                      ///< absolute; relative paths of the spec start here
  const oci::RuntimeSpec* spec = nullptr;  ///< read during create() only
  int stdio[3] = {0, 1, 2};                ///< becomes 0, 1, 2; -1: /dev/null. Ignored where process.terminal
  std::string cgroupPath;                  ///< "/estiba/<id>", in every hierarchy; empty: no cgroup of its own
  std::string cacheDir;                    ///< for compiled seccomp filters, root's, 0700; empty: no cache
  /// A listening unix socket (AF_UNIX, SOCK_STREAM) on which a later process says start (startOver()); -1: Init::start.
  int startSocket = -1;
};

/// A created container: its first process exists in its namespaces and sets itself up, or waits for start().
/// The destructor of one that was not started kills it, reaps it and removes its cgroups.
class Init {
 public:
  /// Returns as soon as the child and its namespaces exist: its set-up goes on in parallel, so that the caller can
  /// meanwhile move network devices into /proc/PID/ns/net. Throws StageError.
  static Init create(const CreateOptions& options);

  Init(Init&&) noexcept;
  Init& operator=(Init&&) noexcept;
  ~Init();

  pid_t pid() const noexcept;
  int pidFd() const noexcept;  ///< readable when it has ended; the caller reaps it (waitpid) once it was started
  /// The pty's master where process.terminal, empty otherwise. Blocks until the child has made it. Throws StageError.
  Fd takeConsole();
  /// Blocks until the child has finished its set-up and found its executable. Throws StageError.
  void waitReady();
  /// waitReady(), then lets it execve; returns when that has happened. Throws StageError (the child is reaped then).
  /// Where execve itself fails (a foreign binary, a missing interpreter) the child says so on its standard error, as
  /// runc's does ("exec /x: exec format error"), and exits with 255: no exception.
  void start();
  /// Leaves it to another process (startOver): from now on the destructor touches neither it nor its cgroups.
  void release() noexcept;

  CgroupSet& cgroup() noexcept;
  /// What was asked for and could not be had ("rlimit RLIMIT_NOFILE …"); complete after waitReady().
  const std::vector<std::string>& warnings() const noexcept;

 private:
  struct Impl;
  explicit Init(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The other end of CreateOptions::startSocket, for `estiba oci start`: `socket` is connected to it. Same contract as
/// Init::start.
void startOver(int socket);

}  // namespace estiba::runtime
