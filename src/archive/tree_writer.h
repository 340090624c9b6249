#pragma once
// Writing foreign file trees to disk, confined: the one place where archives touch the file system.

#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "archive/tar.h"
#include "archive/workers.h"
#include "base/fd.h"

namespace estiba::archive {

/// "./a//b/../c" -> "a/c"; "" is the root. A relative name that leads out by ".." and names that no system call takes
/// are Error(invalid): "'…' leads out of WHAT".
std::string insideName(std::string_view name, std::string_view what);

/// Whether an archive may set this xattr: security.capability, user.* and POSIX ACLs.
bool mayCarryXattr(std::string_view name);

struct NodeMeta {
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t mtimeNs = 0;
  std::map<std::string, std::string> xattrs;
};

/// An overlayfs whiteout: a character device 0:0.
inline bool isWhiteout(const struct stat& st) noexcept {
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

/// Creates nodes below a root directory. Paths are relative and clean (insideName); parent directories are resolved as
/// a process chrooted in the root would, the last component is never followed but replaced (a directory merges with a
/// directory). Content and attributes of files are written by threads behind the caller: finish() ends them and throws
/// what they met. One thread calls.
class TreeWriter {
 public:
  struct Options {
    std::string what = "archive";  ///< for errors
    std::string base;              ///< clean path below the root that all paths are relative to; must be there
    mode_t impliedMode = 0755;
    uid_t impliedUid = 0;
    gid_t impliedGid = 0;
    bool noOverwriteDirNonDir = false;
    bool overlay = false;  ///< the root is an overlayfs layer: a directory that replaces a whiteout becomes opaque
    /// Before something that is there is removed; `path` as Place::path.
    std::function<void(const std::string& path, bool directory)> onReplace;
  };

  /// `rootFd` is borrowed.
  TreeWriter(int rootFd, Options options);
  ~TreeWriter();

  /// Where a node is to be made.
  struct Place {
    int dirFd = -1;    ///< valid until the next call of the writer
    std::string name;  ///< one component
    std::string path;  ///< from the root, without links in it
  };
  /// Makes missing parents.
  Place place(const std::string& path);

  void directory(const std::string& path, const NodeMeta& meta);
  void symlink(const std::string& path, const std::string& text, const NodeMeta& meta);
  void device(const std::string& path, mode_t type, dev_t number, const NodeMeta& meta);
  /// False where `target` is not there.
  bool hardlink(const std::string& path, const std::string& target);
  /// Hides `path` of lower layers: a whiteout, or opaqueness of the directory that is there.
  void whiteout(const std::string& path);
  void opaque(const std::string& path);

  /// A regular file under construction. write() in ascending order; close() hands it over.
  class File {
   public:
    void write(int64_t offset, std::string_view bytes);
    const std::string& path() const noexcept { return path_; }

   private:
    friend class TreeWriter;
    Fd fd_;
    std::string path_;
    std::string pending_;  ///< small files: written behind the caller
    int64_t end_ = 0;
    int64_t size_ = 0;
    bool buffered_ = false;
  };
  File file(const std::string& path, int64_t size, bool sparse);
  void close(File file, NodeMeta meta);

  /// Waits until all that was handed over is on its way to the disk; throws the first failure.
  void settle();
  /// settle(), then the directories' times.
  void finish();

 private:
  struct Parent {
    Fd fd;
    std::string path;
  };

  std::string full(const std::string& path) const;
  const Parent& parent(const std::string& fullDir);
  Parent openParent(const std::string& fullDir);
  Place placeFull(const std::string& fullPath);
  void makeMissing(const std::string& fullDir);
  void clear(const Place& at, const struct stat& st);
  /// Runs `make` at `at`; where something is there, clears it away and tries again.
  template <class F>
  void create(const Place& at, std::string_view verb, F&& make);
  Fd makeDirectory(const Place& at);
  void forget() { parents_.clear(); }

  int rootFd_;
  Options options_;
  std::unordered_map<std::string, Parent> parents_;
  std::vector<std::pair<std::string, int64_t>> directoryTimes_;
  std::unique_ptr<Workers> workers_;
};

/// Makes what is neither file nor hard link; false for those and for unknown types.
bool writeNode(TreeWriter& to, const std::string& path, const TarEntry& entry, const NodeMeta& meta);

/// Where the directory `fd` is below `rootFd`, without links in it; "" is the root itself.
std::string pathInside(int rootFd, int fd);

/// Owner, mode, xattrs and time, in the order that the kernel keeps them. `path` is for errors.
void applyMeta(int fd, const NodeMeta& meta, const std::string& path, bool withTime = true);

/// openat2 below `rootFd`: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, and no links at all unless `follow`. -1 and errno
/// where it fails.
int openInside(int rootFd, const std::string& path, uint64_t flags, bool follow);

}  // namespace estiba::archive
