#include "sys/lease.h"

#include <sys/file.h>

#include "base/error.h"

namespace estiba {

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

}  // namespace estiba
