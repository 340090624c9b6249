#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "archive/dir_walk.h"
#include "archive/layer.h"
#include "archive/tree_writer.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

/// A directory of the layers below as it was seen through the overlay: the directories that merged, topmost first.
using Merged = std::vector<Fd>;

Fd openDirectory(int dirFd, const std::string& name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  return Fd(sys([&] { return ::openat(dirFd, name.c_str(), kFlags); }, "open directory '{}'", name));
}

bool isOpaque(int fd) {
  char value = 0;
  return ::fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/// What stood at a name before.
struct Before {
  struct stat st {};
  Fd holder;      ///< the directory it stands in
  Merged merged;  ///< where it is a directory
};

std::optional<struct stat> lstatAt(int dirFd, const std::string& name) {
  struct stat st {};
  if (::fstatat(dirFd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return st;
  if (errno == ENOENT) return std::nullopt;
  throw SysError(errno, fmt::format("stat '{}' of a lower layer", name));
}

std::optional<Before> lookUp(const Merged& dirs, const std::string& name) {
  std::optional<Before> out;
  for (const Fd& dir : dirs) {
    const auto st = lstatAt(dir.get(), name);
    if (!st) continue;
    if (isWhiteout(*st)) break;
    if (!out) {
      out.emplace();
      out->st = *st;
      out->holder = openDirectory(dir.get(), ".");
    }
    if (!S_ISDIR(st->st_mode)) break;
    out->merged.push_back(openDirectory(dir.get(), name));
    if (isOpaque(out->merged.back().get())) break;
  }
  return out;
}

/// Names that were visible in a directory before.
std::vector<std::string> visible(const Merged& dirs, const std::string& path) {
  std::map<std::string, bool> seen;  // true: there; the topmost layer decides
  for (const Fd& dir : dirs) {
    for (const auto& item : sortedItems(dir.get(), path)) {
      bool there = true;
      if (item.type == DT_CHR) {
        const auto st = lstatAt(dir.get(), item.name);
        there = st && !isWhiteout(*st);
      }
      seen.try_emplace(item.name, there);
    }
  }
  std::vector<std::string> out;
  for (const auto& [name, there] : seen) {
    if (there) out.push_back(name);
  }
  return out;
}

std::string capabilityOf(int dirFd, const std::string& name) {
  const Fd fd(openForReading(dirFd, name.c_str()));
  char value[64];
  const ssize_t n = fd ? ::fgetxattr(fd.get(), "security.capability", value, sizeof value) : -1;
  return n < 0 ? std::string() : std::string(value, static_cast<size_t>(n));
}

class Comparer {
 public:
  std::vector<Change> run(int upperFd, const std::vector<int>& lowerFds) {
    Merged lowers;
    for (const int fd : lowerFds) {
      lowers.push_back(openDirectory(fd, "."));
      if (isOpaque(lowers.back().get())) break;
    }
    directory(upperFd, "", lowers);
    std::sort(out_.begin(), out_.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
    return std::move(out_);
  }

 private:
  void add(const std::string& path, ChangeKind kind) { out_.push_back({path, kind}); }

  void directory(int upper, const std::string& path, const Merged& lowers) {
    const auto items = sortedItems(upper, path);
    if (!lowers.empty() && isOpaque(upper)) {
      for (const auto& name : visible(lowers, path)) {
        const auto at = std::lower_bound(items.begin(), items.end(), name,
                                         [](const DirItem& item, const std::string& n) { return item.name < n; });
        if (at == items.end() || at->name != name) add(path + "/" + name, ChangeKind::deleted);
      }
    }
    for (const auto& item : items) node(upper, path, item.name, lowers);
  }

  void node(int upper, const std::string& parent, const std::string& name, const Merged& lowers) {
    const std::string path = parent + "/" + name;
    struct stat st {};
    sys([&] { return ::fstatat(upper, name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}'", path);
    const auto before = lookUp(lowers, name);
    if (isWhiteout(st)) {
      if (before) add(path, ChangeKind::deleted);  // else it was made and removed again, or hides nothing
      return;
    }
    const bool told = !before || differs(upper, name, st, *before);
    if (told) add(path, before ? ChangeKind::modified : ChangeKind::added);
    if (!S_ISDIR(st.st_mode)) return;
    static const Merged kNone;
    const size_t count = out_.size();
    directory(openDirectory(upper, name).get(), path, before ? before->merged : kNone);
    if (!told && out_.size() > count) add(path, ChangeKind::modified);
  }

  static bool differs(int upper, const std::string& name, const struct stat& now, const Before& before) {
    const struct stat& was = before.st;
    if (now.st_mode != was.st_mode || now.st_uid != was.st_uid || now.st_gid != was.st_gid ||
        now.st_rdev != was.st_rdev) {
      return true;
    }
    if (S_ISDIR(now.st_mode)) return false;
    if (now.st_size != was.st_size || nanoseconds(now.st_mtim) != nanoseconds(was.st_mtim)) return true;
    return S_ISREG(now.st_mode) && capabilityOf(upper, name) != capabilityOf(before.holder.get(), name);
  }

  std::vector<Change> out_;
};

}  // namespace

char changeLetter(ChangeKind kind) noexcept {
  switch (kind) {
    case ChangeKind::modified:
      return 'C';
    case ChangeKind::added:
      return 'A';
    case ChangeKind::deleted:
      return 'D';
  }
  return '?';
}

std::vector<Change> layerChanges(int upperFd, const std::vector<int>& lowerFds) {
  return Comparer().run(upperFd, lowerFds);
}

}  // namespace estiba::archive
