#pragma once
// Small things that whoever walks a directory tree needs.

#include <dirent.h>
#include <sys/stat.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace estiba::archive {

struct DirItem {
  std::string name;
  unsigned char type = DT_UNKNOWN;  ///< DT_*, looked up where the file system does not say it
};

/// What is in `dirFd`, "." and ".." apart, sorted by bytes. `path` is for errors.
std::vector<DirItem> sortedItems(int dirFd, const std::string& path);

/// All xattrs of an open file whose names `wanted` takes.
template <class F>
std::map<std::string, std::string> readXattrs(int fd, const std::string& path, F&& wanted);
std::vector<std::string> xattrNames(int fd, const std::string& path);
std::string readXattr(int fd, const std::string& name, const std::string& path);

template <class F>
std::map<std::string, std::string> readXattrs(int fd, const std::string& path, F&& wanted) {
  std::map<std::string, std::string> out;
  for (const auto& name : xattrNames(fd, path)) {
    if (wanted(name)) out[name] = readXattr(fd, name, path);
  }
  return out;
}

inline int64_t nanoseconds(const timespec& time) noexcept {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// openat(2) for reading that leaves the access time alone where that is allowed, and never blocks on a fifo.
int openForReading(int dirFd, const char* name);

}  // namespace estiba::archive
