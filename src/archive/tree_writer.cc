#include "archive/tree_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::archive {

namespace {

constexpr size_t kSmallFile = 256U << 10;  // content up to this is written behind the caller
constexpr size_t kCachedParents = 96;
constexpr int kMaxRaces = 128;

timespec timespecOf(int64_t ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t seconds = ns / kSecond;
  int64_t rest = ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

std::pair<std::string, std::string> splitLast(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

void setOpaque(int fd, const std::string& path) {
  sys([&] { return ::fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0); }, "make '{}' opaque", path);
}

}  // namespace

std::string insideName(std::string_view name, std::string_view what) {
  std::vector<std::string_view> kept;
  const bool absolute = name.starts_with('/');
  size_t length = 0;
  for (std::string_view rest = name; !rest.empty();) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty()) {
      kept.pop_back();
    } else if (!absolute) {
      fail(Code::invalid, "'{}' leads out of the {}", name, what);
    }
  }
  std::string out;
  for (const auto part : kept) {
    if (!out.empty()) out += '/';
    out += part;
    length = std::max(length, part.size());
  }
  if (out.size() >= PATH_MAX || length > NAME_MAX) {
    fail(Code::invalid, "a name in the {} is too long: '{}…'", what, name.substr(0, 64));
  }
  if (out.find('\0') != std::string::npos) fail(Code::invalid, "NUL in a name in the {}", what);
  return out;
}

bool mayCarryXattr(std::string_view name) {
  return name == "security.capability" || name.starts_with("user.") || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

void applyMeta(int fd, const NodeMeta& meta, const std::string& path, bool withTime) {
  sys([&] { return ::fchown(fd, meta.uid, meta.gid); }, "chown '{}'", path);
  sys([&] { return ::fchmod(fd, meta.mode & 07777); }, "chmod '{}'", path);  // after chown, which clears setuid
  for (const auto& [name, value] : meta.xattrs) {
    if (!mayCarryXattr(name)) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) continue;
    const int e = errno;
    // A file system without user xattrs or ACLs loses them, as with docker; capabilities it must not lose silently.
    if (e == ENOTSUP && name != "security.capability") continue;
    throw SysError(e, fmt::format("set '{}' of '{}'", name, path));
  }
  if (!withTime) return;
  const timespec times[2] = {timespecOf(meta.mtimeNs), timespecOf(meta.mtimeNs)};
  sys([&] { return ::futimens(fd, times); }, "set the time of '{}'", path);
}

int openInside(int rootFd, const std::string& path, uint64_t flags, bool follow) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (follow ? 0U : RESOLVE_NO_SYMLINKS);
  for (int races = 0;;) {
    const long r = ::syscall(SYS_openat2, rootFd, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (r >= 0) return static_cast<int>(r);
    if (errno == EINTR || (errno == EAGAIN && ++races < kMaxRaces)) continue;
    return -1;
  }
}

namespace {

/// Writes a small file and sets attributes. Names are made by the caller, in the archive's order; what is left to do
/// needs the descriptor only, so order does not matter any more.
class FinishFile : public Job {
 public:
  FinishFile(Fd fd, std::string path, std::string content, NodeMeta meta)
      : fd_(std::move(fd)), path_(std::move(path)), content_(std::move(content)), meta_(std::move(meta)) {}
  void run() override {
    if (!content_.empty()) writeAll(fd_.get(), content_, path_);
    applyMeta(fd_.get(), meta_, path_);
    fd_.reset();
  }
  size_t weight() const noexcept override { return content_.size(); }

 private:
  Fd fd_;
  std::string path_;
  std::string content_;
  NodeMeta meta_;
};

}  // namespace

TreeWriter::TreeWriter(int rootFd, Options options) : rootFd_(rootFd), options_(std::move(options)) {}
TreeWriter::~TreeWriter() = default;

std::string TreeWriter::full(const std::string& path) const {
  if (options_.base.empty()) return path;
  return path.empty() ? options_.base : options_.base + "/" + path;
}

