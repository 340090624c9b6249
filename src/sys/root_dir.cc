#include "sys/root_dir.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba {

namespace {
constexpr int kMaxRaces = 128;  // EAGAIN: a rename raced the look-up
constexpr int kMaxLinks = 40;   // as the kernel follows in one look-up

/// Empty where it is no link.
std::string linkTarget(int dir, const std::string& name) {
  char buffer[4096];
  const ssize_t n = ::readlinkat(dir, name.c_str(), buffer, sizeof buffer);
  return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
}

std::string inside(const std::string& path) {
  return path.empty() ? "." : path;
}
}  // namespace

RootDir::RootDir(Fd dir, std::string name, Confine confine)
    : dir_(std::move(dir)), name_(std::move(name)), confine_(confine) {}

RootDir RootDir::open(const std::string& path, Confine confine) {
  return {openFile(path, O_PATH | O_DIRECTORY), path, confine};
}

long RootDir::tryOpenRaw(const std::string& path, uint64_t flags, mode_t mode, uint64_t extraResolve) const {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve =
      RESOLVE_NO_MAGICLINKS | extraResolve | (confine_ == Confine::in_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH);
  std::string target = inside(path);
  if (confine_ == Confine::beneath) {  // RESOLVE_BENEATH refuses absolute paths outright; ours start at the root
    target = inside(target.substr(std::min(target.find_first_not_of('/'), target.size())));
  }
  for (int races = 0;;) {
    const long r = ::syscall(SYS_openat2, dir_.get(), target.c_str(), &how, sizeof how);
    if (r >= 0) return r;
    if (errno == EINTR || (errno == EAGAIN && ++races < kMaxRaces)) continue;
    return -1;
  }
}

Fd RootDir::openPath(const std::string& path, uint64_t flags, mode_t mode) const {
  const long r = tryOpenRaw(path, flags, mode, 0);
  if (r >= 0) return Fd(static_cast<int>(r));
  const int e = errno;
  if (e == EXDEV) fail(Code::forbidden, "path '{}' leads out of '{}'", path, name_);
  throw SysError(e, fmt::format("open '{}' under '{}'", path, name_));
}

std::optional<Fd> RootDir::tryOpen(const std::string& path, uint64_t flags) const {
  const long r = tryOpenRaw(path, flags, 0, 0);
  if (r >= 0) return Fd(static_cast<int>(r));
  const int e = errno;
  if (e == ENOENT || e == ENOTDIR || e == ELOOP) return std::nullopt;
  if (e == EXDEV) fail(Code::forbidden, "path '{}' leads out of '{}'", path, name_);
  throw SysError(e, fmt::format("open '{}' under '{}'", path, name_));
}

std::pair<Fd, std::string> RootDir::parentOf(const std::string& path) const {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const size_t slash = trimmed.find_last_of('/');
  std::string parent = slash == std::string::npos ? "." : trimmed.substr(0, slash);
  std::string name = slash == std::string::npos ? trimmed : trimmed.substr(slash + 1);
  if (name == "..") {  // its meaning depends on links: let the kernel resolve the whole
    parent = trimmed;
    name = ".";
  }
  if (name.empty()) name = ".";
  return {openPath(inside(parent), O_PATH | O_DIRECTORY), name};
}

std::optional<struct stat> RootDir::lstat(const std::string& path) const {
  const auto fd = tryOpen(path, O_PATH | O_NOFOLLOW);
  if (!fd) return std::nullopt;
  struct stat st {};
  estiba::sys([&] { return ::fstat(fd->get(), &st); }, "stat '{}'", path);
  return st;
}

std::optional<struct stat> RootDir::stat(const std::string& path) const {
  const auto fd = tryOpen(path, O_PATH);
  if (!fd) return std::nullopt;
  struct stat st {};
  estiba::sys([&] { return ::fstat(fd->get(), &st); }, "stat '{}'", path);
  return st;
}

Fd RootDir::makeDirs(const std::string& path, mode_t mode, uid_t uid, gid_t gid) const {
  return makeDirs(path, mode, uid, gid, /*links=*/0);
}

Fd RootDir::makeDirs(const std::string& path, mode_t mode, uid_t uid, gid_t gid, int links) const {
  if (auto there = tryOpen(path, O_PATH | O_DIRECTORY)) return std::move(*there);
  std::string done;
  const auto parts = split(path, '/');
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.empty() || part == ".") continue;
    const std::string before = done;
    done += "/" + part;
    if (part == ".." || tryOpen(done, O_PATH | O_DIRECTORY)) continue;
    const Fd parent = openPath(inside(before), O_PATH | O_DIRECTORY);
    if (::mkdirat(parent.get(), part.c_str(), 0700) == 0) {
      estiba::sys([&] { return ::fchownat(parent.get(), part.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW); },
                  "chown '{}' under '{}'", done, name_);
      const Fd made = openAt(parent.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      estiba::sys([&] { return ::fchmod(made.get(), mode); }, "chmod '{}' under '{}'", done, name_);
    } else if (errno != EEXIST) {
      throw SysError(errno, fmt::format("make directory '{}' under '{}'", done, name_));
    } else if (const std::string target = linkTarget(parent.get(), part);
               !target.empty() && confine_ == Confine::in_root) {
      // A link to what is missing: that is made, as "/var/run -> /run" wants it. Still confined: every look-up is.
      if (links >= kMaxLinks) throw SysError(ELOOP, fmt::format("make directory '{}' under '{}'", done, name_));
      std::string rest = target[0] == '/' ? target : before + "/" + target;
      for (size_t j = i + 1; j < parts.size(); ++j) rest += "/" + parts[j];
      return makeDirs(rest, mode, uid, gid, links + 1);
    }
  }
  return openPath(path, O_PATH | O_DIRECTORY);
}

std::optional<std::string> RootDir::tryRead(const std::string& path, uint64_t limit) const {
  // Looked at before it is opened: opening a device is an act of its own.
  const auto fd = tryOpen(path, O_PATH);
  if (!fd) return std::nullopt;
  struct stat st {};
  estiba::sys([&] { return ::fstat(fd->get(), &st); }, "stat '{}'", path);
  if (!S_ISREG(st.st_mode)) fail(Code::invalid, "'{}' under '{}' is no regular file", path, name_);
  return readAll(openFile(fmt::format("/proc/self/fd/{}", fd->get()), O_RDONLY).get(), path, limit);
}

std::string cleanPath(const std::string& path) {
  std::vector<std::string> kept;
  for (auto& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(std::move(part));
    }
  }
  return "/" + join(kept, "/");
}

}  // namespace estiba
