#include "archive/copy.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "archive/dir_walk.h"
#include "archive/tree_writer.h"
#include "archive/workers.h"
#include "base/error.h"
#include "sys/file.h"

namespace estiba::archive {

namespace {

constexpr int64_t kCopyRangeFrom = 1 << 20;  // below, read and write are as fast and give better errors
constexpr size_t kBuffer = 256U << 10;
constexpr int kMaxLinks = 40;  // as the kernel (path_resolution(7))

timespec timespecOf(const struct stat& st, bool keep) {
  return keep ? st.st_mtim : timespec{0, UTIME_NOW};
}

std::string childPath(const std::string& parent, const std::string& name) {
  return parent.empty() ? name : parent + "/" + name;
}

/// What is given to a copy besides content.
struct Attributes {
  mode_t mode;
  uid_t uid;
  gid_t gid;
  timespec mtime;
  std::map<std::string, std::string> xattrs;
};

void apply(int fd, const Attributes& to, const std::string& path) {
  NodeMeta meta{to.mode, to.uid, to.gid, 0, to.xattrs};
  applyMeta(fd, meta, path, false);
  const timespec times[2] = {to.mtime, to.mtime};
  sys([&] { return ::futimens(fd, times); }, "set the time of '{}'", path);
}

/// Copies a file's content and attributes; both ends are open already.
class CopyFile : public Job {
 public:
  CopyFile(Fd from, Fd to, std::string path, const struct stat& st, Attributes attributes, bool xattrs)
      : from_(std::move(from)),
        to_(std::move(to)),
        path_(std::move(path)),
        size_(st.st_size),
        holes_(static_cast<int64_t>(st.st_blocks) * 512 < st.st_size),
        attributes_(std::move(attributes)),
        xattrs_(xattrs) {}

  void run() override {
    if (holes_) {
      copyRuns();
    } else if (size_ >= kCopyRangeFrom) {
      copyRange(0, size_);
    } else if (size_ > 0) {
      copyBuffered(0, size_);
    }
    if (xattrs_) attributes_.xattrs = readXattrs(from_.get(), path_, mayCarryXattr);
    apply(to_.get(), attributes_, path_);
    to_.reset();
  }

 private:
  void copyRuns() {
    for (off_t at = 0; at < size_;) {
      const off_t data = ::lseek(from_.get(), at, SEEK_DATA);
      if (data < 0) {
        if (errno == ENXIO) break;            // only a hole is left
        return copyBuffered(at, size_ - at);  // a file system that knows no holes
      }
      const off_t end = sys([&] { return ::lseek(from_.get(), data, SEEK_HOLE); }, "look for holes in '{}'", path_);
      copyRange(data, std::min<off_t>(end, size_) - data);
      at = end;
    }
    sys([&] { return ::ftruncate(to_.get(), size_); }, "set the size of '{}'", path_);
  }

  /// In the kernel, and shared where the file system can.
  void copyRange(off_t at, int64_t length) {
    off_t from = at;
    off_t to = at;
    while (length > 0) {
      const ssize_t n = ::copy_file_range(from_.get(), &from, to_.get(), &to, static_cast<size_t>(length), 0);
      if (n == 0) return;  // it has become shorter
      if (n < 0) {
        const int e = errno;
        if (e == EINTR) continue;
        if (e == EXDEV || e == EINVAL || e == ENOSYS || e == EOPNOTSUPP) return copyBuffered(from, length);
        throw SysError(e, fmt::format("write '{}'", path_));
      }
      length -= n;
    }
  }

  void copyBuffered(off_t at, int64_t length) {
    thread_local std::vector<char> buffer(kBuffer);
    while (length > 0) {
      const auto want = static_cast<size_t>(std::min<int64_t>(length, kBuffer));
      const ssize_t n = sys([&] { return ::pread(from_.get(), buffer.data(), want, at); }, "read '{}'", path_);
      if (n == 0) return;
      for (ssize_t done = 0; done < n;) {
        done += sys([&] { return ::pwrite(to_.get(), buffer.data() + done, static_cast<size_t>(n - done), at + done); },
                    "write '{}'", path_);
      }
      at += n;
      length -= n;
    }
  }

