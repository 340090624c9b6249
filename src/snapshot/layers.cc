#include "snapshot/layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "snapshot/store_dir.h"
#include "sys/file.h"
#include "sys/lease.h"
#include "sys/lock.h"
#include "sys/writeback.h"

namespace estiba::snapshot {

namespace {

constexpr std::string_view kColumns = "id, diff_id, content_bytes, tar_bytes, created";
constexpr uint64_t kMaxRecipe = 1ULL << 30;

const std::string& currentBoot() {
  static const std::string boot{trim(readFile("/proc/sys/kernel/random/boot_id"))};
  return boot;
}

Layer readRow(db::Statement& row) {
  Layer out{.id = {row.text(0)}, .created = {row.integer(4)}};
  if (auto diffId = row.optText(1)) out.diffId = oci::Digest::parse(*diffId);
  out.contentBytes = row.isNull(2) ? -1 : row.integer(2);
  out.tarBytes = row.isNull(3) ? -1 : row.integer(3);
  return out;
}

std::optional<Layer> selectOne(db::Connection& db, std::string_view where, const std::string& value) {
  auto row = db.prepare(fmt::format("SELECT {} FROM layer WHERE {} = ?", kColumns, where));
  if (!row.bind(value).step()) return std::nullopt;
  return readRow(row);
}

bool isUnique(const db::ConstraintError& e) {
  return e.kind() == db::ConstraintError::Kind::unique;
}

/// A directory that is thrown away again unless kept.
class Discarded {
 public:
  Discarded(Layers& layers, std::string path) : layers_(layers), path_(std::move(path)) {}
  ~Discarded() {
    if (path_.empty()) return;
    try {
      layers_.throwAway(path_);
    } catch (const Error& e) {
      log::warn("{}", e.what());
    }
  }
  Discarded(const Discarded&) = delete;
  Discarded& operator=(const Discarded&) = delete;
  void keep() noexcept { path_.clear(); }

