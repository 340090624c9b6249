// Kernel parameters, and what of the kernel's file systems a container does not see or not change.

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "runtime/rootfs.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::runtime {

// Through a procfs that was never attached anywhere: nothing can be mounted over its files, no link leads out of it.
void RootfsBuilder::writeSysctls() {
  if (plan_.sysctls.empty()) return;
  FsContext context("proc");
  const Fd proc = context.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  for (const auto& [path, value] : plan_.sysctls) {
    open_how how{};
    how.flags = O_WRONLY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const std::string file = "sys/" + path;
    const Fd fd(static_cast<int>(sys([&] { return ::syscall(SYS_openat2, proc.get(), file.c_str(), &how, sizeof how); },
                                     "open sysctl '{}'", path)));
    writeAll(fd.get(), value, "sysctl " + path);
  }
}

void RootfsBuilder::maskPath(const std::string& path) {
  const auto target = root_.tryOpen(path, O_PATH);
  if (!target) return;
  struct stat st {};
  sys([&] { return ::fstat(target->get(), &st); }, "stat '{}'", path);
  if (!S_ISDIR(st.st_mode)) {
    struct stat null {};
    sys([&] { return ::fstat(null_.get(), &null); }, "stat /dev/null");
    if (!S_ISCHR(null.st_mode) || null.st_rdev != makedev(1, 3))
      fail(Code::forbidden, "/dev/null is not the null device");
    const Fd mask = cloneTree(null_.get(), /*recursive=*/false);
    attachMount(mask.get(), target->get(), path);
    return;
  }
  if (emptyDir_) {
    const Fd mask = cloneTree(emptyDir_.get(), /*recursive=*/false);
    attachMount(mask.get(), target->get(), path);
    return;
  }
  FsContext context("tmpfs");
  context.set("mode", "755").set("nr_inodes", "1").set("nr_blocks", "1");
  emptyDir_ = context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  attachMount(emptyDir_.get(), target->get(), path);  // older kernels copy only what is attached: the rest from here
}

void RootfsBuilder::protectPath(const std::string& path) {
  const auto target = root_.tryOpen(path, O_PATH);
  if (!target) return;
  const Fd copy = cloneTree(target->get(), /*recursive=*/true);
  setMountAttributes(copy.get(), MOUNT_ATTR_RDONLY, 0, 0, /*recursive=*/true);
  attachMount(copy.get(), target->get(), path);
}

}  // namespace estiba::runtime
