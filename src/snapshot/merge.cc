#include "snapshot/merge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "sys/file.h"

namespace estiba::snapshot {

namespace {

constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
constexpr const char* kOpaque = "trusted.overlay.opaque";
constexpr std::string_view kOverlayPrefix = "trusted.overlay.";

std::optional<struct stat> statAt(int dir, const std::string& name) {
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return st;
  if (errno == ENOENT) return std::nullopt;
  throw SysError(errno, fmt::format("stat '{}'", name));
}

bool isOpaque(int dir) {
  char value = 0;
  return ::fgetxattr(dir, kOpaque, &value, 1) == 1 && value == 'y';
}

void copyXattrs(int from, int to) {
  std::string names(64U << 10, '\0');
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  if (size < 0 && errno == ENOTSUP) return;
  sys([&] { return size; }, "list xattrs of a directory");
  for (ssize_t at = 0; at < size;) {
    const std::string name(names.c_str() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (name.starts_with(kOverlayPrefix)) continue;  // origin, impure: true of the source only
    std::string value(64U << 10, '\0');
    const auto length =
        sys([&] { return ::fgetxattr(from, name.c_str(), value.data(), value.size()); }, "get xattr '{}'", name);
    sys([&] { return ::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(length), 0); }, "set xattr '{}'",
        name);
  }
}

void copyAttributes(int from, int to) {
  struct stat st {};
  sys([&] { return ::fstat(from, &st); }, "stat a directory");
  sys([&] { return ::fchown(to, st.st_uid, st.st_gid); }, "chown a directory");
  sys([&] { return ::fchmod(to, st.st_mode & 07777); }, "chmod a directory");
  copyXattrs(from, to);
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  sys([&] { return ::futimens(to, times); }, "set times of a directory");
}

void mergeDir(int from, int to);

void mergeSubdir(int from, int to, const std::string& name) {
  const Fd source = openAt(from, name, kDirFlags);
  const auto present = statAt(to, name);
  const bool sourceOpaque = isOpaque(source.get());
  const bool hadDir = present && S_ISDIR(present->st_mode);
  // What stood there (a whiteout, a file) hid the layers below; the directory that replaces it must go on doing so.
  const bool opaque = sourceOpaque || (present && !hadDir);
  if (present && opaque) removeTreeAt(to, name);
  if (!hadDir || opaque) sys([&] { return ::mkdirat(to, name.c_str(), 0700); }, "make directory '{}'", name);
  const Fd target = openAt(to, name, kDirFlags);
  if (opaque) sys([&] { return ::fsetxattr(target.get(), kOpaque, "y", 1, 0); }, "mark '{}' opaque", name);
  mergeDir(source.get(), target.get());
}

void linkEntry(int from, int to, const std::string& name, const struct stat& st) {
  if (statAt(to, name)) removeTreeAt(to, name);
  if (::linkat(from, name.c_str(), to, name.c_str(), 0) == 0) return;
  const int e = errno;
  const bool whiteout = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  // overlayfs makes all its whiteouts links to one: that may have as many as it can have already.
  if (e != EMLINK || !whiteout) throw SysError(e, fmt::format("link '{}'", name));
  sys([&] { return ::mknodat(to, name.c_str(), S_IFCHR, makedev(0, 0)); }, "make whiteout '{}'", name);
}

void mergeDir(int from, int to) {
  for (const std::string& name : listDirFd(from, "layer")) {
    const auto st = statAt(from, name);
    if (!st) continue;
    if (S_ISDIR(st->st_mode)) {
      mergeSubdir(from, to, name);
    } else {
      linkEntry(from, to, name, *st);
    }
  }
  copyAttributes(from, to);
}

bool below(const std::string& path, const std::string& dir) {
  return path.size() > dir.size() && path.starts_with(dir) && path[dir.size()] == '/';
}

}  // namespace

void mergeUppers(const std::vector<int>& uppers, int target) {
  for (const int upper : uppers) mergeDir(upper, target);
}

std::vector<archive::Change> composeChanges(const std::vector<archive::Change>& first,
                                            const std::vector<archive::Change>& second) {
  using archive::ChangeKind;
  std::map<std::string, ChangeKind> all;
  for (const auto& change : first) all[change.path] = change.kind;
  for (const auto& change : second) {
    const auto before = all.find(change.path);
    switch (change.kind) {
      case ChangeKind::deleted: {
        const bool made = before != all.end() && before->second == ChangeKind::added;
        std::erase_if(all, [&](const auto& entry) { return below(entry.first, change.path); });
        if (made) {
          all.erase(change.path);
        } else {
          all[change.path] = ChangeKind::deleted;
        }
        break;
      }
      case ChangeKind::added:  // again, after the first had deleted it: for the image it is a change
        all[change.path] =
            before != all.end() && before->second == ChangeKind::deleted ? ChangeKind::modified : ChangeKind::added;
        break;
      case ChangeKind::modified:
        all.emplace(change.path, ChangeKind::modified);
        break;
    }
  }
  std::vector<archive::Change> out;
  for (const auto& [path, kind] : all) out.push_back({path, kind});
  return out;
}

}  // namespace estiba::snapshot
