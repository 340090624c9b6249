#include "build/mount_points.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <set>

#include "archive/copy.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

constexpr int kMaxLinks = 40;  // as the kernel (path_resolution(7))

/// Where a path leads in a tree: as far as it is there, and what is missing of it. No links are left in either.
struct Walked {
  std::string there;                 ///< "" or "/a/b"
  std::vector<std::string> missing;  ///< names below that; empty where all is there
};

// nullopt: what stands in the way is no directory, or links in a circle. Whoever mounts will say so.
std::optional<Walked> walk(const RootDir& root, const std::string& path) {
  Walked out;
  const auto names = split(path, '/');
  std::deque<std::string> pending(names.begin(), names.end());
  for (int links = 0; !pending.empty();) {
    const std::string name = pending.front();
    pending.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (!out.missing.empty()) out.missing.pop_back();
      else out.there = out.there.substr(0, std::min(out.there.rfind('/'), out.there.size()));
      continue;
    }
    const std::string next = out.there + "/" + name;
    const auto st = out.missing.empty() ? root.lstat(next) : std::nullopt;
    if (!st) {
      out.missing.push_back(name);
    } else if (S_ISLNK(st->st_mode)) {
      if (++links > kMaxLinks) return std::nullopt;
      const auto [parent, last] = root.parentOf(next);
      const std::string target = readLinkAt(parent.get(), last);
      if (target.starts_with('/')) out.there.clear();
      const auto more = split(target, '/');
      pending.insert(pending.begin(), more.begin(), more.end());
    } else if (S_ISDIR(st->st_mode) || pending.empty()) {
      out.there = next;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

bool isBelow(const std::string& path, const std::string& above) {
  return path.size() > above.size() && path.starts_with(above) && path[above.size()] == '/';
}

// Of the engine's own file systems, which are there before any mount of a step.
bool isProvided(const std::string& path) {
  constexpr const char* kOwn[] = {"/dev", "/proc", "/sys"};
  return std::any_of(std::begin(kOwn), std::end(kOwn), [&](const char* own) { return path == own || isBelow(path, own); });
}

class PointMaker {
 public:
  PointMaker(const Step& step, const std::vector<StepMount>& mounts) : step_(step), mounts_(mounts) {
    const auto& layers = step.state.layers;
    stage_ = layers.empty() ? RootDir::open(step.session.temp.next())
                            : RootDir(step.session.snapshots().mountReadOnly(layers), "stage");
  }

  std::string make() {
    for (const auto& mount : mounts_) add(mount);
    if (dir_.empty()) return {};
    // Directories that are in the stage look as they do there. The outer ones last: their times change with the inner.
    archive::CopyOptions alone;
    alone.filter = [](const std::string&, const struct stat&) { return archive::Pick::skip; };
    for (auto path = known_.rbegin(); path != known_.rend(); ++path) {
      archive::copyTree(stage_, *path, RootDir::open(dir_), *path, alone);
    }
    return dir_;
  }

 private:
  void add(const StepMount& mount) {
    const auto inside = [&](const StepMount& other) { return isBelow(mount.target, other.target); };
    if (isProvided(mount.target) || std::any_of(mounts_.begin(), mounts_.end(), inside)) return;
    const auto walked = walk(stage_, mount.target);
    if (!walked || walked->missing.empty()) return;
    if (dir_.empty()) dir_ = step_.session.temp.next();
    for (size_t at = walked->there.find('/', 1); at < walked->there.size(); at = walked->there.find('/', at + 1)) {
      known_.insert(walked->there.substr(0, at));
    }
    if (!walked->there.empty()) known_.insert(walked->there);
    const std::string path = walked->there + "/" + join(walked->missing, "/");
    const bool file = mount.file;
    // A tmpfs takes its mode from what it is put on.
    const mode_t mode = std::holds_alternative<TmpfsMount>(mount.what) ? 01777 : 0755;
    makeDirs(dir_ + (file ? path.substr(0, path.rfind('/')) : path), 0755);
    if (file) writeFile(dir_ + path, "", mode);
    else sys([&] { return ::chmod((dir_ + path).c_str(), mode); }, "chmod '{}'", path);
  }

  const Step& step_;
  const std::vector<StepMount>& mounts_;
  RootDir stage_;
  std::string dir_;
  std::set<std::string> known_;
};

}  // namespace

std::string makeMountPoints(const Step& step, const std::vector<StepMount>& mounts) {
  return mounts.empty() ? std::string() : PointMaker(step, mounts).make();
}

}  // namespace estiba::build