 private:
  Layers& layers_;
  std::string path_;
};

}  // namespace

Layers::Layers(db::Pool& pool, const std::string& root) : pool_(pool), root_(root) {
  makeStoreDir(root_ + "/layers");
  makeStoreDir(root_ + "/trash");
}

std::string Layers::dirOf(const LayerId& id) const {
  return root_ + "/layers/" + id.value;
}
std::string Layers::pathOf(const LayerId& id) const {
  return dirOf(id) + "/diff";
}

std::vector<std::string> Layers::lowers(const std::vector<LayerId>& bottomFirst) const {
  std::vector<std::string> out;
  out.reserve(bottomFirst.size());
  std::set<LayerId> seen;
  for (auto it = bottomFirst.rbegin(); it != bottomFirst.rend(); ++it) {
    if (seen.insert(*it).second) out.push_back(pathOf(*it));
  }
  return out;
}

std::optional<Layer> Layers::find(const LayerId& id) const {
  return selectOne(*pool_.get(), "id", id.value);
}

std::optional<Layer> Layers::findByDiffId(const oci::Digest& diffId) const {
  return selectOne(*pool_.get(), "diff_id", diffId.str());
}

Layer Layers::get(const LayerId& id) const {
  if (auto layer = find(id)) return *layer;
  fail(Code::not_found, "no such layer: {}", id.value);
}

std::vector<Layer> Layers::list() const {
  std::vector<Layer> out;
  const auto db = pool_.get();
  auto rows = db->prepare(fmt::format("SELECT {} FROM layer ORDER BY created, id", kColumns));
  while (rows.step()) out.push_back(readRow(rows));
  return out;
}

bool Layers::hold(const LayerId& id, Lease& lease) {
  Fd fd = openLockedDir(dirOf(id));
  if (!fd || !find(id)) return false;
  lease.add(std::move(fd));
  return true;
}

std::optional<Layer> Layers::holdByDiffId(const oci::Digest& diffId, Lease& lease) {
  for (;;) {
    auto layer = findByDiffId(diffId);
    if (!layer) return std::nullopt;
    if (hold(layer->id, lease)) return layer;
    // Collected between the two, or its directory is lost: then the row must not be offered for ever.
    if (find(layer->id)) fail(Code::internal, "layer {}: its directory is missing", layer->id.value);
  }
}

void Layers::insert(db::Connection& db, const Layer& layer) const {
  const auto orNull = [](int64_t n) { return n < 0 ? std::nullopt : std::optional(n); };
  const auto diffId = layer.diffId ? std::optional(layer.diffId->str()) : std::nullopt;
  db.prepare("INSERT INTO layer (id, diff_id, content_bytes, tar_bytes, created, boot) VALUES (?, ?, ?, ?, ?, ?)")
      .bind(layer.id.value)
      .bind(diffId)
      .bind(orNull(layer.contentBytes))
      .bind(orNull(layer.tarBytes))
      .bind(layer.created.ns)
      .bind(currentBoot())
      .run();
}

void Layers::insertNew(db::Connection& db, const LayerId& id) const {
  insert(db, {.id = id, .created = now()});
}

Layer Layers::unpack(archive::Source& tar, Lease& lease, const archive::UnpackOptions& options,
                     const std::optional<oci::Digest>& expected) {
  auto [id, lock] = makeLockedDir(root_ + "/layers");
  Layer layer{.id = {id}, .created = now()};
  Discarded guard(*this, dirOf(layer.id));
  const std::string path = pathOf(layer.id);
  makeDir(path, 0755);
  const Fd dir = openFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const archive::Unpacked unpacked = [&] {
    const Writeback early(dir.get());
    return archive::unpackLayer(tar, dir.get(), options);
  }();
  layer.diffId = oci::Digest::fromHex(unpacked.diffIdHex);
  layer.contentBytes = unpacked.contentBytes;
  layer.tarBytes = unpacked.tarBytes;
  if (expected && *expected != *layer.diffId) {
    fail(Code::invalid, "layer {} has the wrong digest: {}", expected->str(), layer.diffId->str());
  }
  if (!unpacked.recipe.empty()) writeFile(dirOf(layer.id) + "/recipe", unpacked.recipe, 0600);
  killPoint("layer.unpack.written");
  for (;;) {
    if (auto present = holdByDiffId(*layer.diffId, lease)) return *present;
    try {
      insert(*pool_.get(), layer);
    } catch (const db::ConstraintError& e) {
      if (isUnique(e)) continue;  // somebody unpacked the same meanwhile
      throw;
    }
    guard.keep();
    killPoint("layer.unpack.inserted");
    lease.add(std::move(lock));
    return layer;
  }
}

LayerId Layers::adopt(const std::string& dir, const std::string& id, Fd held, Lease& lease) {
  const LayerId layer{id};
  const std::string target = dirOf(layer);
  sys([&] { return ::rename(dir.c_str(), target.c_str()); }, "rename '{}' to '{}'", dir, target);
  Discarded guard(*this, target);
  killPoint("layer.adopt.renamed");
  insertNew(*pool_.get(), layer);
  guard.keep();
  lease.add(std::move(held));
  return layer;
}

Layer Layers::hash(const LayerId& id, Lease& lease) {
  Layer layer = get(id);
  if (layer.diffId) {
    if (!hold(id, lease)) fail(Code::not_found, "no such layer: {}", id.value);
    return layer;
  }
  Lease reading;
  if (!hold(id, reading)) fail(Code::not_found, "no such layer: {}", id.value);
  const Fd dir = openFile(pathOf(id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const archive::Packed packed = [&] {
    const Writeback early(dir.get());
    return archive::packLayer(dir.get());
  }();
  layer.diffId = oci::Digest::fromHex(packed.diffIdHex);
  layer.contentBytes = packed.contentBytes;
  layer.tarBytes = packed.tarBytes;
  return settle(id, layer, lease);
}

Layer Layers::settle(const LayerId& id, const Layer& hashed, Lease& lease) {
  for (;;) {
    try {
      const auto db = pool_.get();
      db->prepare("UPDATE layer SET diff_id = ?, content_bytes = ?, tar_bytes = ? WHERE id = ? AND diff_id IS NULL")
          .bind(hashed.diffId->str())
          .bind(hashed.contentBytes)
          .bind(hashed.tarBytes)
          .bind(id.value)
          .run();
    } catch (const db::ConstraintError& e) {
      if (!isUnique(e)) throw;
      auto present = holdByDiffId(*hashed.diffId, lease);
      if (!present) continue;  // it has just been collected: now the diffID is free
      collect({id});
      return *present;
    }
    if (!hold(id, lease)) fail(Code::not_found, "no such layer: {}", id.value);
    return hashed;
  }
}

void Layers::writeTar(const LayerId& id, archive::Sink& out) const {
  const Layer layer = get(id);
  const Fd dir = openFile(pathOf(id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  archive::HashingSink hashing(&out);
  if (const auto recipe = tryReadFile(dirOf(id) + "/recipe", kMaxRecipe)) {
    archive::rebuildTar(dir.get(), *recipe, hashing);
  } else {
    archive::packLayer(dir.get(), &hashing);
  }
  const auto digest = oci::Digest::fromHex(hashing.finishHex());
  if (layer.diffId && digest != *layer.diffId) {
    fail(Code::internal, "layer {} is damaged: its files give {} instead of {}", id.value, digest.str(),
         layer.diffId->str());
  }
}

void Layers::sync(const std::vector<LayerId>& ids) {
  const auto db = pool_.get();
  std::vector<LayerId> unsynced;
  for (const LayerId& id : ids) {
    if (db->prepare("SELECT 1 FROM layer WHERE id = ? AND boot IS NOT NULL").bind(id.value).step())
      unsynced.push_back(id);
  }
  if (unsynced.empty()) return;
  const Fd dir = openFile(root_ + "/layers", O_RDONLY | O_DIRECTORY);
  sys([&] { return ::syncfs(dir.get()); }, "sync '{}'", root_);
  db::Txn txn(*db);
  for (const LayerId& id : unsynced) db->prepare("UPDATE layer SET boot = NULL WHERE id = ?").bind(id.value).run();
  txn.commit();
}

std::vector<Layer> Layers::collectAll() {
  std::vector<LayerId> ids;
  for (const Layer& layer : list()) ids.push_back(layer.id);
  return collect(ids);
}

std::vector<Layer> Layers::collect(const std::vector<LayerId>& ids) {
  std::vector<Layer> gone;
  std::vector<Fd> claims;  // until the directories are away: who waits for one of them looks again then
  const auto db = pool_.get();
  db::Txn txn(*db);  // before the locks: whoever waits for a lock must not have to wait for us to get the database
  for (const LayerId& id : ids) {
    auto layer = selectOne(*db, "id", id.value);
    if (!layer) continue;
    Fd claim = claimDir(dirOf(id));
    if (!claim && exists(dirOf(id))) continue;
    try {
      db->prepare("DELETE FROM layer WHERE id = ?").bind(id.value).run();
    } catch (const db::ConstraintError&) {
      continue;  // referred to
    }
    if (claim) claims.push_back(std::move(claim));
    gone.push_back(std::move(*layer));
  }
  txn.commit();
  killPoint("layer.collect.committed");
  for (const Layer& layer : gone) throwAway(dirOf(layer.id));
  return gone;
}

void Layers::throwAway(const std::string& path) {
  const std::string target = root_ + "/trash/" + randomHex(16);
  if (::rename(path.c_str(), target.c_str()) != 0) {
    if (errno == ENOENT) return;
    throw SysError(errno, fmt::format("rename '{}' to '{}'", path, target));
  }
  removeSmallTree(target);  // the rest is left to emptyTrash()
}

void Layers::emptyTrash(std::stop_token stop) {
  const FileLock lock = FileLock::tryAcquire(root_ + "/trash.lock", FileLock::Kind::exclusive);
  if (!lock) return;
  for (const std::string& name : listDir(root_ + "/trash")) {
    if (stop.stop_requested()) return;
    removeTree(root_ + "/trash/" + name);
  }
}

/// Whether a snapshot's upper directory is becoming this layer: Snapshotter finishes it.
bool Layers::isFreezing(const std::string& name) const {
  return pool_.get()->prepare("SELECT 1 FROM snapshot WHERE freezing = ?").bind(name).step();
}

std::vector<std::string> Layers::recover() {
  std::vector<std::string> swept;
  std::vector<LayerId> dubious;
  {
    const auto db = pool_.get();
    auto rows = db->prepare("SELECT id FROM layer WHERE boot IS NOT NULL AND boot != ?");
    rows.bind(currentBoot());
    while (rows.step()) dubious.push_back({rows.text(0)});
  }
  for (const Layer& layer : collect(dubious)) {
    swept.push_back("layer " + layer.id.value + " (not on the disk when the machine went down)");
  }
  for (const std::string& name : listDir(root_ + "/layers")) {
    if (find({name}) || isFreezing(name)) continue;
    const Fd claim = claimDir(root_ + "/layers/" + name);
    if (!claim || find({name}) || isFreezing(name)) continue;
    throwAway(root_ + "/layers/" + name);
    swept.push_back("layers/" + name);
  }
  return swept;
}

std::vector<Finding> Layers::check(bool digests) const {
  std::vector<Finding> out;
  for (const Layer& layer : list()) {
    const std::string what = "layer " + layer.id.value;
    if (!exists(pathOf(layer.id))) {
      if (find(layer.id)) out.push_back({what, "its directory is missing"});
      continue;
    }
    if (!digests || !layer.diffId) continue;
    try {
      archive::NullSink nowhere;
      writeTar(layer.id, nowhere);
    } catch (const Error& e) {
      if (find(layer.id)) out.push_back({what, e.what()});
    }
  }
  for (const std::string& name : listDir(root_ + "/layers")) {
    if (find({name}) || isFreezing(name) || !claimDir(root_ + "/layers/" + name) || find({name})) continue;
    out.push_back({"directory layers/" + name, "no row refers to it"});
  }
  return out;
}

}  // namespace estiba::snapshot