  Fd from_;
  Fd to_;
  std::string path_;
  int64_t size_;
  bool holes_;
  Attributes attributes_;
  bool xattrs_;
};

/// A directory that is being copied. Its copy may not have been made yet (Pick::inside_only).
struct Frame {
  Frame* parent = nullptr;
  std::string name;
  std::string path;  ///< relative to the source
  int from = -1;
  struct stat st {};
  Fd to;
  bool existed = false;
};

class Copier {
 public:
  Copier(const CopyOptions& options, std::string dstName) : options_(options), dstName_(std::move(dstName)) {}

  Copied run(int from, const struct stat& st, int toParent, const std::string& name) {
    toParent_ = toParent;
    if (S_ISDIR(st.st_mode)) {
      Frame top;
      top.name = name;
      top.from = from;
      top.st = st;
      made(top);
      items(top);
      finish(top);
    } else {
      Fd link(sys([&] { return ::fcntl(from, F_DUPFD_CLOEXEC, 3); }, "duplicate a descriptor"));
      top(std::move(link), st, name);
    }
    workers_.settle();
    return out_;
  }

 private:
  std::string shown(const std::string& path) const { return path.empty() ? dstName_ : dstName_ + "/" + path; }

  Attributes attributes(const struct stat& st) const {
    const mode_t mode = st.st_mode & 07777;
    return {options_.chmod && !S_ISLNK(st.st_mode) ? options_.chmod(mode, S_ISDIR(st.st_mode)) : mode,
            options_.chown ? options_.chown->first : st.st_uid,
            options_.chown ? options_.chown->second : st.st_gid,
            timespecOf(st, options_.preserveTimes),
            {}};
  }

  /// A single file as the source: opened by path already, so read through its descriptor.
  void top(Fd node, const struct stat& st, const std::string& name) {
    if (S_ISREG(st.st_mode)) {
      const std::string own = fmt::format("/proc/self/fd/{}", node.get());
      Fd from = openFile(own, O_RDONLY | O_NONBLOCK);
      return file(std::move(from), st, toParent_, name, "");
    }
    special(-1, node.get(), st, toParent_, name, "");
  }

