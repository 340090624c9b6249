#include "sys/lease.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba {

namespace {

constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/// Whether `path` still names what `fd` is open on.
bool stillAt(int fd, const std::string& path) {
  struct stat open {
  }, named{};
  sys([&] { return ::fstat(fd, &open); }, "stat '{}'", path);
  if (::lstat(path.c_str(), &named) != 0) return false;
  return open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

}  // namespace

void lockShared(int fd, const std::string& name) {
  sys([&] { return ::flock(fd, LOCK_SH); }, "lock '{}'", name);
}

bool tryLockExclusive(int fd) {
  for (;;) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) throw SysError(errno, "lock");
  }
}

std::pair<std::string, Fd> makeLockedDir(const std::string& parent, const std::string& prefix) {
  for (;;) {
    std::string id = prefix + randomHex(16);
    const std::string path = parent + "/" + id;
    sys([&] { return ::mkdir(path.c_str(), 0700); }, "make directory '{}'", path);
    if (Fd fd = openLockedDir(path)) return {std::move(id), std::move(fd)};
    // A sweeper took it between the two calls: another name.
  }
}

Fd openLockedDir(const std::string& path) {
  for (;;) {
    auto fd = tryOpen(path, kDirFlags);
    if (!fd) return {};
    lockShared(fd->get(), path);
    if (stillAt(fd->get(), path)) return std::move(*fd);
  }
}

Fd claimDir(const std::string& path) {
  auto fd = tryOpen(path, kDirFlags);
  if (!fd || !tryLockExclusive(fd->get()) || !stillAt(fd->get(), path)) return {};
  return std::move(*fd);
}

}  // namespace estiba
