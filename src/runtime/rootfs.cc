#include "runtime/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "runtime/process_plan.h"
#include "runtime/tmpfs_copy.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::runtime {

namespace {

bool isPseudo(std::string_view type) {
  return type == "proc" || type == "sysfs" || type == "tmpfs" || type == "devpts" || type == "mqueue" ||
         type == "cgroup2";
}

bool isDirectory(int fd) {
  struct stat st {};
  sys([&] { return ::fstat(fd, &st); }, "stat");
  return S_ISDIR(st.st_mode);
}

FsContext contextOf(const MountPlan& mount) {
  FsContext context(mount.type);
  if (!isPseudo(mount.type)) {
    if (!mount.source.empty()) context.set("source", mount.source);
    if ((mount.set & MOUNT_ATTR_RDONLY) != 0) context.flag("ro");
  } else {
    context.set("source", mount.source.empty() ? mount.type : mount.source);
  }
  for (const auto& [key, value] : mount.data) {
    if (value.empty()) {
      context.flag(key);
    } else {
      context.set(key, value);
    }
  }
  return context;
}

}  // namespace

RootfsBuilder::RootfsBuilder(const RootfsPlan& plan, RootfsSources sources, const CgroupSet& cgroup,
                             std::function<void()> joinCgroup)
    : plan_(plan), sources_(std::move(sources)), cgroup_(cgroup), joinCgroup_(std::move(joinCgroup)) {}

void RootfsBuilder::mountAll() {
  // All that we see of the host becomes private, so that nothing we do reaches it. The sources were opened before:
  // their copies keep the propagation of the host's mounts, which "rshared" is about.
  setPropagation("/", MS_PRIVATE | MS_REC);
  setMountAttributes(sources_.root.get(), 0, 0, MS_PRIVATE, /*recursive=*/true);
  attachMount(sources_.root.get(), plan_.rootfs);
  root_ = RootDir(std::move(sources_.root), "rootfs");
  null_ = openFile("/dev/null", O_PATH | O_NOFOLLOW);
  for (size_t i = 0; i < plan_.mounts.size(); ++i) {
    const MountPlan& mount = plan_.mounts[i];
    try {
      mountOne(mount, sources_.mounts[i]);
    } catch (const Error& e) {
      const auto* system = dynamic_cast<const SysError*>(&e);
      throw ChildFailure(
          "mounts", system != nullptr ? system->err() : 0, mount.destination,
          fmt::format("error mounting {} to rootfs at {}: {}", quoted(mount.source.empty() ? mount.type : mount.source),
                      quoted(mount.destination), e.what()));
    }
  }
}

namespace {

// An empty file, made without opening anything: what stands there could be a device. A link is followed to what it
// names, as a process inside would.
void makeFile(const RootDir& root, std::string path) {
  constexpr int kMaxLinks = 40;
  for (int links = 0; links < kMaxLinks; ++links) {
    const size_t slash = path.rfind('/');
    const std::string above = path.substr(0, slash);
    const std::string name = path.substr(slash + 1);
    const Fd parent = root.makeDirs(above.empty() ? "/" : above);
    if (::mknodat(parent.get(), name.c_str(), S_IFREG | 0755, 0) == 0) return;
    if (errno != EEXIST) throw SysError(errno, fmt::format("make file '{}' under '{}'", path, root.name()));
    char target[4096];
    const ssize_t n = ::readlinkat(parent.get(), name.c_str(), target, sizeof target);
    if (n <= 0) return;
    const std::string link(target, static_cast<size_t>(n));
    path = link[0] == '/' ? link : above + "/" + link;
  }
  throw SysError(ELOOP, fmt::format("make file '{}' under '{}'", path, root.name()));
}

}  // namespace

// The place to mount on, made where it is missing: links in its path are followed inside the root only.
Fd RootfsBuilder::targetOf(const MountPlan& mount, bool directory, bool& fresh) const {
  if (auto there = root_.tryOpen(mount.destination, O_PATH)) return std::move(*there);
  fresh = true;
  if (directory) return root_.makeDirs(mount.destination);
  makeFile(root_, mount.destination);
  return root_.openPath(mount.destination, O_PATH);
}

