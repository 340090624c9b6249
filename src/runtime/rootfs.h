#pragma once
// A container's file tree, built in the child: mounts, devices, console, masks, and the pivot into it. Every target is
// opened inside the root by openat2(RESOLVE_IN_ROOT) and mounted on by descriptor: no path of the image is ever given
// to the kernel as a string that starts anywhere else.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/runtime_spec.h"
#include "runtime/cgroup.h"
#include "runtime/mount_options.h"
#include "sys/root_dir.h"

namespace estiba::runtime {

struct RootfsPlan {
  std::string rootfs;  ///< absolute
  bool readonly = false;
  std::vector<MountPlan> mounts;
  std::vector<oci::LinuxDevice> devices;
  std::vector<std::string> maskedPaths, readonlyPaths;
  std::map<std::string, std::string> sysctls;  ///< path below /proc/sys -> value
  uint64_t propagation = 0;                    ///< of the root, after the pivot; 0: private
  bool recursivePropagation = false;
  bool terminal = false;
  std::string cwd;
  bool ownDevices = true;  ///< false where /dev itself is a bind
  /// In a user namespace nobody makes device nodes: the host's are bound instead.
  bool bindDevices = false;
};

/// What of the host goes into the tree, as detached mounts. Opened by whoever may reach it: the child itself, or, for a
/// child in a user namespace, its parent.
struct RootfsSources {
  struct Source {
    Fd tree;
    bool directory = false;
  };
  Fd root;
  std::vector<Source> mounts;   ///< one each mount of the plan; empty where it is no bind
  std::vector<Source> devices;  ///< one each device, where they are bound
  /// Throws ChildFailure.
  static RootfsSources open(const RootfsPlan& plan);
  /// Every descriptor, for keepOnly(); the numbers are taken over again by adopt().
  std::vector<int> release();
  void adopt(const std::vector<int>& fds);
};
/// The default devices and those of the spec.
std::vector<oci::LinuxDevice> allDevices(const RootfsPlan& plan);

/// Throws Error(invalid, not_implemented).
RootfsPlan planRootfs(const oci::RuntimeSpec& spec, const std::string& bundle);

/// A pty of the container's own devpts.
struct Console {
  Fd master, slave;
};
/// Opens a new one by `ptmx` (which must be the multiplexer of a devpts) and its slave by TIOCGPTPEER: no name that
/// somebody else could swap is used.
Console openConsole(Fd ptmx, const std::optional<oci::Box>& size);

/// Works in the calling process, which must be in a mount namespace of its own.
class RootfsBuilder {
 public:
  /// `joinCgroup` is called once, before the first cgroup mount (or never, where there is none).
  RootfsBuilder(const RootfsPlan& plan, RootfsSources sources, const CgroupSet& cgroup,
                std::function<void()> joinCgroup);

  /// Makes the root a mount of its own and everything private, and mounts all.
  void mountAll();
  /// Default devices and links, and those of the spec.
  void makeDevices();
  /// Also puts it on /dev/console.
  Console makeConsole(const std::optional<oci::Box>& size);
  /// Sysctls, read-only and masked paths, the working directory, the read-only root.
  void finish();
  /// Afterwards "/" is the container's root, and the old one is gone.
  void pivot();

  /// HOME by the container's own passwd.
  std::string home(uint32_t uid) const;

 private:
  using Source = RootfsSources::Source;
  void mountOne(const MountPlan& mount, Source& source);
  void mountBind(const MountPlan& mount, Source& source, int target);
  void mountFileSystem(const MountPlan& mount, int target, bool fresh);
  void mountCgroups(const MountPlan& mount, int target);
  void mountCgroupV2(const MountPlan& mount, int target);
  void mountCgroupV1(const MountPlan& mount, int target);
  Fd targetOf(const MountPlan& mount, bool directory, bool& fresh) const;
  void makeNode(const oci::LinuxDevice& device);
  void bindNode(const oci::LinuxDevice& device, const Source& source);
  void makeLink(const char* target, const std::string& path);
  void writeSysctls();
  void maskPath(const std::string& path);
  void protectPath(const std::string& path);

  const RootfsPlan& plan_;
  RootfsSources sources_;
  const CgroupSet& cgroup_;
  std::function<void()> joinCgroup_;
  RootDir root_;
  Fd null_;      ///< the host's /dev/null, in our mount namespace
  Fd emptyDir_;  ///< what hides directories, once it is attached somewhere
  Fd devpts_;    ///< the mount on /dev/pts
  std::vector<Fd> readonlyLater_;
};

}  // namespace estiba::runtime
