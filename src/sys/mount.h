#pragma once
// Mounts by descriptor (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2)): a mount is made detached, filled or
// changed while nobody can see it, and attached to a descriptor, never to a path that somebody else may swap.

#include <sys/mount.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"

namespace estiba {

/// A file system that is being configured. Errors carry what the kernel wrote into the context's log.
class FsContext {
 public:
  explicit FsContext(const std::string& type);
  FsContext& set(const std::string& key, const std::string& value);
  FsContext& set(const std::string& key, int fd);
  FsContext& flag(const std::string& key);
  /// Creates it: a detached mount (O_PATH descriptor of its root, usable as a dirfd) with MOUNT_ATTR_* of fsmount(2).
  /// It goes away with the descriptor unless attached.
  Fd mount(unsigned attributes = 0);

 private:
  [[noreturn]] void failed(int err, const std::string& what) const;
  std::string type_;
  Fd fd_;
};

/// A detached copy of the mount (subtree) at `path`, symbolic links followed; with mounts below where `recursive`.
Fd cloneTree(const std::string& path, bool recursive);
/// The same of what `fd` refers to.
Fd cloneTree(int fd, bool recursive);
/// Attaches a detached mount on top of what `target` refers to (a directory, or a file for a file).
void attachMount(int mount, int target, const std::string& name);
void attachMount(int mount, const std::string& target);
/// mount_setattr(2): MOUNT_ATTR_* to set and clear, MS_PRIVATE… or 0 for the propagation.
void setMountAttributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, bool recursive);
/// mount(2) for the propagation of what is at `path`: MS_SLAVE | MS_REC…
void setPropagation(const std::string& path, unsigned long flags);
/// umount2(2) with `flags`; what is not mounted is fine.
void unmount(const std::string& path, int flags = MNT_DETACH);
/// Whether `fd` is on a file system of this kind (PROC_SUPER_MAGIC… of linux/magic.h).
bool isOnFileSystem(int fd, long magic);

/// Unmounts (MNT_DETACH) what was mounted at a path when the object goes.
class MountPoint {
 public:
  MountPoint() = default;
  explicit MountPoint(std::string path) : path_(std::move(path)) {}
  MountPoint(MountPoint&& o) noexcept : path_(std::exchange(o.path_, {})) {}
  MountPoint& operator=(MountPoint&& o) noexcept {
    std::swap(path_, o.path_);
    return *this;
  }
  ~MountPoint();
  void release() noexcept { path_.clear(); }

 private:
  std::string path_;
};

}  // namespace estiba
