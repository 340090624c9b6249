#include "content/store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/clock.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::content {

const db::Schema kSchema{"content", {R"(
CREATE TABLE blob (
  digest TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  size INTEGER NOT NULL,
  created INTEGER NOT NULL
) STRICT;
)"}};

namespace {

constexpr std::string_view kTemporary = ".new-";

bool hasRow(db::Connection& db, const oci::Digest& digest) {
  return db.prepare("SELECT 1 FROM blob WHERE digest = ?").bind(digest.str()).step();
}

bool matches(int fd, const oci::Digest& digest, const std::string& path) {
  return oci::Digest::of(readAll(fd, path, kMaxBlob)) == digest;
}

void syncDir(const std::string& path) {
  const Fd dir = openFile(path, O_RDONLY | O_DIRECTORY);
  sys([&] { return ::fsync(dir.get()); }, "fsync '{}'", path);
}

/// Writes a new file under a temporary name, gone again unless kept.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& dir, std::string_view bytes)
      : path_(dir + "/" + std::string(kTemporary) + randomHex(8)) {
    fd_ = openFile(path_, O_RDWR | O_CREAT | O_EXCL, 0600);
    lockShared(fd_.get(), path_);  // what nobody holds is swept
    writeAll(fd_.get(), bytes, path_);
    sys([&] { return ::fsync(fd_.get()); }, "fsync '{}'", path_);
  }
  ~TemporaryFile() {
    if (!moved_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  /// False where `target` is there already: look again.
  bool moveTo(const std::string& target) {
    if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) != 0) {
      if (errno == EEXIST) return false;
      if (errno == ENOENT) return false;  // swept between its making and its lock
      throw SysError(errno, fmt::format("rename '{}' to '{}'", path_, target));
    }
    moved_ = true;
    return true;
  }
  Fd release() { return std::move(fd_); }

 private:
  std::string path_;
  Fd fd_;
  bool moved_ = false;
};

}  // namespace

Store::Store(db::Pool& pool, const std::string& root) : pool_(pool), dir_(root + "/content/sha256") {
  if (!exists(dir_)) makeDirs(dir_, 0700);
}

std::string Store::pathOf(const oci::Digest& digest) const {
  return dir_ + "/" + std::string(digest.hex());
}

std::optional<Fd> Store::lockedShared(const oci::Digest& digest) const {
  const std::string path = pathOf(digest);
  for (;;) {
    auto fd = tryOpen(path, O_RDONLY | O_NOFOLLOW);
    if (!fd) return std::nullopt;
    lockShared(fd->get(), path);
    struct stat st {};
    sys([&] { return ::fstat(fd->get(), &st); }, "stat '{}'", path);
    if (st.st_nlink > 0) return fd;  // otherwise a collector was faster: look again
  }
}

