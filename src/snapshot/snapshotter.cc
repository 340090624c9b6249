#include "snapshot/snapshotter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <thread>

#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "snapshot/merge.h"
#include "snapshot/store_dir.h"
#include "sys/file.h"
#include "sys/lease.h"
#include "sys/overlay.h"

namespace estiba::snapshot {

namespace {

constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

std::vector<Fd> openDirs(const std::vector<std::string>& paths) {
  std::vector<Fd> out;
  for (const auto& path : paths) out.push_back(openFile(path, kDirFlags));
  return out;
}

std::vector<int> numbers(const std::vector<Fd>& fds) {
  std::vector<int> out;
  for (const Fd& fd : fds) out.push_back(fd.get());
  return out;
}

std::vector<archive::Change> changesOf(const std::string& upper, const std::vector<std::string>& lowers) {
  const Fd dir = openFile(upper, kDirFlags);
  const auto open = openDirs(lowers);
  return archive::layerChanges(dir.get(), numbers(open));
}

void addUsage(int dir, std::set<std::pair<dev_t, ino_t>>& linked, Usage& usage) {
  for (const std::string& name : listDirFd(dir, "snapshot")) {
    struct stat st {};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;  // it is in use: things come and go
    if (S_ISDIR(st.st_mode)) {
      const int sub = ::openat(dir, name.c_str(), kDirFlags | O_CLOEXEC);
      if (sub >= 0) addUsage(Fd(sub).get(), linked, usage);
      continue;
    }
    if (st.st_nlink > 1 && !linked.emplace(st.st_dev, st.st_ino).second) continue;
    usage.bytes += st.st_size;
    ++usage.files;
  }
}

}  // namespace

Usage diskUsage(const std::string& dir) {
  Usage usage;
  std::set<std::pair<dev_t, ino_t>> linked;
  addUsage(openFile(dir, kDirFlags).get(), linked, usage);
  return usage;
}

Active::~Active() {
  if (!lock_) return;
  try {
    owner_->throwAway(dir_);
  } catch (const Error& e) {
    log::warn("{}", e.what());
  }
}

Mounts Active::mounts() const {
  return {.lowers = owner_->lowers(layers_), .upper = upper(), .work = dir_ + "/work"};
}

Snapshotter::Snapshotter(db::Pool& pool, const std::string& root)
    : pool_(pool), layers_(pool, root), dir_(root + "/snapshots") {
  makeStoreDir(dir_);
}

std::string Snapshotter::dirOf(const std::string& id) const {
  return dir_ + "/" + id;
}

/// The merged "/" has the attributes of the upper directory: they are those of `like`, the layer below.
void Snapshotter::makeUpper(const std::string& dir, const std::string& like) const {
  const std::string upper = dir + "/diff";
  sys([&] { return ::mkdir(upper.c_str(), 0755); }, "make directory '{}'", upper);
  sys([&] { return ::chmod(upper.c_str(), 0755); }, "chmod '{}'", upper);  // whatever the umask is
  if (like.empty()) return;
  struct stat st {};
  if (::stat(like.c_str(), &st) != 0) {
    if (errno == ENOENT) fail(Code::not_found, "no such layer: '{}'", like);
    throw SysError(errno, fmt::format("stat '{}'", like));
  }
  if (st.st_uid != 0 || st.st_gid != 0) {
    sys([&] { return ::chown(upper.c_str(), st.st_uid, st.st_gid); }, "chown '{}'", upper);
  }
  if ((st.st_mode & 07777) != 0755) {
    sys([&] { return ::chmod(upper.c_str(), st.st_mode & 07777); }, "chmod '{}'", upper);
  }
}

Active Snapshotter::prepare(const std::vector<LayerId>& layers) {
  auto [id, lock] = makeLockedDir(dir_);
  Active active(layers_, id, dirOf(id), layers, std::move(lock));
  makeUpper(active.dir_, layers.empty() ? "" : layers_.pathOf(layers.back()));
  const std::string work = active.dir_ + "/work";
  sys([&] { return ::mkdir(work.c_str(), 0700); }, "make directory '{}'", work);
  killPoint("snapshot.prepare.made");
  return active;
}

Active Snapshotter::prepare(const std::vector<LayerId>& layers, Lease& lease) {
  for (const LayerId& layer : layers) {
    if (!layers_.hold(layer, lease)) fail(Code::not_found, "no such layer: {}", layer.value);
  }
  return prepare(layers);
}

void Snapshotter::keep(db::Connection& db, const Active& active) {
  db.prepare("INSERT INTO snapshot (id, created) VALUES (?, ?)").bind(active.id()).bind(now().ns).run();
  int position = 0;
  for (const LayerId& layer : active.layers()) {
    db.prepare("INSERT INTO snapshot_layer VALUES (?, ?, ?, 0)")
        .bind(active.id())
        .bind(position++)
        .bind(layer.value)
        .run();
  }
}

void Snapshotter::forget(db::Connection& db, const std::string& id) {
  db.prepare("DELETE FROM snapshot WHERE id = ?").bind(id).run();
}

void Snapshotter::discard(const std::string& id) {
  layers_.throwAway(dirOf(id));
}

std::optional<Snapshotter::Row> Snapshotter::tryRow(const std::string& id) const {
  const auto db = pool_.get();
  auto snapshot = db->prepare("SELECT freezing FROM snapshot WHERE id = ?");
  if (!snapshot.bind(id).step()) return std::nullopt;
  Row out;
  if (auto freezing = snapshot.optText(0)) out.freezing = LayerId{*freezing};
  auto rows = db->prepare("SELECT layer, own FROM snapshot_layer WHERE snapshot = ? ORDER BY position");
  rows.bind(id);
  while (rows.step()) (rows.integer(1) != 0 ? out.own : out.image).push_back({rows.text(0)});
  return out;
}

Snapshotter::Row Snapshotter::row(const std::string& id) const {
  if (auto found = tryRow(id)) return *found;
  fail(Code::not_found, "no such snapshot: {}", id);
}

std::vector<LayerId> Snapshotter::layersOf(const std::string& id) const {
  Row found = row(id);
  found.image.insert(found.image.end(), found.own.begin(), found.own.end());
  return found.image;
}

size_t Snapshotter::imageLayers(const std::string& id) const {
  return row(id).image.size();
}

Mounts Snapshotter::mounts(const std::string& id) {
  if (const Row found = row(id); found.freezing) {
    // Whoever was freezing it has died on the way, or is at it: then it is not ours to mount.
    const Fd claim = claimDir(dirOf(id));
    if (!claim) fail(Code::conflict, "snapshot {} is just being committed", id);
    finishFreeze(id, *found.freezing);
  }
  const std::string dir = dirOf(id);
  return {.lowers = layers_.lowers(layersOf(id)), .upper = dir + "/diff", .work = dir + "/work"};
}

LayerId Snapshotter::commit(Active active, Lease& lease) {
  const std::string work = active.dir_ + "/work";
  removeTree(work);  // empty by now, but for overlayfs' own bookkeeping
  const LayerId layer = layers_.adopt(active.dir_, active.id_, std::move(active.lock_), lease);
  return layer;
}

LayerId Snapshotter::freeze(const std::string& id, Lease& lease) {
  const std::string dir = dirOf(id);
  const Fd claim = claimDir(dir);
  Row before = row(id);
  if (!claim) fail(Code::conflict, "snapshot {} is just being committed", id);
  if (before.freezing) {
    finishFreeze(id, *before.freezing);
    before = row(id);
  }
  auto [name, lock] = makeLockedDir(layers_.root() + "/layers");
  const LayerId layer{name};
  pool_.get()->prepare("UPDATE snapshot SET freezing = ? WHERE id = ?").bind(name).bind(id).run();
  killPoint("snapshot.freeze.marked");
  const std::string from = dir + "/diff";
  const std::string to = layers_.pathOf(layer);
  sys([&] { return ::rename(from.c_str(), to.c_str()); }, "rename '{}' to '{}'", from, to);
  killPoint("snapshot.freeze.renamed");
  finishFreeze(id, layer);
  lease.add(std::move(lock));
  if (before.own.empty()) return layer;

  // One layer of all that the container has changed, however often it was committed.
  std::vector<LayerId> own = before.own;
  own.push_back(layer);
  const LayerId all = merge(own, lease);
  {
    const auto db = pool_.get();
    db::Txn txn(*db);
    db->prepare("DELETE FROM snapshot_layer WHERE snapshot = ? AND own = 1").bind(id).run();
    db->prepare("INSERT INTO snapshot_layer VALUES (?, ?, ?, 1)")
        .bind(id)
        .bind(static_cast<int64_t>(before.image.size()))
        .bind(all.value)
        .run();
    txn.commit();
  }
  layers_.collect(before.own);
  return all;
}

/// From after the rename (or before it, if that never happened) to the end: can be repeated.
void Snapshotter::finishFreeze(const std::string& id, const LayerId& layer) {
  const std::string dir = dirOf(id);
  const std::string frozen = layers_.pathOf(layer);
  const bool renamed = exists(frozen);
  if (renamed && !exists(dir + "/diff")) makeUpper(dir, frozen);
  {
    const auto db = pool_.get();
    db::Txn txn(*db);
    if (renamed) {
      layers_.insertNew(*db, layer);
      db->prepare("INSERT INTO snapshot_layer SELECT ?1, COUNT(*), ?2, 1 FROM snapshot_layer WHERE snapshot = ?1")
          .bind(id)
          .bind(layer.value)
          .run();
    }
    db->prepare("UPDATE snapshot SET freezing = NULL WHERE id = ?").bind(id).run();
    txn.commit();
  }
  if (!renamed) layers_.throwAway(layers_.root() + "/layers/" + layer.value);
}

LayerId Snapshotter::merge(const std::vector<LayerId>& bottomFirst, Lease& lease) {
  Active target = prepare({});
  std::vector<std::string> paths;
  for (const LayerId& layer : bottomFirst) paths.push_back(layers_.pathOf(layer));
  const auto uppers = openDirs(paths);
  const Fd to = openFile(target.upper(), kDirFlags);
  mergeUppers(numbers(uppers), to.get());
  return commit(std::move(target), lease);
}

Layer Snapshotter::copyUpper(const std::string& id, Lease& lease) {
  const Row found = row(id);
  const Fd upper = openFile(dirOf(id) + "/diff", kDirFlags);
  auto [readEnd, writeEnd] = makePipe();
  std::exception_ptr failure;
  std::thread packer([&upper, &failure, out = std::move(writeEnd)]() mutable {
    try {
      archive::FdSink sink(out.get(), "layer");
      archive::packLayer(upper.get(), &sink);
    } catch (...) {
      failure = std::current_exception();
    }
    out.reset();  // the reader's end of stream
  });
  Lease copying;
  std::optional<Layer> copy;
  std::exception_ptr readFailure;
  try {
    archive::FdSource source(readEnd.get(), "layer");
    copy = layers_.unpack(source, found.own.empty() ? lease : copying, {.wantRecipe = false});
  } catch (...) {
    readFailure = std::current_exception();
  }
  readEnd.reset();
  packer.join();
  if (failure && !readFailure) std::rethrow_exception(failure);
  if (readFailure) std::rethrow_exception(failure ? failure : readFailure);
  if (found.own.empty()) return *copy;
  std::vector<LayerId> own = found.own;
  own.push_back(copy->id);
  return layers_.hash(merge(own, lease), lease);
}

std::vector<archive::Change> Snapshotter::changes(const std::string& id) const {
  const Row found = row(id);
  std::vector<LayerId> below = found.image;
  std::vector<archive::Change> out;
  for (const LayerId& own : found.own) {
    out = composeChanges(out, changesOf(layers_.pathOf(own), layers_.lowers(below)));
    below.push_back(own);
  }
  return composeChanges(out, changesOf(dirOf(id) + "/diff", layers_.lowers(below)));
}

Usage Snapshotter::usage(const std::string& id) const {
  const Row found = row(id);
  Usage usage;
  std::set<std::pair<dev_t, ino_t>> linked;
  addUsage(openFile(dirOf(id) + "/diff", kDirFlags).get(), linked, usage);
  for (const LayerId& own : found.own) addUsage(openFile(layers_.pathOf(own), kDirFlags).get(), linked, usage);
  return usage;
}

Fd Snapshotter::mountReadOnly(const std::vector<LayerId>& layers) const {
  return mountReadOnly(layers_.lowers(layers));
}

Fd Snapshotter::mountReadOnly(const std::vector<std::string>& lowers) const {
  struct Scratch {
    std::string path;
    Fd held;  // what nobody holds is swept
    ~Scratch() {
      if (!path.empty()) ::rmdir(path.c_str());
    }
  } scratch;
  OverlayStack stack;
  stack.lowers = lowers;
  stack.noDevices = true;
  return mountOverlay(stack, [&] {
    auto [name, held] = makeLockedDir(layers_.root(), "mount-");
    scratch.held = std::move(held);
    return scratch.path = layers_.root() + "/" + name;
  });
}

std::vector<std::string> Snapshotter::recover() {
  std::vector<std::string> freezing;
  {
    const auto db = pool_.get();
    auto rows = db->prepare("SELECT id FROM snapshot WHERE freezing IS NOT NULL");
    while (rows.step()) freezing.push_back(rows.text(0));
  }
  for (const std::string& id : freezing) {
    const Fd claim = claimDir(dirOf(id));
    if (!claim) continue;
    if (const auto found = tryRow(id); found && found->freezing) finishFreeze(id, *found->freezing);
  }
  std::vector<std::string> swept = layers_.recover();
  for (const std::string& name : listDir(dir_)) {
    if (tryRow(name)) continue;
    const Fd claim = claimDir(dirOf(name));
    if (!claim || tryRow(name)) continue;
    layers_.throwAway(dirOf(name));
    swept.push_back("snapshots/" + name);
  }
  return swept;
}

std::vector<Finding> Snapshotter::check(bool digests) const {
  std::vector<Finding> out = layers_.check(digests);
  std::vector<std::string> ids;
  {
    const auto db = pool_.get();
    auto rows = db->prepare("SELECT id FROM snapshot ORDER BY id");
    while (rows.step()) ids.push_back(rows.text(0));
  }
  for (const std::string& id : ids) {
    if (exists(dirOf(id) + "/diff") && exists(dirOf(id) + "/work")) continue;
    if (const auto found = tryRow(id); found && !found->freezing) {
      out.push_back({"snapshot " + id, "its directory is missing"});
    }
  }
  for (const std::string& name : listDir(dir_)) {
    if (tryRow(name) || !claimDir(dirOf(name)) || tryRow(name)) continue;
    out.push_back({"directory snapshots/" + name, "no row refers to it"});
  }
  return out;
}

}  // namespace estiba::snapshot
