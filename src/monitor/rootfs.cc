#include "monitor/rootfs.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/file.h"
#include "sys/overlay.h"
#include "sys/root_dir.h"

namespace estiba::monitor {

namespace {

Fd makeRootfs(const RootfsConfig& c, const std::string& scratch) {
  if (!c.bind.empty()) {
    Fd mount = cloneTree(c.bind, /*recursive=*/true);
    if (c.readonly) setMountAttributes(mount.get(), MOUNT_ATTR_RDONLY, 0, 0, /*recursive=*/true);
    return mount;
  }
  OverlayStack stack;
  stack.lowers = c.lowers;
  stack.upper = c.upper;
  stack.work = c.work;
  stack.readonly = c.readonly;
  stack.volatile_ = c.volatile_;
  return mountOverlay(stack, [&] { return scratch; });
}

std::string mountPointOf(std::string path) {
  for (;;) {
    struct statx st {};
    sys([&] { return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &st); }, "stat '{}'", path);
    if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 || path == "/") return path;
    path = path.substr(0, std::max<size_t>(path.rfind('/'), 1));
  }
}

// What `source` names inside `root`, as a mount of its own. Links in it lead nowhere outside (CVE-2024-1753).
Fd partOf(const RootDir& root, const std::string& source, bool& directory) {
  const Fd part = root.openPath(source, O_PATH);
  struct stat st {};
  sys([&] { return ::fstat(part.get(), &st); }, "stat '{}'", source);
  directory = S_ISDIR(st.st_mode);
  return cloneTree(part.get(), /*recursive=*/true);
}

MountPoint mountTree(const TreeConfig& tree, const std::string& target) {
  // Only what is attached in our namespace can be cloned in part.
  const std::string whole = target + ".whole";
  mountRootfs(tree.stack, whole);
  const MountPoint once(whole);
  bool directory = false;
  const Fd part = partOf(RootDir::open(whole), tree.source, directory);
  if (directory) {
    makeDir(target);
  } else {
    writeFile(target, "", 0600);
  }
  attachMount(part.get(), target);
  return MountPoint(target);
}

}  // namespace

void enterPrivateMounts() {
  sys([] { return ::unshare(CLONE_NEWNS); }, "make a mount namespace");
  setPropagation("/", MS_SLAVE | MS_REC);
}

void enterPeerMounts(const std::string& target) {
  sys([] { return ::unshare(CLONE_NEWNS); }, "make a mount namespace");
  setPropagation(mountPointOf(target), MS_SLAVE);
}

void mountRootfs(const RootfsConfig& config, const std::string& target) {
  makeDir(target, 0755);
  const Fd mount = makeRootfs(config, target);
  attachMount(mount.get(), target);
}

std::vector<MountPoint> mountTrees(const std::vector<TreeConfig>& trees, const std::string& bundle) {
  std::vector<MountPoint> out;
  if (trees.empty()) return out;
  const std::string dir = bundle + "/" + kTreesDir;
  makeDir(dir, 0700);
  for (const auto& tree : trees) out.push_back(mountTree(tree, fmt::format("{}/{}", dir, out.size())));
  return out;
}

}  // namespace estiba::monitor
