#include "snapshot/store_dir.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "sys/file.h"

namespace estiba::snapshot {

namespace {

constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

}  // namespace

void makeStoreDir(const std::string& path) {
  if (exists(path)) return;
  makeDirs(path, 0700);
  const Fd dir = openFile(path, kDirFlags);
  int flags = 0;
  if (::ioctl(dir.get(), FS_IOC_GETFLAGS, &flags) != 0) return;  // not every file system has them
  flags |= FS_TOPDIR_FL;
  (void)::ioctl(dir.get(), FS_IOC_SETFLAGS, &flags);
}

}  // namespace estiba::snapshot