TreeWriter::Parent TreeWriter::openParent(const std::string& fullDir) {
  int fd = openInside(rootFd_, fullDir, O_PATH | O_DIRECTORY, false);
  if (fd >= 0) return {Fd(fd), fullDir};
  if (errno == ELOOP) {
    fd = openInside(rootFd_, fullDir, O_PATH | O_DIRECTORY, true);
    if (fd >= 0) {
      Fd dir(fd);
      std::string real = pathInside(rootFd_, dir.get());
      return {std::move(dir), std::move(real)};
    }
  }
  if (errno == ENOENT || errno == ENOTDIR) {
    makeMissing(fullDir);
    fd = openInside(rootFd_, fullDir, O_PATH | O_DIRECTORY, false);
    if (fd >= 0) return {Fd(fd), fullDir};
    // The missing part was below a link.
    const auto [dir, name] = splitLast(fullDir);
    const Parent& above = parent(dir);
    fd = ::openat(above.fd.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) return {Fd(fd), above.path.empty() ? name : above.path + "/" + name};
  }
  throw SysError(errno, fmt::format("open directory '{}' of the {}", fullDir, options_.what));
}

const TreeWriter::Parent& TreeWriter::parent(const std::string& fullDir) {
  if (const auto it = parents_.find(fullDir); it != parents_.end()) return it->second;
  Parent made = openParent(fullDir);
  if (parents_.size() >= kCachedParents) parents_.clear();
  return parents_.insert_or_assign(fullDir, std::move(made)).first->second;
}

void TreeWriter::makeMissing(const std::string& fullDir) {
  const Place at = placeFull(fullDir);
  struct stat st {};
  if (::fstatat(at.dirFd, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISDIR(st.st_mode)) return;
    if (!options_.overlay || !isWhiteout(st)) {
      fail(Code::invalid, "'{}' of the {} is no directory, yet something lies in it", fullDir, options_.what);
    }
  }
  const Fd fd = makeDirectory(at);
  applyMeta(fd.get(), {options_.impliedMode, options_.impliedUid, options_.impliedGid, 0, {}}, at.path, false);
}

TreeWriter::Place TreeWriter::placeFull(const std::string& fullPath) {
  if (fullPath.empty()) fail(Code::invalid, "the root of the {} can only be a directory", options_.what);
  auto [dir, name] = splitLast(fullPath);
  const Parent& in = parent(dir);
  return {in.fd.get(), name, in.path.empty() ? name : in.path + "/" + name};
}

TreeWriter::Place TreeWriter::place(const std::string& path) {
  if (path.empty()) fail(Code::invalid, "the root of the {} can only be a directory", options_.what);
  return placeFull(full(path));
}

void TreeWriter::clear(const Place& at, const struct stat& st) {
  const bool directory = S_ISDIR(st.st_mode);
  if (options_.onReplace) options_.onReplace(at.path, directory);
  if (directory) {
    removeTreeAt(at.dirFd, at.name);
  } else {
    sys([&] { return ::unlinkat(at.dirFd, at.name.c_str(), 0); }, "remove '{}'", at.path);
  }
}

