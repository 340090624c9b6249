#include "runtime/tmpfs_copy.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>
#include <string>
#include <vector>

#include "base/error.h"
#include "sys/file.h"

namespace estiba::runtime {

namespace {

void copyXattrs(int from, int to) {
  char names[4096];
  const ssize_t size = ::flistxattr(from, names, sizeof names);
  for (ssize_t at = 0; at < size;) {
    const std::string name(names + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    std::vector<char> value(65536);
    const ssize_t n = ::fgetxattr(from, name.c_str(), value.data(), value.size());
    // tmpfs may know fewer kinds than the image's file system: those it does not take are left out.
    if (n >= 0) (void)!::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(n), 0);
  }
}

void copyOwnerAndTimes(int fd, const struct stat& st) {
  sys([&] { return ::fchown(fd, st.st_uid, st.st_gid); }, "chown a copy");
  sys([&] { return ::fchmod(fd, st.st_mode & 07777U); }, "chmod a copy");
  const timespec times[] = {st.st_atim, st.st_mtim};
  sys([&] { return ::futimens(fd, times); }, "set the times of a copy");
}

void copyFile(int fromDir, int toDir, const std::string& name, const struct stat& st) {
  const Fd in = openAt(fromDir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const Fd out = openAt(toDir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  while (sys([&] { return ::sendfile(out.get(), in.get(), nullptr, 1U << 30); }, "copy '{}'", name) > 0) {
  }
  copyXattrs(in.get(), out.get());
  copyOwnerAndTimes(out.get(), st);
}

void copyLink(int fromDir, int toDir, const std::string& name, const struct stat& st) {
  char target[PATH_MAX];
  const ssize_t n =
      sys([&] { return ::readlinkat(fromDir, name.c_str(), target, sizeof target - 1); }, "read link '{}'", name);
  target[n] = '\0';
  sys([&] { return ::symlinkat(target, toDir, name.c_str()); }, "link '{}'", name);
  sys([&] { return ::fchownat(toDir, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW); }, "chown '{}'", name);
}

}  // namespace

void copyTreeInto(int from, int to) {
  struct stat top {};
  sys([&] { return ::fstat(from, &top); }, "stat");
  for (const auto& name : listDirFd(from, "tmpcopyup")) {
    struct stat st {};
    sys([&] { return ::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'", name);
    if (st.st_dev != top.st_dev && S_ISDIR(st.st_mode)) continue;  // another mount
    if (S_ISDIR(st.st_mode)) {
      sys([&] { return ::mkdirat(to, name.c_str(), 0700); }, "make directory '{}'", name);
      const Fd source = openAt(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      const Fd made = openAt(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      copyTreeInto(source.get(), made.get());
      copyXattrs(source.get(), made.get());
      copyOwnerAndTimes(made.get(), st);
    } else if (S_ISREG(st.st_mode)) {
      copyFile(from, to, name, st);
    } else if (S_ISLNK(st.st_mode)) {
      copyLink(from, to, name, st);
    } else if (!S_ISSOCK(st.st_mode)) {
      sys([&] { return ::mknodat(to, name.c_str(), st.st_mode, st.st_rdev); }, "make node '{}'", name);
      sys([&] { return ::fchownat(to, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW); }, "chown '{}'", name);
    }
  }
}

}  // namespace estiba::runtime