  /// The copy of `frame`, made if it is not there.
  int made(Frame& frame) {
    if (frame.to) return frame.to.get();
    const int parent = frame.parent != nullptr ? made(*frame.parent) : toParent_;
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (::mkdirat(parent, frame.name.c_str(), 0700) != 0) {
      const int e = errno;
      if (e != EEXIST) throw SysError(e, fmt::format("make directory '{}'", shown(frame.path)));
      frame.existed = true;
      struct stat st {};
      sys([&] { return ::fstatat(parent, frame.name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'",
          shown(frame.path));
      if (!S_ISDIR(st.st_mode)) {
        if (!options_.replace) fail(Code::invalid, "cannot copy to non-directory: {}", shown(frame.path));
        sys([&] { return ::unlinkat(parent, frame.name.c_str(), 0); }, "remove '{}'", shown(frame.path));
        sys([&] { return ::mkdirat(parent, frame.name.c_str(), 0700); }, "make directory '{}'", shown(frame.path));
        frame.existed = false;
      }
    }
    frame.to =
        Fd(sys([&] { return ::openat(parent, frame.name.c_str(), kFlags); }, "open directory '{}'", shown(frame.path)));
    ++out_.directories;
    return frame.to.get();
  }

  /// After what is inside: that would change the time again.
  void finish(Frame& frame) {
    if (!frame.to || (frame.existed && !options_.updateExistingDirs)) return;
    Attributes to = attributes(frame.st);
    if (options_.xattrs) to.xattrs = readXattrs(frame.from, shown(frame.path), mayCarryXattr);
    apply(frame.to.get(), to, shown(frame.path));
  }

  void items(Frame& frame) {
    for (const DirItem& item : sortedItems(frame.from, shown(frame.path))) {
      const std::string path = childPath(frame.path, item.name);
      struct stat st {};
      sys([&] { return ::fstatat(frame.from, item.name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'", path);
      const Pick pick = options_.filter ? options_.filter(path, st) : Pick::take;
      if (pick == Pick::skip || S_ISSOCK(st.st_mode)) continue;
      if (S_ISDIR(st.st_mode)) {
        subdirectory(frame, item.name, path, st, pick);
      } else if (pick == Pick::take) {
        node(frame, item.name, path, st);
      }
    }
  }

  void subdirectory(Frame& parent, const std::string& name, const std::string& path, const struct stat& st, Pick pick) {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const Fd from(sys([&] { return ::openat(parent.from, name.c_str(), kFlags); }, "open directory '{}'", path));
    Frame frame;
    frame.parent = &parent;
    frame.name = name;
    frame.path = path;
    frame.from = from.get();
    frame.st = st;
    if (pick == Pick::take) made(frame);
    items(frame);
    finish(frame);
  }

  void node(Frame& parent, const std::string& name, const std::string& path, const struct stat& st) {
    if (!options_.devices && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) return;
    const int to = made(parent);
    if (linked(st, to, name, path)) return;
    if (!S_ISREG(st.st_mode)) return special(parent.from, -1, st, to, name, path);
    Fd from(openForReading(parent.from, name.c_str()));
    if (!from) throw SysError(errno, fmt::format("open '{}'", path));
    struct stat now {};
    sys([&] { return ::fstat(from.get(), &now); }, "stat '{}'", path);
    if (!S_ISREG(now.st_mode)) fail(Code::conflict, "'{}' changed while it was copied", path);
    file(std::move(from), now, to, name, path);
  }

  void file(Fd from, const struct stat& st, int toDir, const std::string& name, const std::string& path) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    Fd to;
    create(toDir, name, path, [&] {
      to = Fd(::openat(toDir, name.c_str(), kFlags, 0600));
      return static_cast<bool>(to);
    });
    ++out_.files;
    out_.bytes += st.st_size;
    workers_.submit(
        std::make_unique<CopyFile>(std::move(from), std::move(to), shown(path), st, attributes(st), options_.xattrs));
  }

  /// Another name of something copied before?
  bool linked(const struct stat& st, int toDir, const std::string& name, const std::string& path) {
    if (st.st_nlink < 2) return false;
    const auto [it, first] = links_.try_emplace({st.st_dev, st.st_ino}, path);
    if (first) return false;
    const size_t slash = it->second.rfind('/');
    const std::string dir = slash == std::string::npos ? "" : it->second.substr(0, slash);
    const std::string base = it->second.substr(slash == std::string::npos ? 0 : slash + 1);
    const Fd top(
        sys([&] { return ::openat(toParent_, topName_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); },
            "open directory '{}'", dstName_));
    const Fd holder(openInside(top.get(), dir, O_PATH | O_DIRECTORY, false));
    if (!holder) throw SysError(errno, fmt::format("open directory '{}'", shown(dir)));
    create(toDir, name, path, [&] { return ::linkat(holder.get(), base.c_str(), toDir, name.c_str(), 0) == 0; });
    ++out_.files;
    return true;
  }

  void special(int fromDir, int node, const struct stat& st, int toDir, const std::string& name,
               const std::string& path) {
    const Attributes to = attributes(st);
    if (S_ISLNK(st.st_mode)) {
      std::string text(PATH_MAX, '\0');
      const char* of = node >= 0 ? "" : name.c_str();
      const ssize_t n = sys([&] { return ::readlinkat(node >= 0 ? node : fromDir, of, text.data(), text.size()); },
                            "read link '{}'", path);
      text.resize(static_cast<size_t>(n));
      create(toDir, name, path, [&] { return ::symlinkat(text.c_str(), toDir, name.c_str()) == 0; });
    } else {
      create(toDir, name, path,
             [&] { return ::mknodat(toDir, name.c_str(), (st.st_mode & S_IFMT) | 0600, st.st_rdev) == 0; });
    }
    const Fd made(
        sys([&] { return ::openat(toDir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC); }, "open '{}'", shown(path)));
    sys([&] { return ::fchownat(made.get(), "", to.uid, to.gid, AT_EMPTY_PATH); }, "chown '{}'", shown(path));
    if (!S_ISLNK(st.st_mode)) {
      const std::string own = fmt::format("/proc/self/fd/{}", made.get());
      sys([&] { return ::chmod(own.c_str(), to.mode); }, "chmod '{}'", shown(path));
    }
    const timespec times[2] = {to.mtime, to.mtime};
    sys([&] { return ::utimensat(made.get(), "", times, AT_EMPTY_PATH); }, "set the time of '{}'", shown(path));
    ++out_.files;
  }

  /// Runs `make`; what is in the way is removed once.
  template <class F>
  void create(int toDir, const std::string& name, const std::string& path, F&& make) {
    for (int tries = 0; tries < 3; ++tries) {
      if (make()) return;
      if (errno == EINTR) continue;
      if (errno != EEXIST) break;
      if (::unlinkat(toDir, name.c_str(), 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR && errno != EPERM) break;
      if (!options_.replace) fail(Code::invalid, "cannot replace to directory {} with file", shown(path));
      removeTreeAt(toDir, name);
    }
    throw SysError(errno, fmt::format("create '{}'", shown(path)));
  }

 public:
  /// The top directory's name in its parent, for hard links.
  void setTopName(std::string name) { topName_ = std::move(name); }

 private:
  const CopyOptions& options_;
  std::string dstName_;
  std::string topName_;
  int toParent_ = -1;
  Copied out_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  Workers workers_;
};

std::string parentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

/// `path` with the links in its last component followed, as far as they lead: the last one may dangle.
std::string followLast(const RootDir& root, std::string path) {
  for (int i = 0; i < kMaxLinks; ++i) {
    const auto fd = root.tryOpen(path, O_PATH | O_NOFOLLOW);
    struct stat st {};
    if (!fd || ::fstat(fd->get(), &st) != 0 || !S_ISLNK(st.st_mode)) return path;
    std::string text(PATH_MAX, '\0');
    text.resize(static_cast<size_t>(
        sys([&] { return ::readlinkat(fd->get(), "", text.data(), text.size()); }, "read link '{}'", path)));
    if (text.starts_with('/')) {
      path = text;
      continue;
    }
    const Fd dir = root.openPath(parentOf(path), O_PATH | O_DIRECTORY);
    path = fmt::format("/{}/{}", pathInside(root.fd(), dir.get()), text);
  }
  fail(Code::invalid, "too many links at '{}'", path);
}

}  // namespace

Copied copyTree(const RootDir& src, const std::string& srcPath, const RootDir& dst, const std::string& dstPath,
                const CopyOptions& options) {
  auto from = src.tryOpen(srcPath, O_PATH);
  if (!from) fail(Code::not_found, "'{}' is not there", srcPath);
  struct stat st {};
  sys([&] { return ::fstat(from->get(), &st); }, "stat '{}'", srcPath);
  if (S_ISDIR(st.st_mode)) from = src.openPath(srcPath, O_RDONLY | O_DIRECTORY);
  if (S_ISSOCK(st.st_mode)) return {};

  const uid_t uid = options.chown ? options.chown->first : 0;
  const gid_t gid = options.chown ? options.chown->second : 0;
  const std::string clean = cleanPath(followLast(dst, cleanPath(dstPath)));
  const Fd madeParent = dst.makeDirs(parentOf(clean), 0755, uid, gid);
  auto [parent, name] = dst.parentOf(clean);
  Copier copier(options, clean == "/" ? "" : clean);
  copier.setTopName(name);
  return copier.run(from->get(), st, parent.get(), name);
}

}  // namespace estiba::archive
