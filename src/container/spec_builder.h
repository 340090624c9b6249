#pragma once
// From what was asked for to the OCI runtime-spec: a pure function, no clock and no look at the host inside it.

#include <optional>
#include <string>
#include <vector>

#include "apitypes/container.h"
#include "image/user.h"
#include "oci/runtime_spec.h"

namespace estiba::container {

/// What the builder must know of the machine, read once by the caller.
struct HostFacts {
  bool cgroupV2 = false;                        ///< the unified hierarchy alone
  std::vector<std::string> capabilities;        ///< all that the kernel knows and we hold: what `--privileged` gives
  std::vector<oci::LinuxDevice> devices;        ///< of the host's /dev: for `--privileged` and to resolve --device
  std::vector<std::string> maskedCpuPaths;      ///< /sys/devices/system/cpu/cpu*/thermal_throttle that are there
  std::string initPath;                         ///< the init for --init, empty where there is none
  /// One x86-64 machine of two CPUs on which nothing else is known: for goldens.
  static HostFacts fixed();
  /// Of this machine. `withDevices`: /dev is walked as well.
  static HostFacts read(bool withDevices);
};

/// A process and its surroundings: a container's, or a build step's.
struct SpecInput {
  std::string id;
  std::string hostname;
  std::string domainname;
  std::vector<std::string> args;
  std::vector<std::string> env;  ///< complete: PATH, HOSTNAME, TERM, HOME as `completeEnv` makes them
  std::string cwd = "/";
  bool tty = false;
  std::vector<uint32_t> consoleSize;  ///< {height, width} or empty
  image::User user;
  apitypes::HostConfig host;
  std::vector<apitypes::MountPoint> mounts;  ///< binds and volumes, resolved
  std::vector<oci::Mount> extraMounts;       ///< secrets, caches and the like of build steps
  std::string filesDir;                      ///< holds hosts, hostname, resolv.conf to bind; empty: none
  /// Namespaces to join instead of making them: type ("network", "pid", "ipc", "uts") -> /proc/PID/ns/…
  std::map<std::string, std::string> joined;
  std::string cgroupPath;  ///< "/estiba/<id>"
};

/// Throws Error(invalid) for what contradicts itself, Error(not_implemented) for what cannot be had here.
oci::RuntimeSpec buildSpec(const SpecInput& in, const HostFacts& facts);

/// The environment of a container's process: PATH (where unset), HOSTNAME, TERM (on a terminal), then `env` (later
/// entries replace earlier ones of the same name; "NAME" without '=' removes it), and HOME where nothing sets it.
std::vector<std::string> completeEnv(const std::vector<std::string>& imageAndUser, const std::string& hostname, bool tty,
                                     const std::string& home);

/// The capabilities of a process: the default set, changed by --cap-add and --cap-drop ("ALL" in either).
/// Throws Error(invalid) "unknown capability: …".
std::vector<std::string> capabilitiesFor(const apitypes::HostConfig& host, const HostFacts& facts);

inline constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace estiba::container
