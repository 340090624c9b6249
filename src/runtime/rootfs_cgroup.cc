// What a container sees of its control groups.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "runtime/rootfs.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::runtime {

void RootfsBuilder::mountCgroups(const MountPlan& mount, int target) {
  if (joinCgroup_) {
    joinCgroup_();
    joinCgroup_ = nullptr;
  }
  if (cgroup_.groups().size() == 1 && cgroup_.groups()[0].v2) {
    mountCgroupV2(mount, target);
  } else {
    mountCgroupV1(mount, target);
  }
}

void RootfsBuilder::mountCgroupV2(const MountPlan& mount, int target) {
  FsContext context("cgroup2");
  const Fd made = context.mount(static_cast<unsigned>(mount.set));
  attachMount(made.get(), target, mount.destination);
}

// A tmpfs with one directory per hierarchy, the container's own group bound on it: nothing above can be named.
void RootfsBuilder::mountCgroupV1(const MountPlan& mount, int target) {
  FsContext context("tmpfs");
  context.set("source", "tmpfs").set("mode", "755");
  const uint64_t attributes = mount.set;
  Fd top = context.mount(static_cast<unsigned>(attributes & ~uint64_t{MOUNT_ATTR_RDONLY}));
  attachMount(top.get(), target, mount.destination);
  for (const auto& group : cgroup_.groups()) {
    const std::string name = group.mountPoint.substr(group.mountPoint.rfind('/') + 1);
    sys([&] { return ::mkdirat(top.get(), name.c_str(), 0755); }, "make '{}/{}'", mount.destination, name);
    const Fd place = openAt(top.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    const Fd own = cloneTree(group.dir, /*recursive=*/false);
    setMountAttributes(own.get(), attributes, 0, MS_PRIVATE, false);
    attachMount(own.get(), place.get(), mount.destination + "/" + name);
    if (group.controllers.size() < 2 || group.v2) continue;
    for (const auto& controller : group.controllers) {  // "cpu" -> "cpu,cpuacct", as the host has it
      if (controller != name) (void)!::symlinkat(name.c_str(), top.get(), controller.c_str());
    }
  }
  if ((attributes & MOUNT_ATTR_RDONLY) != 0) setMountAttributes(top.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
}

}  // namespace estiba::runtime
