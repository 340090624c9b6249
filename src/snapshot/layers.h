#pragma once
// Layers on disk: <root>/layers/<id>/diff is one directory of an overlayfs stack, unpacked, immutable; beside it
// `recipe`, from which the exact tar stream it came from is rebuilt. A layer needs no parent to be unpacked.
//
// A layer stays as long as a row refers to it by a foreign key to layer(id) (image_layer, snapshot_layer, the build
// cache) or a Lease holds it. Its parent directories are 0700, so that nobody on the host can run a setuid file of an
// image (CVE-2021-41091).

#include <compare>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "archive/layer.h"
#include "archive/stream.h"
#include "base/clock.h"
#include "db/db.h"
#include "oci/digest.h"
#include "sys/lease.h"

namespace estiba::snapshot {

/// Tables layer, snapshot, snapshot_layer.
extern const db::Schema kSchema;

/// The random name of a layer's directory: says nothing about its content.
struct LayerId {
  std::string value;
  auto operator<=>(const LayerId&) const = default;
};

struct Layer {
  LayerId id;
  std::optional<oci::Digest> diffId;  ///< unset until hashed
  int64_t contentBytes = -1;          ///< sum of file sizes; -1 until hashed
  int64_t tarBytes = -1;              ///< of the uncompressed tar; -1 until hashed
  Time created;
};

struct Finding {
  std::string what;  ///< "layer 4f0c…"
  std::string problem;
};

/// The layers of one engine root. Any thread, several processes.
class Layers {
 public:
  /// Makes <root>/layers, <root>/trash where they are missing.
  Layers(db::Pool& pool, const std::string& root);

  std::optional<Layer> find(const LayerId& id) const;
  std::optional<Layer> findByDiffId(const oci::Digest& diffId) const;
  /// Throws Error(not_found) "no such layer: …".
  Layer get(const LayerId& id) const;
  std::vector<Layer> list() const;
  /// <root>/layers/<id>/diff
  std::string pathOf(const LayerId& id) const;
  /// The diff directories of a stack (given bottom first), topmost first: overlayfs' lowerdir order. A layer
  /// that is in the stack twice is named once, at its topmost place: what it says below is hidden by itself anyway, and
  /// overlayfs refuses the same directory twice.
  std::vector<std::string> lowers(const std::vector<LayerId>& bottomFirst) const;

  /// Holds a layer; false where it is not there (any more).
  bool hold(const LayerId& id, Lease& lease);
  /// Looks up and holds.
  std::optional<Layer> holdByDiffId(const oci::Digest& diffId, Lease& lease);

  /// Unpacks a plain tar stream into a new layer, hashed at once. Where a layer of this diffID is there already, the
  /// new one is dropped and that one returned. Nothing stays behind on failure. `expected`: compared with the diffID
  /// that came out, Error(invalid) "layer … has the wrong digest: …" otherwise.
  Layer unpack(archive::Source& tar, Lease& lease, const archive::UnpackOptions& options = {},
               const std::optional<oci::Digest>& expected = {});
  /// Fills diffId and sizes of a layer that was committed (reads all of it once). Where another layer has this diffID
  /// already, `id` is dropped as soon as nobody holds it and the *other* one is returned: switch to it.
  Layer hash(const LayerId& id, Lease& lease);
  /// Writes the layer's exact tar stream, compared with its diffID at the end: Error(internal) where it differs.
  void writeTar(const LayerId& id, archive::Sink& out) const;

  /// Makes sure that the layers are on the disk: one syncfs(2) where any is not yet. An image row is only written after
  /// this; a layer that is not synced does not survive a crash of the machine (recover drops it).
  void sync(const std::vector<LayerId>& ids);

  /// Takes the directory `dir` (on the same file system, with `diff` in it, locked by `held`) as a new layer under its
  /// own name, by one rename. For Snapshotter.
  LayerId adopt(const std::string& dir, const std::string& id, Fd held, Lease& lease);

  /// The row of a layer that is not hashed yet, in the caller's transaction. For Snapshotter.
  void insertNew(db::Connection& db, const LayerId& id) const;

  /// Removes layers that no row refers to and no lease holds: of `ids`, or of all. Returns what went.
  std::vector<Layer> collect(const std::vector<LayerId>& ids);
  std::vector<Layer> collectAll();

  /// After a crash: sweeps directories without a row that nobody is making, drops layers that were not synced before
  /// the machine went down. Returns the names of what was swept.
  std::vector<std::string> recover();
  /// Deletes what was thrown away. May take long: in the background, or after the answer is given.
  void emptyTrash(std::stop_token stop = {});
  /// Rows without directory, directories without row; with `digests` every layer is read and hashed again.
  std::vector<Finding> check(bool digests) const;

  const std::string& root() const noexcept { return root_; }
  db::Pool& pool() const noexcept { return pool_; }
  /// Renames a directory of the store into the trash. Missing is fine.
  void throwAway(const std::string& path);

 private:
  std::string dirOf(const LayerId& id) const;
  bool isFreezing(const std::string& name) const;
  void insert(db::Connection& db, const Layer& layer) const;
  Layer settle(const LayerId& id, const Layer& hashed, Lease& lease);

  db::Pool& pool_;
  std::string root_;
};

}  // namespace estiba::snapshot