oci::Digest Store::put(std::string_view bytes, std::string_view kind, Lease& lease) {
  if (bytes.size() > kMaxBlob) fail(Code::invalid, "blob of {} bytes: at most {} are stored", bytes.size(), kMaxBlob);
  const oci::Digest digest = oci::Digest::of(bytes);
  const auto db = pool_.get();
  const auto insert = [&] {
    db->prepare("INSERT INTO blob VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(digest.str())
        .bind(kind)
        .bind(static_cast<int64_t>(bytes.size()))
        .bind(now().ns)
        .run();
  };
  for (;;) {
    if (auto fd = lockedShared(digest)) {
      if (!hasRow(*db, digest)) {
        // Another writer's, or left by a crash: then perhaps only a part of it reached the disk.
        if (!matches(fd->get(), digest, pathOf(digest))) {
          if (tryLockExclusive(fd->get())) ::unlink(pathOf(digest).c_str());
          continue;
        }
        insert();
      }
      lease.add(std::move(*fd));
      return digest;
    }
    TemporaryFile file(dir_, bytes);
    if (!file.moveTo(pathOf(digest))) continue;
    syncDir(dir_);
    killPoint("content.put.renamed");
    insert();
    lease.add(file.release());
    return digest;
  }
}

bool Store::hold(const oci::Digest& digest, Lease& lease) {
  auto fd = lockedShared(digest);
  if (!fd || !hasRow(*pool_.get(), digest)) return false;
  lease.add(std::move(*fd));
  return true;
}

std::optional<std::string> Store::tryGet(const oci::Digest& digest) const {
  const std::string path = pathOf(digest);
  const auto fd = tryOpen(path, O_RDONLY | O_NOFOLLOW);
  if (!fd) return std::nullopt;
  std::string bytes = readAll(fd->get(), path, kMaxBlob);
  if (oci::Digest::of(bytes) != digest)
    fail(Code::internal, "blob {} is damaged: its bytes have another digest", digest.str());
  return bytes;
}

std::string Store::get(const oci::Digest& digest) const {
  if (auto bytes = tryGet(digest)) return *bytes;
  fail(Code::not_found, "no such blob: {}", digest.str());
}

std::vector<Blob> Store::list() const {
  std::vector<Blob> out;
  const auto db = pool_.get();
  auto rows = db->prepare("SELECT digest, kind, size FROM blob ORDER BY digest");
  while (rows.step()) out.push_back({oci::Digest::parse(rows.text(0)), rows.text(1), rows.integer(2)});
  return out;
}

std::vector<Blob> Store::collect() {
  std::vector<Blob> gone;
  std::vector<Fd> locks;  // held until the files are gone: a put() that waits for one looks again then
  const auto candidates = list();
  const auto db = pool_.get();
  db::Txn txn(*db);
  for (const Blob& blob : candidates) {
    auto fd = tryOpen(pathOf(blob.digest), O_RDONLY | O_NOFOLLOW);
    if (fd && !tryLockExclusive(fd->get())) continue;
    try {
      db->prepare("DELETE FROM blob WHERE digest = ?").bind(blob.digest.str()).run();
    } catch (const db::ConstraintError&) {
      continue;  // referred to
    }
    if (fd) locks.push_back(std::move(*fd));
    gone.push_back(blob);
  }
  txn.commit();
  killPoint("content.collect.committed");
  for (const Blob& blob : gone) ::unlink(pathOf(blob.digest).c_str());
  return gone;
}

void Store::recover() {
  const auto db = pool_.get();
  for (const std::string& name : listDir(dir_)) {
    const std::string path = dir_ + "/" + name;
    const auto digest = oci::Digest::tryParse("sha256:" + name);
    if (digest && hasRow(*db, *digest)) continue;
    const auto fd = tryOpen(path, O_RDONLY | O_NOFOLLOW);
    if (!fd || !tryLockExclusive(fd->get())) continue;
    if (digest && hasRow(*db, *digest)) continue;
    ::unlink(path.c_str());
  }
}

std::vector<Finding> Store::check() const {
  std::vector<Finding> out;
  const auto db = pool_.get();
  for (const Blob& blob : list()) {
    const std::string what = "blob " + blob.digest.str();
    try {
      const auto bytes = tryGet(blob.digest);
      if (!bytes) {
        if (hasRow(*db, blob.digest)) out.push_back({what, "its file is missing"});
      } else if (static_cast<int64_t>(bytes->size()) != blob.size) {
        out.push_back({what, fmt::format("{} bytes instead of {}", bytes->size(), blob.size)});
      }
    } catch (const Error& e) {
      out.push_back({what, e.what()});
    }
  }
  for (const std::string& name : listDir(dir_)) {
    const auto digest = oci::Digest::tryParse("sha256:" + name);
    if (!digest || hasRow(*db, *digest)) continue;
    out.push_back({"file content/sha256/" + name, "no row refers to it"});
  }
  return out;
}

}  // namespace estiba::content
