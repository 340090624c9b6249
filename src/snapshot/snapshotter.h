#pragma once
// Snapshots: a writable directory pair <root>/snapshots/<id>/{diff,work} over a stack of layers. Nothing is mounted
// here: whoever starts the process mounts what Mounts says.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "snapshot/layers.h"

namespace estiba::snapshot {

/// An overlayfs to be mounted. Options that belong to it: redirect_dir=nofollow, metacopy=off, index=off; `volatile`
/// for what is thrown away or synced later (build steps, --rm). With several lowers `lowerdir+` (fsconfig(2)), as
/// mount(2)'s options are one page. A read-only stack of one lower is a bind, not an overlay: mountReadOnly does it.
struct Mounts {
  std::vector<std::string> lowers;  ///< absolute, topmost first; may be empty (FROM scratch): bind `upper` itself
  std::string upper;                ///< empty: read-only
  std::string work;
};

class Snapshotter;

/// A snapshot that no row refers to yet: it goes when the object or the process goes, unless kept or committed.
class Active {
 public:
  Active(Active&&) noexcept = default;
  Active& operator=(Active&&) = delete;
  ~Active();

  const std::string& id() const noexcept { return id_; }
  const std::vector<LayerId>& layers() const noexcept { return layers_; }  ///< bottom first
  std::string upper() const { return dir_ + "/diff"; }
  Mounts mounts() const;
  /// After the transaction in which keep() wrote its rows was committed.
  void release() noexcept { lock_.reset(); }

 private:
  friend class Snapshotter;
  Active(Layers& owner, std::string id, std::string dir, std::vector<LayerId> layers, Fd lock)
      : owner_(&owner), id_(std::move(id)), dir_(std::move(dir)), layers_(std::move(layers)), lock_(std::move(lock)) {}
  Layers* owner_;
  std::string id_;
  std::string dir_;
  std::vector<LayerId> layers_;
  Fd lock_;  ///< empty: not ours any more
};

/// Bytes and files of a writable layer, as `ps --size` counts them.
struct Usage {
  int64_t bytes = 0;
  uint64_t files = 0;
};

/// The snapshots of one engine root. Any thread, several processes.
class Snapshotter {
 public:
  Snapshotter(db::Pool& pool, const std::string& root);

  Layers& layers() noexcept { return layers_; }

  /// A new directory pair over `layers` (bottom first), which a lease of the caller's holds, or which keep()'s foreign
  /// keys find missing later. Owner and mode of "/" are those of the top layer. Three mkdir, no row. Throws
  /// Error(not_found) where the top layer is missing.
  Active prepare(const std::vector<LayerId>& layers);
  /// The same, and `lease` holds the layers from now on. Throws Error(not_found) where one is missing.
  Active prepare(const std::vector<LayerId>& layers, Lease& lease);

  /// Writes the rows of a snapshot in the caller's transaction, which also writes the row that owns it (a foreign key
  /// to snapshot(id)). After the transaction: active.release().
  void keep(db::Connection& db, const Active& active);
  /// Deletes the rows in the caller's transaction, which also deletes the owner's; afterwards discard(id).
  void forget(db::Connection& db, const std::string& id);
  /// Throws the directories away (a rename). What it had frozen is left to Layers::collect.
  void discard(const std::string& id);

  /// Of a kept snapshot. Throws Error(not_found) "no such snapshot: …".
  Mounts mounts(const std::string& id);
  std::vector<LayerId> layersOf(const std::string& id) const;
  /// How many of layersOf, from the bottom, are the image's; those above are the snapshot's own, by freeze().
  size_t imageLayers(const std::string& id) const;

  /// The upper directory of an unmounted snapshot becomes a layer by one rename. Not hashed yet.
  LayerId commit(Active active, Lease& lease);
  /// The same of a kept snapshot that nothing has mounted (a stopped container): it goes on with a new, empty upper
  /// directory over the new layer; nothing is copied.
  LayerId freeze(const std::string& id, Lease& lease);
  /// Of a kept snapshot that is mounted (a running container; freeze its processes first): a copy, hashed at once.
  /// Everything that was changed above the image's layers is in it.
  Layer copyUpper(const std::string& id, Lease& lease);

  /// Layers that stand on one another (bottom first) as one: files are hard links, nothing is copied. Not hashed yet.
  LayerId merge(const std::vector<LayerId>& bottomFirst, Lease& lease);

  /// What a kept snapshot changes of its image.
  std::vector<archive::Change> changes(const std::string& id) const;
  Usage usage(const std::string& id) const;

  /// A detached read-only mount of a stack (bottom first; not empty): paths under /proc/self/fd/N, or openat. Gone with
  /// the descriptor. The layers are to be held meanwhile.
  Fd mountReadOnly(const std::vector<LayerId>& layers) const;
  /// The same of directories, topmost first.
  Fd mountReadOnly(const std::vector<std::string>& lowers) const;

  /// After a crash: finishes freezes, sweeps directories without a row that nobody is making, and all that
  /// Layers::recover does. Returns the names of what was swept.
  std::vector<std::string> recover();
  std::vector<Finding> check(bool digests) const;

 private:
  struct Row {
    std::vector<LayerId> image, own;  ///< bottom first
    std::optional<LayerId> freezing;
  };
  std::optional<Row> tryRow(const std::string& id) const;
  Row row(const std::string& id) const;
  std::string dirOf(const std::string& id) const;
  void makeUpper(const std::string& dir, const std::string& like) const;
  void finishFreeze(const std::string& id, const LayerId& layer);

  db::Pool& pool_;
  Layers layers_;
  std::string dir_;
};

/// Bytes of the regular files below `dir` (hard links once).
Usage diskUsage(const std::string& dir);

}  // namespace estiba::snapshot
