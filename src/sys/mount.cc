#include "sys/mount.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

namespace estiba {

namespace {

// The log holds one message a read: "e overlay: No changes allowed in reconfigure".
std::string drainLog(int fd) {
  std::string out;
  char buffer[1024];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) break;
    std::string_view line(buffer, static_cast<size_t>(n));
    if (line.size() > 2 && line[1] == ' ') line.remove_prefix(2);
    while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    if (!out.empty()) out += "; ";
    out += line;
  }
  return out;
}

}  // namespace

FsContext::FsContext(const std::string& type) : type_(type) {
  fd_ = Fd(sys([&] { return ::fsopen(type.c_str(), FSOPEN_CLOEXEC); }, "open file system type '{}'", type));
}

void FsContext::failed(int err, const std::string& what) const {
  const std::string said = drainLog(fd_.get());
  throw SysError(err, said.empty() ? fmt::format("{}: {}", type_, what) : fmt::format("{}: {}: {}", type_, what, said));
}

FsContext& FsContext::set(const std::string& key, const std::string& value) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) != 0) {
    failed(errno, fmt::format("option '{}={}'", key, value));
  }
  return *this;
}

FsContext& FsContext::set(const std::string& key, int fd) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_FD, key.c_str(), nullptr, fd) != 0) failed(errno, "option '" + key + "'");
  return *this;
}

FsContext& FsContext::flag(const std::string& key) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) != 0) failed(errno, "option '" + key + "'");
  return *this;
}

Fd FsContext::mount(unsigned attributes) {
  if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) failed(errno, "create");
  const int mount = ::fsmount(fd_.get(), FSMOUNT_CLOEXEC, attributes);
  if (mount < 0) failed(errno, "mount");
  return Fd(mount);
}

Fd cloneTree(const std::string& path, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  return Fd(sys([&] { return ::open_tree(AT_FDCWD, path.c_str(), flags); }, "clone mount '{}'", path));
}

Fd cloneTree(int fd, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return Fd(sys([&] { return ::open_tree(fd, "", flags); }, "clone mount"));
}

void attachMount(int mount, int target, const std::string& name) {
  sys([&] { return ::move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH); },
      "mount on '{}'", name);
}

void attachMount(int mount, const std::string& target) {
  sys([&] { return ::move_mount(mount, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH); }, "mount on '{}'",
      target);
}

void setMountAttributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, bool recursive) {
  struct mount_attr attr {};
  attr.attr_set = set;
  attr.attr_clr = clear;
  attr.propagation = propagation;
  sys([&] { return ::mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr); },
      "change attributes of a mount");
}

void setPropagation(const std::string& path, unsigned long flags) {
  sys([&] { return ::mount(nullptr, path.c_str(), nullptr, flags, nullptr); }, "change propagation of '{}'", path);
}

void unmount(const std::string& path, int flags) {
  if (::umount2(path.c_str(), flags | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) return;
  throw SysError(errno, fmt::format("unmount '{}'", path));
}

bool isOnFileSystem(int fd, long magic) {
  struct statfs st {};
  sys([&] { return ::fstatfs(fd, &st); }, "statfs");
  return static_cast<long>(st.f_type) == magic;
}

MountPoint::~MountPoint() {
  if (path_.empty()) return;
  if (::umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) log::warn("unmount '{}' failed", path_);
}

}  // namespace estiba
