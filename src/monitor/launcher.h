#pragma once
// What the supervisor needs of the outside world to run one container. The real one is RuntimeLauncher; tests of the
// loop give one that starts plain processes and needs no privileges.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "monitor/config.h"
#include "oci/runtime_spec.h"
#include "runtime/exec.h"

namespace estiba::monitor {

class Launcher {
 public:
  Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  virtual ~Launcher() = default;

  /// Mounts the root file system, makes the first process; it waits for start(). Its standard streams: descriptors, or
  /// -1 for /dev/null. Throws StageError, SysError. Destroying the launcher before start() undoes all of it.
  virtual pid_t create(const std::array<int, 3>& stdio) = 0;
  /// The terminal's master, empty without one. May block until the process has made it.
  virtual Fd console() = 0;
  /// Lets it execute; from now on the caller reaps it. Returns warnings. Throws StageError.
  virtual std::vector<std::string> start() = 0;
  /// One more process; called in a child of the monitor of its own. Throws StageError.
  virtual runtime::ExecProcess exec(const oci::Process& process, const std::array<int, 3>& stdio) = 0;

  virtual uint64_t oomKills() = 0;
  /// SIGKILL for every process that outlived the first one (where the pid namespace has not done it).
  virtual void killRest() = 0;
  virtual void freeze() = 0;
  virtual void thaw() = 0;
  virtual Fd cloneRootfs() = 0;
  /// Whether unmounting may take long (it writes back what the container wrote).
  virtual bool unmountIsSlow() const = 0;
  /// After the end. Both may be called in a child process.
  virtual void unmountRootfs() = 0;
  virtual void removeCgroup() = 0;
};

/// With the runtime, for the bundle of `config`; `bundle` is absolute.
std::unique_ptr<Launcher> makeRuntimeLauncher(const MonitorConfig& config, const std::string& bundle);

}  // namespace estiba::monitor
