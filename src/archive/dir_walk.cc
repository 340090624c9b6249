#include "archive/dir_walk.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/error.h"
#include "base/fd.h"

namespace estiba::archive {

namespace {
struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
}  // namespace

std::vector<DirItem> sortedItems(int dirFd, const std::string& path) {
  Fd own(sys([&] { return ::openat(dirFd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }, "open directory '{}'", path));
  std::unique_ptr<DIR, DirCloser> dir(::fdopendir(own.get()));
  if (!dir) throw SysError(errno, fmt::format("read directory '{}'", path));
  (void)own.release();  // closedir closes it
  std::vector<DirItem> out;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) {
      if (errno != 0) throw SysError(errno, fmt::format("read directory '{}'", path));
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    out.push_back({std::string(name), entry->d_type});
  }
  for (auto& item : out) {
    if (item.type != DT_UNKNOWN) continue;
    struct stat st {};
    sys([&] { return ::fstatat(dirFd, item.name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}/{}'", path, item.name);
    item.type = static_cast<unsigned char>(IFTODT(st.st_mode));
  }
  std::sort(out.begin(), out.end(), [](const DirItem& a, const DirItem& b) { return a.name < b.name; });
  return out;
}

std::vector<std::string> xattrNames(int fd, const std::string& path) {
  std::string names(256, '\0');
  for (;;) {
    const ssize_t n = ::flistxattr(fd, names.data(), names.size());
    if (n >= 0) {
      names.resize(static_cast<size_t>(n));
      break;
    }
    if (errno == ENOTSUP) return {};
    if (errno != ERANGE) throw SysError(errno, fmt::format("list the xattrs of '{}'", path));
    names.resize(65536);  // XATTR_LIST_MAX
  }
  std::vector<std::string> out;
  for (size_t at = 0; at < names.size();) {
    out.emplace_back(names.c_str() + at);
    at += out.back().size() + 1;
  }
  return out;
}

std::string readXattr(int fd, const std::string& name, const std::string& path) {
  std::string value(256, '\0');
  for (;;) {
    const ssize_t n = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (n >= 0) {
      value.resize(static_cast<size_t>(n));
      return value;
    }
    if (errno != ERANGE || value.size() >= 65536) throw SysError(errno, fmt::format("read '{}' of '{}'", name, path));
    value.resize(65536);  // XATTR_SIZE_MAX
  }
}

int openForReading(int dirFd, const char* name) {
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const int fd = ::openat(dirFd, name, kFlags | O_NOATIME);
  return fd < 0 && errno == EPERM ? ::openat(dirFd, name, kFlags) : fd;
}

}  // namespace estiba::archive
