#pragma once
// A process of the spec, checked and translated by the parent; carried out by the child just before execve.

#include <sys/resource.h>

#include <functional>
#include <string>
#include <vector>

#include "oci/runtime_spec.h"
#include "runtime/channel.h"
#include "sys/caps.h"

namespace estiba::runtime {

struct Limit {
  std::string name;
  int resource = 0;
  rlimit64 value{};
};

struct ProcessPlan {
  oci::Process process;
  CapMask bounding = 0, effective = 0, permitted = 0, inheritable = 0, ambient = 0;
  bool noNewPrivileges = false;
  std::vector<Limit> limits;
  std::string filter;  ///< seccomp BPF, empty: none
  unsigned filterFlags = 0;
  unsigned long personality = 0;
  bool setPersonality = false;
  std::string keyring;  ///< name of a new session keyring
  std::vector<std::string> warnings;
};

/// Throws Error(invalid, not_implemented). The filter comes from `cacheDir` where it is there.
ProcessPlan planProcess(const oci::Process& process, const oci::LinuxSeccomp* seccomp,
                        const oci::LinuxPersonality* personality, const std::string& cacheDir);
/// The compiled filter of `spec`, kept in `cacheDir` (seccomp-<digest of the spec>.bpf).
std::string seccompFilter(const oci::LinuxSeccomp& spec, const std::string& cacheDir);

/// In the child, its namespaces and root in place, `channel` its only open descriptor above 2 that matters:
/// limits, session keyring, user, working directory, capabilities, filter; looks the executable up. `gate` is called
/// when all is ready and returns when it may execve. Never returns: throws ChildFailure, or executes. Where execve
/// fails it writes why to standard error and exits with 255.
[[noreturn]] void becomeProcess(ProcessPlan& plan, const Channel& channel, const std::function<void()>& gate);

/// HOME of `uid` by the text of a passwd file; "/" where it is not in it.
std::string homeOf(const std::string& passwd, uint32_t uid);

}  // namespace estiba::runtime
