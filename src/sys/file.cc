#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/text.h"

namespace estiba {

Fd openFile(const std::string& path, int flags, mode_t mode) {
  return openAt(AT_FDCWD, path, flags, mode);
}

Fd openAt(int dirFd, const std::string& name, int flags, mode_t mode) {
  return Fd(sys([&] { return ::openat(dirFd, name.c_str(), flags | O_CLOEXEC, mode); }, "open '{}'", name));
}

std::optional<Fd> tryOpen(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd >= 0) return Fd(fd);
  const int e = errno;
  if (e == ENOENT || e == ENOTDIR) return std::nullopt;
  throw SysError(e, fmt::format("open '{}'", path));
}

std::string readAll(int fd, std::string_view name, uint64_t limit) {
  std::string out;
  struct stat st {};
  if (::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
    out.reserve(std::min<uint64_t>(static_cast<uint64_t>(st.st_size) + 1, limit + 1));
  }
  char buffer[16384];
  for (;;) {
    const ssize_t n = sys([&] { return ::read(fd, buffer, sizeof buffer); }, "read '{}'", name);
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit) fail(Code::invalid, "read '{}': larger than {} bytes", name, limit);
  }
}

std::string readFile(const std::string& path, uint64_t limit) {
  return readAll(openFile(path, O_RDONLY).get(), path, limit);
}

std::optional<std::string> tryReadFile(const std::string& path, uint64_t limit) {
  const auto fd = tryOpen(path, O_RDONLY);
  if (!fd) return std::nullopt;
  return readAll(fd->get(), path, limit);
}

void writeAll(int fd, std::string_view bytes, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t n = sys([&] { return ::write(fd, bytes.data(), bytes.size()); }, "write '{}'", name);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void writeFile(const std::string& path, std::string_view bytes, mode_t mode) {
  const Fd fd = openFile(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  writeAll(fd.get(), bytes, path);
}

void writeFileAtomic(const std::string& path, std::string_view bytes, mode_t mode, bool durable) {
  const std::string temp = fmt::format("{}.{}.tmp", path, randomHex(6));
  try {
    const Fd fd = openFile(temp, O_WRONLY | O_CREAT | O_EXCL, mode);
    writeAll(fd.get(), bytes, temp);
    if (durable) sys([&] { return ::fsync(fd.get()); }, "sync '{}'", temp);
    sys([&] { return ::rename(temp.c_str(), path.c_str()); }, "rename '{}' to '{}'", temp, path);
  } catch (...) {
    ::unlink(temp.c_str());
    throw;
  }
}

bool exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

void makeDir(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return;
  const int e = errno;
  struct stat st {};
  if (e == EEXIST && ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return;
  throw SysError(e, fmt::format("make directory '{}'", path));
}

void makeDirs(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return;
  if (errno == ENOENT) {
    const size_t slash = path.find_last_of('/');
    if (slash != std::string::npos && slash > 0) makeDirs(path.substr(0, slash), mode);
  }
  makeDir(path, mode);
}

namespace {
struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::vector<std::string> namesIn(Fd fd, std::string_view name) {
  std::unique_ptr<DIR, DirCloser> dir(::fdopendir(fd.get()));
  if (!dir) throw SysError(errno, fmt::format("read directory '{}'", name));
  (void)fd.release();  // closedir closes it
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) {
      if (errno != 0) throw SysError(errno, fmt::format("read directory '{}'", name));
      return names;
    }
    const std::string_view item = entry->d_name;
    if (item != "." && item != "..") names.emplace_back(item);
  }
}
}  // namespace

std::string readLinkAt(int dirFd, const std::string& name) {
  std::string target(4096, '\0');
  const ssize_t n = sys([&] { return ::readlinkat(dirFd, name.c_str(), target.data(), target.size()); },
                        "read link '{}'", name);
  target.resize(static_cast<size_t>(n));
  return target;
}

std::vector<std::string> listDir(const std::string& path) {
  auto fd = tryOpen(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return {};
  return namesIn(std::move(*fd), path);
}

std::vector<std::string> listDirFd(int dirFd, std::string_view name) {
  return namesIn(openAt(dirFd, ".", O_RDONLY | O_DIRECTORY), name);
}

namespace {

// How much may be removed; nothing where there is no end to it.
struct Budget {
  size_t entries = 0;
  off_t fileBytes = 0;
};

bool removeWithin(int dirFd, const std::string& name, Budget* budget) {
  if (budget != nullptr) {
    struct stat st{};
    if (::fstatat(dirFd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) return true;
    if (budget->entries == 0 || (S_ISREG(st.st_mode) && st.st_size > budget->fileBytes)) return false;
    --budget->entries;
  }
  if (::unlinkat(dirFd, name.c_str(), 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM) throw SysError(errno, fmt::format("remove '{}'", name));
  if (::unlinkat(dirFd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno != ENOTEMPTY && errno != EEXIST) throw SysError(errno, fmt::format("remove directory '{}'", name));
  // Somebody may be adding to it, or removing it as well: a few rounds settle that.
  for (int round = 0;; ++round) {
    {
      const Fd dir = openAt(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      for (const auto& item : listDirFd(dir.get(), name)) {
        if (!removeWithin(dir.get(), item, budget)) return false;
      }
    }
    if (::unlinkat(dirFd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
    if (errno != ENOTEMPTY || round >= 8) throw SysError(errno, fmt::format("remove directory '{}'", name));
  }
}

}  // namespace

void removeTreeAt(int dirFd, const std::string& name) {
  removeWithin(dirFd, name, nullptr);
}

void removeTree(const std::string& path) {
  removeTreeAt(AT_FDCWD, path);
}

bool removeSmallTree(const std::string& path) {
  Budget budget{.entries = 32, .fileBytes = 1 << 20};
  return removeWithin(AT_FDCWD, path, &budget);
}

Fd anonymousFile(std::string_view bytes, const char* name) {
  Fd fd(sys([&] { return ::memfd_create(name, MFD_CLOEXEC); }, "make memfd '{}'", name));
  writeAll(fd.get(), bytes, name);
  sys([&] { return ::lseek(fd.get(), 0, SEEK_SET); }, "rewind memfd '{}'", name);
  return fd;
}

std::pair<Fd, Fd> socketPair() {
  int fds[2];
  sys([&] { return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds); }, "make a socket pair");
  return {Fd(fds[0]), Fd(fds[1])};
}

std::pair<Fd, Fd> makePipe() {
  int fds[2];
  sys([&] { return ::pipe2(fds, O_CLOEXEC); }, "make a pipe");
  return {Fd(fds[0]), Fd(fds[1])};
}

}  // namespace estiba