void RootfsBuilder::mountOne(const MountPlan& mount, Source& source) {
  checkProcDestination(mount);
  const bool directory = !mount.bind || source.directory;
  if (mount.type == "proc" || mount.type == "sysfs") {
    const auto st = root_.lstat(mount.destination);
    if (st && !S_ISDIR(st->st_mode)) {
      fail(Code::invalid, "filesystem {} must be mounted on ordinary directory", quoted(mount.type));
    }
  }
  bool fresh = false;
  const Fd target = targetOf(mount, directory, fresh);
  if (isDirectory(target.get()) != directory) throw SysError(ENOTDIR, fmt::format("mount on '{}'", mount.destination));
  // However links led there: nothing is put over parts of a procfs but what may be.
  const bool onProc = isOnFileSystem(target.get(), PROC_SUPER_MAGIC);
  if (onProc && mount.destination != "/proc" && !isAllowedInProc(mount.destination)) {
    fail(Code::invalid, "{} cannot be mounted because it is inside /proc", quoted(mount.destination));
  }
  if (mount.bind) {
    mountBind(mount, source, target.get());
  } else if (mount.type == "cgroup") {
    mountCgroups(mount, target.get());
  } else {
    mountFileSystem(mount, target.get(), fresh);
  }
}

void RootfsBuilder::mountBind(const MountPlan& mount, Source& source, int target) {
  const int tree = source.tree.get();
  // Not named: a slave, which gets the host's later mounts and gives none back. Source: mount_namespaces(7).
  const uint64_t propagation = mount.propagation != 0 ? mount.propagation : static_cast<uint64_t>(MS_SLAVE);
  const bool allBelow = mount.propagation == 0 || mount.recursivePropagation;
  const bool simple = allBelow == false || !mount.recursiveBind;
  if (mount.set != 0 || mount.clear != 0 || simple) {
    setMountAttributes(tree, mount.set, mount.clear, simple ? propagation : 0, /*recursive=*/false);
  }
  if (mount.recursiveSet != 0 || mount.recursiveClear != 0 || !simple) {
    setMountAttributes(tree, mount.recursiveSet, mount.recursiveClear, simple ? 0 : propagation, /*recursive=*/true);
  }
  attachMount(tree, target, mount.destination);
}

void RootfsBuilder::mountFileSystem(const MountPlan& mount, int target, bool fresh) {
  FsContext context = contextOf(mount);
  const bool tmpfs = mount.type == "tmpfs";
  if (tmpfs && !fresh && !mount.has("mode")) {  // it looks like the directory that it hides
    struct stat st {};
    sys([&] { return ::fstat(target, &st); }, "stat '{}'", mount.destination);
    context.set("mode", fmt::format("{:o}", st.st_mode & 07777U));
  }
  // A tmpfs stays writable until all that goes into it is there.
  const bool later = tmpfs && (mount.set & MOUNT_ATTR_RDONLY) != 0;
  Fd made = context.mount(static_cast<unsigned>(later ? mount.set & ~uint64_t{MOUNT_ATTR_RDONLY} : mount.set));
  if (mount.propagation != 0) setMountAttributes(made.get(), 0, 0, mount.propagation, false);
  if (tmpfs && mount.copyUp && !fresh) {
    const Fd from = root_.openPath(mount.destination, O_RDONLY | O_DIRECTORY);
    copyTreeInto(from.get(), made.get());
  }
  attachMount(made.get(), target, mount.destination);
  if (later)
    readonlyLater_.push_back(std::move(made));
  else if (mount.type == "devpts" && mount.destination == "/dev/pts")
    devpts_ = std::move(made);
}

void RootfsBuilder::finish() {
  writeSysctls();
  for (const auto& path : plan_.readonlyPaths) protectPath(path);
  for (const auto& path : plan_.maskedPaths) maskPath(path);
  if (!root_.tryOpen(plan_.cwd, O_PATH | O_DIRECTORY)) {
    try {
      root_.makeDirs(plan_.cwd);
    } catch (const SysError&) {
      // chdir will say what is wrong with it, in the words that users know
    }
  }
  for (const auto& mount : readonlyLater_) setMountAttributes(mount.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
  if (plan_.readonly) setMountAttributes(root_.fd(), MOUNT_ATTR_RDONLY, 0, 0, false);
}

void RootfsBuilder::pivot() {
  // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one and is taken away from there.
  sys([&] { return ::fchdir(root_.fd()); }, "enter the root");
  sys([&] { return ::syscall(SYS_pivot_root, ".", "."); }, "pivot into the root");
  sys([&] { return ::umount2(".", MNT_DETACH); }, "leave the old root");
  sys([&] { return ::chdir("/"); }, "enter the root");
  if (plan_.propagation != 0) {
    setPropagation("/", plan_.propagation | (plan_.recursivePropagation ? static_cast<uint64_t>(MS_REC) : 0));
  }
}

std::string RootfsBuilder::home(uint32_t uid) const {
  try {
    return homeOf(root_.tryRead("/etc/passwd", 1 << 20).value_or(""), uid);
  } catch (const Error&) {
    return "/";  // no regular file, or too big: the image's own fault
  }
}

}  // namespace estiba::runtime
