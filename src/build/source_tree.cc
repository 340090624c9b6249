#include "build/source_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

constexpr std::string_view kMagic = "estiba-digests-1\n";
// A file that changed within a clock tick of being hashed may carry the same times: such digests are not trusted.
constexpr int64_t kTick = 20'000'000;

int64_t nanos(const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

void putNumber(std::string& out, int64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }

// Reads what putNumber and plain bytes wrote; running short throws.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}
  int64_t number() {
    int64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view take(size_t size) {
    if (size > rest_.size()) fail(Code::internal, "digest index: truncated");
    const auto out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::string hashFile(int dirFd, const std::string& name, const std::string& path) {
  const Fd fd = openAt(dirFd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  Sha256 hash;
  char buffer[65536];
  for (;;) {
    const ssize_t n = sys([&] { return ::read(fd.get(), buffer, sizeof buffer); }, "read '{}'", path);
    if (n == 0) return hash.finishHex();
    hash.update(buffer, static_cast<size_t>(n));
  }
}

std::string joined(const std::string& a, const std::string& b) { return a.empty() || a == "." ? b : a + "/" + b; }

std::string relative(const std::string& path) {
  const std::string clean = estiba::cleanPath(path);
  return clean == "/" ? "." : clean.substr(1);
}

}  // namespace

DigestIndex::DigestIndex(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return;
  try {
    Cursor in(bytes.substr(kMagic.size()));
    while (!in.empty()) {
      std::string path(in.take(static_cast<size_t>(in.number())));
      Entry e;
      e.inode = static_cast<uint64_t>(in.number());
      e.size = in.number();
      e.mtime = in.number();
      e.ctime = in.number();
      e.hashedAt = in.number();
      e.sha256 = in.take(64);
      entries_.emplace_hint(entries_.end(), std::move(path), std::move(e));
    }
  } catch (const Error&) {
    entries_.clear();
  }
}

std::string DigestIndex::bytes() const {
  std::string out(kMagic);
  for (const auto& [path, e] : entries_) {
    putNumber(out, static_cast<int64_t>(path.size()));
    out += path;
    putNumber(out, static_cast<int64_t>(e.inode));
    putNumber(out, e.size);
    putNumber(out, e.mtime);
    putNumber(out, e.ctime);
    putNumber(out, e.hashedAt);
    out += e.sha256;
  }
  return out;
}

std::string DigestIndex::digestOf(int dirFd, const std::string& name, const std::string& path, const struct stat& st) {
  const int64_t mtime = nanos(st.st_mtim);
  const int64_t ctime = nanos(st.st_ctim);
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(path);
    if (found != entries_.end()) {
      const Entry& e = found->second;
      if (e.inode == st.st_ino && e.size == st.st_size && e.mtime == mtime && e.ctime == ctime &&
          e.hashedAt - std::max(mtime, ctime) > kTick) {
        return e.sha256;
      }
    }
  }
  Entry e{st.st_ino, st.st_size, mtime, ctime, now().ns, {}};
  e.sha256 = hashFile(dirFd, name, path);
  std::lock_guard lock(mutex_);
  changed_ = true;
  return (entries_[path] = std::move(e)).sha256;
}

SourceTree::SourceTree(RootDir root, Options options, std::shared_ptr<DigestIndex> index)
    : root_(std::move(root)), options_(std::move(options)), ignore_(options_.ignore), index_(std::move(index)) {}

bool SourceTree::ignored(const std::string& path) const { return path != "." && ignore_.ignored(path); }

std::string SourceTree::find(const std::string& path) const {
  const std::string clean = relative(path);
  const auto st = root_.stat(clean);
  if (!st || (ignored(clean) && !(S_ISDIR(st->st_mode) && ignore_.mayInclude(clean)))) {
    fail(Code::not_found, "\"/{}\": not found", clean == "." ? "" : clean);
  }
  return clean;
}

std::vector<std::string> SourceTree::expand(const std::string& pattern) const {
  const std::string clean = relative(pattern);
  if (!hasWildcard(clean)) return {find(pattern)};
  // Component by component: '*' stops at '/'.
  std::vector<std::string> found = {""};
  for (const auto& part : split(clean, '/')) {
    std::vector<std::string> next;
    for (const auto& base : found) {
      if (!hasWildcard(part)) {
        const std::string path = joined(base, part);
        if (root_.lstat(path)) next.push_back(path);
        continue;
      }
      const auto dir = root_.tryOpen(base.empty() ? "." : base, O_RDONLY | O_DIRECTORY);
      if (!dir) continue;
      auto names = listDirFd(dir->get(), base);
      std::sort(names.begin(), names.end());
      for (const auto& name : names) {
        if (globMatch(part, name)) next.push_back(joined(base, name));
      }
    }
    found = std::move(next);
  }
  std::erase_if(found, [&](const auto& path) {
    const auto st = root_.stat(path);
    return !st || (ignored(path) && !(S_ISDIR(st->st_mode) && ignore_.mayInclude(path)));
  });
  return found;
}

bool SourceTree::wanted(const std::string& source, const std::string& below, bool directory,
                        const IgnoreMatcher& excludes) const {
  const std::string path = joined(source, below);
  if (!ignore_.empty() && ignore_.ignored(path) && !(directory && ignore_.mayInclude(path))) return false;
  return excludes.empty() || !excludes.ignored(below) || (directory && excludes.mayInclude(below));
}

void SourceTree::addEntry(int dirFd, const std::string& name, const std::string& path, const struct stat& st,
                          Inputs& out) const {
  std::string value = fmt::format("{:o}", st.st_mode);
  if (options_.keepOwner) value += fmt::format(" {}:{}", st.st_uid, st.st_gid);
  if (S_ISREG(st.st_mode)) {
    value += " " + index_->digestOf(dirFd, name, path, st);
  } else if (S_ISLNK(st.st_mode)) {
    value += " -> " + readLinkAt(dirFd, name);
  } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    value += fmt::format(" {}", st.st_rdev);
  }
  out.emplace_back("file " + options_.label + path, std::move(value));
}

void SourceTree::walk(int dirFd, const std::string& path, const std::string& below, const IgnoreMatcher& excludes,
                      Inputs& out, Met& met) const {
  auto names = listDirFd(dirFd, path);
  std::sort(names.begin(), names.end());
  for (const auto& name : names) {
    struct stat st{};
    sys([&] { return ::fstatat(dirFd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '{}/{}'", path, name);
    const std::string itemPath = joined(path, name);
    const std::string itemBelow = joined(below, name);
    const bool directory = S_ISDIR(st.st_mode);
    met.otherOwner = met.otherOwner || st.st_uid != 0 || st.st_gid != 0;
    if (!ignore_.empty() && ignore_.ignored(itemPath)) {
      met.leftOut = true;
      if (!directory || !ignore_.mayInclude(itemPath)) continue;
    } else if (!excludes.empty() && excludes.ignored(itemBelow)) {
      met.leftOut = true;
      if (!directory || !excludes.mayInclude(itemBelow)) continue;
    } else {
      addEntry(dirFd, name, itemPath, st, out);
    }
    if (!directory) continue;
    const Fd dir = openAt(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    walk(dir.get(), itemPath, itemBelow, excludes, out, met);
  }
}

SourceTree::Met SourceTree::digest(const std::string& path, const IgnoreMatcher& excludes, Inputs& out) const {
  const Fd fd = root_.openPath(path, O_PATH);  // a link that a source itself is, is followed
  struct stat st{};
  sys([&] { return ::fstat(fd.get(), &st); }, "stat '{}'", path);
  Met met;
  met.otherOwner = st.st_uid != 0 || st.st_gid != 0;
  if (S_ISDIR(st.st_mode)) {
    out.emplace_back("file " + options_.label + path + "/", fmt::format("{:o}", st.st_mode));
    const Fd dir = root_.openPath(path, O_RDONLY | O_DIRECTORY);
    walk(dir.get(), path, "", excludes, out, met);
    return met;
  }
  if (S_ISREG(st.st_mode)) {
    std::string value = fmt::format("{:o}", st.st_mode);
    if (options_.keepOwner) value += fmt::format(" {}:{}", st.st_uid, st.st_gid);
    const auto [parent, name] = root_.parentOf(path);
    struct stat direct{};
    const bool plain = ::fstatat(parent.get(), name.c_str(), &direct, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(direct.st_mode);
    if (plain) {
      value += " " + index_->digestOf(parent.get(), name, path, st);
    } else {
      value += " " + sha256Hex(readAll(root_.openPath(path, O_RDONLY | O_NONBLOCK).get(), path, 4ULL << 30));
    }
    out.emplace_back("file " + options_.label + path, std::move(value));
    return met;
  }
  const auto [parent, name] = root_.parentOf(path);
  addEntry(parent.get(), name, path, st, out);
  return met;
}

}  // namespace estiba::build
