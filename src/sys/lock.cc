#include "sys/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/error.h"
#include "sys/file.h"

namespace estiba {

namespace {
int operation(FileLock::Kind kind) {
  return kind == FileLock::Kind::shared ? LOCK_SH : LOCK_EX;
}
}  // namespace

FileLock FileLock::acquire(const std::string& path, Kind kind) {
  Fd fd = openFile(path, O_RDWR | O_CREAT, 0600);
  sys([&] { return ::flock(fd.get(), operation(kind)); }, "lock '{}'", path);
  return FileLock(std::move(fd));
}

FileLock FileLock::tryAcquire(const std::string& path, Kind kind) {
  Fd fd = openFile(path, O_RDWR | O_CREAT, 0600);
  for (;;) {
    if (::flock(fd.get(), operation(kind) | LOCK_NB) == 0) return FileLock(std::move(fd));
    if (errno == EWOULDBLOCK) return {};
    if (errno != EINTR) throw SysError(errno, fmt::format("lock '{}'", path));
  }
}

}  // namespace estiba
