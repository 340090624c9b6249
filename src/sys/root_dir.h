#pragma once
// Confined paths: whatever a path inside an image, a container or a build context says, nothing outside is reached.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <optional>
#include <string>

#include "base/fd.h"

namespace estiba {

/// A directory that is the root of a foreign file tree. Paths may be absolute or relative: both start at the root.
class RootDir {
 public:
  enum class Confine {
    in_root,  ///< "..", absolute links: as a process chrooted there would see them (containers, images)
    beneath,  ///< whatever leads out is an error (build contexts)
  };

  RootDir() = default;
  /// `name` is for errors only.
  RootDir(Fd dir, std::string name, Confine confine = Confine::in_root);
  static RootDir open(const std::string& path, Confine confine = Confine::in_root);

  /// Opens `path` confined (openat2; O_CLOEXEC added; mode only with O_CREAT). Magic links are refused. Throws
  /// SysError.
  Fd openPath(const std::string& path, uint64_t flags, mode_t mode = 0) const;
  /// nullopt for ENOENT, ENOTDIR and ELOOP; what leads out of a `beneath` root throws Error(forbidden).
  std::optional<Fd> tryOpen(const std::string& path, uint64_t flags) const;
  /// The directory that holds the last component (opened O_PATH, links in it followed inside the root), and that
  /// component: the pair that the *at() calls take. For "/" the name is ".".
  std::pair<Fd, std::string> parentOf(const std::string& path) const;
  /// lstat of `path` (its last component is not followed); nullopt where it is not there.
  std::optional<struct stat> lstat(const std::string& path) const;
  /// stat, following links inside the root.
  std::optional<struct stat> stat(const std::string& path) const;
  /// mkdir -p, confined; links are followed inside the root, and what a dangling one
  /// names is made (not under `beneath`). New directories get
  /// `mode`, `uid`, `gid`. Returns the directory, opened O_PATH.
  Fd makeDirs(const std::string& path, mode_t mode = 0755, uid_t uid = 0, gid_t gid = 0) const;
  /// The whole file, following links inside the root; nullopt where it is missing. Regular files only.
  std::optional<std::string> tryRead(const std::string& path, uint64_t limit) const;

  int fd() const noexcept { return dir_.get(); }
  const std::string& name() const noexcept { return name_; }
  explicit operator bool() const noexcept { return static_cast<bool>(dir_); }

 private:
  Fd makeDirs(const std::string& path, mode_t mode, uid_t uid, gid_t gid, int links) const;
  long tryOpenRaw(const std::string& path, uint64_t flags, mode_t mode, uint64_t extraResolve) const;

  Fd dir_;
  std::string name_;
  Confine confine_ = Confine::in_root;
};

/// "a//b/./../c" -> "/a/c", by text alone (Go's path.Clean of an absolute path).
std::string cleanPath(const std::string& path);

}  // namespace estiba