template <class F>
void TreeWriter::create(const Place& at, std::string_view verb, F&& make) {
  bool stale = false;
  for (int tries = 0; tries < 4; ++tries) {
    if (make()) {
      // Cached parents may have been below or behind what is gone. Only now: `at` lives in that cache.
      if (stale) forget();
      return;
    }
    if (errno == EINTR) continue;
    if (errno != EEXIST) break;
    struct stat st {};
    sys([&] { return ::fstatat(at.dirFd, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'", at.path);
    if (S_ISDIR(st.st_mode) && options_.noOverwriteDirNonDir) {
      fail(Code::invalid, "cannot overwrite directory \"{}\" with non-directory", at.path);
    }
    clear(at, st);
    stale = stale || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode);
  }
  throw SysError(errno, fmt::format("{} '{}'", verb, at.path));
}

Fd TreeWriter::makeDirectory(const Place& at) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  bool wasWhiteout = false;
  bool wasLink = false;
  for (int tries = 0; ::mkdirat(at.dirFd, at.name.c_str(), 0700) != 0; ++tries) {
    const int e = errno;
    if (e != EEXIST || tries == 3) throw SysError(e, fmt::format("make directory '{}'", at.path));
    struct stat st {};
    sys([&] { return ::fstatat(at.dirFd, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'", at.path);
    if (S_ISDIR(st.st_mode)) break;
    if (options_.noOverwriteDirNonDir) {
      fail(Code::invalid, "cannot overwrite non-directory \"{}\" with directory", at.path);
    }
    wasWhiteout = options_.overlay && isWhiteout(st);
    wasLink = S_ISLNK(st.st_mode);
    clear(at, st);
  }
  Fd fd(sys([&] { return ::openat(at.dirFd, at.name.c_str(), kFlags); }, "open directory '{}'", at.path));
  if (wasWhiteout) setOpaque(fd.get(), at.path);
  if (wasLink) forget();
  return fd;
}

void TreeWriter::directory(const std::string& path, const NodeMeta& meta) {
  const std::string fullPath = full(path);
  std::string real;
  Fd fd;
  if (path.empty()) {
    fd = Fd(openInside(rootFd_, fullPath, O_RDONLY | O_DIRECTORY, true));
    if (!fd) throw SysError(errno, fmt::format("open the root of the {}", options_.what));
    // A layer's entry for "/" says what the directory was that somebody packed: Docker leaves "/" as it is, and an image
    // made from a 0700 directory must not lock out everyone but root.
    if (options_.overlay) return;
    real = fullPath;
  } else {
    const Place at = placeFull(fullPath);
    real = at.path;
    fd = makeDirectory(at);
  }
  applyMeta(fd.get(), meta, real, false);
  directoryTimes_.emplace_back(real, meta.mtimeNs);
  if (!path.empty()) {  // what follows is most often inside it
    if (parents_.size() >= kCachedParents) parents_.clear();
    parents_.insert_or_assign(fullPath, Parent{std::move(fd), std::move(real)});
  }
}

void TreeWriter::symlink(const std::string& path, const std::string& text, const NodeMeta& meta) {
  const Place at = place(path);
  const Fd dir(sys([&] { return ::fcntl(at.dirFd, F_DUPFD_CLOEXEC, 3); }, "duplicate a descriptor"));
  create(at, "make link", [&] { return ::symlinkat(text.c_str(), at.dirFd, at.name.c_str()) == 0; });
  sys([&] { return ::fchownat(dir.get(), at.name.c_str(), meta.uid, meta.gid, AT_SYMLINK_NOFOLLOW); }, "chown '{}'",
      at.path);
  const timespec times[2] = {timespecOf(meta.mtimeNs), timespecOf(meta.mtimeNs)};
  sys([&] { return ::utimensat(dir.get(), at.name.c_str(), times, AT_SYMLINK_NOFOLLOW); }, "set the time of '{}'",
      at.path);
}

void TreeWriter::device(const std::string& path, mode_t type, dev_t number, const NodeMeta& meta) {
  const Place at = place(path);
  const Fd dir(sys([&] { return ::fcntl(at.dirFd, F_DUPFD_CLOEXEC, 3); }, "duplicate a descriptor"));
  create(at, "make device", [&] { return ::mknodat(at.dirFd, at.name.c_str(), type | 0600, number) == 0; });
  const Fd node(
      sys([&] { return ::openat(dir.get(), at.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC); }, "open '{}'", at.path));
  sys([&] { return ::fchownat(node.get(), "", meta.uid, meta.gid, AT_EMPTY_PATH); }, "chown '{}'", at.path);
  // fchmod does not take O_PATH, and fchmodat follows links: by the descriptor's own name it cannot be led astray.
  const std::string own = fmt::format("/proc/self/fd/{}", node.get());
  sys([&] { return ::chmod(own.c_str(), meta.mode & 07777); }, "chmod '{}'", at.path);
  const timespec times[2] = {timespecOf(meta.mtimeNs), timespecOf(meta.mtimeNs)};
  sys([&] { return ::utimensat(AT_FDCWD, own.c_str(), times, 0); }, "set the time of '{}'", at.path);
}

bool TreeWriter::hardlink(const std::string& path, const std::string& target) {
  if (target.empty()) return false;
  const std::string fullTarget = full(target);
  const auto parts = splitLast(fullTarget);
  const std::string& dir = parts.first;
  const std::string& name = parts.second;  // not a structured binding: clang 14 captures none in lambdas
  int fd = openInside(rootFd_, dir, O_PATH | O_DIRECTORY, true);  // no parents are made for a target
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return false;
    throw SysError(errno, fmt::format("open directory '{}' of the {}", dir, options_.what));
  }
  const Fd targetDir(fd);
  struct stat st {};
  if (::fstatat(targetDir.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT || errno == ENAMETOOLONG) return false;
    throw SysError(errno, fmt::format("stat '{}'", fullTarget));
  }
  if (S_ISDIR(st.st_mode)) fail(Code::invalid, "hard link '{}' to the directory '{}'", path, target);
  if (options_.overlay && isWhiteout(st)) return false;
  const Place at = place(path);
  struct stat there {};
  if (::fstatat(at.dirFd, at.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_dev == st.st_dev &&
      there.st_ino == st.st_ino) {
    return true;  // to itself, or told twice: removing it first would lose the content
  }
  create(at, "make hard link",
         [&] { return ::linkat(targetDir.get(), name.c_str(), at.dirFd, at.name.c_str(), 0) == 0; });
  return true;
}

void TreeWriter::whiteout(const std::string& path) {
  const Place at = place(path);
  if (::mknodat(at.dirFd, at.name.c_str(), S_IFCHR, 0) == 0) return;
  const int e = errno;
  if (e != EEXIST) throw SysError(e, fmt::format("make whiteout '{}'", at.path));
  // A whiteout speaks of lower layers only, wherever it stands in the archive (image-spec layer.md): what is there
  // already of this layer stays, but nothing of a lower directory may show through.
  struct stat st {};
  sys([&] { return ::fstatat(at.dirFd, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'", at.path);
  if (S_ISDIR(st.st_mode)) opaque(path);
}

void TreeWriter::opaque(const std::string& path) {
  const Parent& dir = parent(full(path));
  const Fd fd(sys([&] { return ::openat(dir.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); },
                  "open directory '{}'", path));
  setOpaque(fd.get(), path);
}

TreeWriter::File TreeWriter::file(const std::string& path, int64_t size, bool sparse) {
  const Place at = place(path);
  File out;
  out.path_ = at.path;
  out.size_ = size;
  out.buffered_ = !sparse && static_cast<uint64_t>(size) <= kSmallFile;
  if (out.buffered_) out.pending_.reserve(static_cast<size_t>(size));
  create(at, "create", [&] {
    out.fd_ = Fd(::openat(at.dirFd, at.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return static_cast<bool>(out.fd_);
  });
  return out;
}

void TreeWriter::File::write(int64_t offset, std::string_view bytes) {
  if (buffered_) {
    pending_ += bytes;
    return;
  }
  while (!bytes.empty()) {
    const ssize_t n = sys([&] { return ::pwrite(fd_.get(), bytes.data(), bytes.size(), offset); }, "write '{}'", path_);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  end_ = offset;
}

void TreeWriter::close(File file, NodeMeta meta) {
  if (!file.buffered_ && file.end_ < file.size_) {
    sys([&] { return ::ftruncate(file.fd_.get(), file.size_); }, "set the size of '{}'", file.path_);
  }
  if (!workers_) workers_ = std::make_unique<Workers>();
  workers_->submit(std::make_unique<FinishFile>(std::move(file.fd_), std::move(file.path_), std::move(file.pending_),
                                                std::move(meta)));
}

void TreeWriter::settle() {
  if (workers_) workers_->settle();
}

void TreeWriter::finish() {
  settle();
  for (const auto& [path, ns] : directoryTimes_) {
    const Fd fd(openInside(rootFd_, path, O_PATH | O_DIRECTORY, false));
    if (!fd) continue;  // replaced later in the archive
    const timespec times[2] = {timespecOf(ns), timespecOf(ns)};
    sys([&] { return ::utimensat(fd.get(), "", times, AT_EMPTY_PATH); }, "set the time of '{}'", path);
  }
  directoryTimes_.clear();
}

bool writeNode(TreeWriter& to, const std::string& path, const TarEntry& entry, const NodeMeta& meta) {
  switch (entry.type) {
    case TarType::symlink:
      if (entry.linkName.empty() || entry.linkName.size() >= PATH_MAX) {
        fail(Code::invalid, "the text of the link '{}' is empty or too long", path);
      }
      to.symlink(path, entry.linkName, meta);
      return true;
    case TarType::directory:
      to.directory(path, meta);
      return true;
    case TarType::fifo:
      to.device(path, S_IFIFO, 0, meta);
      return true;
    case TarType::charDevice:
      to.device(path, S_IFCHR, makedev(entry.devMajor, entry.devMinor), meta);
      return true;
    case TarType::blockDevice:
      to.device(path, S_IFBLK, makedev(entry.devMajor, entry.devMinor), meta);
      return true;
    case TarType::file:
    case TarType::hardlink:
    case TarType::other:
      return false;
  }
  return false;
}

std::string pathInside(int rootFd, int fd) {
  const auto nameOf = [](int of) {
    char buffer[PATH_MAX];
    const std::string link = fmt::format("/proc/self/fd/{}", of);
    const ssize_t n = sys([&] { return ::readlink(link.c_str(), buffer, sizeof buffer); }, "read '{}'", link);
    return std::string(buffer, static_cast<size_t>(n));
  };
  const std::string root = nameOf(rootFd);
  const std::string name = nameOf(fd);
  if (name == root) return "";
  const std::string prefix = root == "/" ? root : root + "/";
  if (!name.starts_with(prefix)) fail(Code::conflict, "directory '{}' moved away while it was written to", name);
  return name.substr(prefix.size());
}

}  // namespace estiba::archive
