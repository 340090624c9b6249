#pragma once
// Images: a config (its sha256 is the ID) over layers, and the names that refer to it.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "content/store.h"
#include "db/db.h"
#include "oci/image_config.h"
#include "oci/reference.h"
#include "snapshot/snapshotter.h"

namespace estiba::image {

/// Tables image, image_layer, reference, annotation. A container refers to image(id).
extern const db::Schema kSchema;

using ImageId = oci::Digest;

struct Image {
  ImageId id;
  Time created;
  int64_t size = 0;  ///< sum of its layers' content, bytes
  std::optional<ImageId> parent;
  Time lastTagged;
  std::map<std::string, std::string> labels;
  std::vector<std::string> repoTags;     ///< familiar, sorted: "busybox:latest"
  std::vector<std::string> repoDigests;  ///< familiar, sorted: "busybox@sha256:…"
};

/// Everything needed to run it.
struct Resolved {
  ImageId id;
  oci::ImageConfig config;
  std::vector<snapshot::LayerId> layers;  ///< bottom first
};

/// What is noted in an image's manifest and in that manifest's descriptor. Not part of the image's ID.
struct Annotations {
  std::map<std::string, std::string> manifest;
  std::map<std::string, std::string> descriptor;
};

/// What becomes an image.
struct Assembly {
  oci::ImageConfig config;                ///< rootfs.diff_ids is filled in from the layers
  std::vector<snapshot::LayerId> layers;  ///< bottom first, held by the caller's lease; hashed where they are not yet
  std::vector<oci::Reference> names;      ///< each with a tag or a digest; they move to this image
  std::optional<Annotations> annotations; ///< in the place of those that the image had; nullopt leaves them
  std::optional<ImageId> parent;          ///< docker's parent chain: commit; not BuildKit's builds
  /// Loaded and pulled images keep their config's bytes; `config` is not looked at then. The layers' diffIDs must be
  /// what it says: Error(invalid).
  std::optional<std::string> configBytes;
};

/// An image that is whole, but not in the store: what it would be there.
struct Sealed {
  ImageId id;
  oci::ImageConfig config;
  std::string configBytes;
  std::vector<snapshot::Layer> layers;  ///< hashed; bottom first
};

struct Assembled {
  ImageId id;
  bool isNew = false;  ///< false: the very same image was there
  /// Names that referred to another image before.
  std::vector<std::pair<oci::Reference, ImageId>> moved;
};

struct ContainerUse {
  std::string id;
  bool running = false;
};
/// Asked before an image is removed: who uses it. The foreign key is the safety, this is for the words.
using UsersOf = std::function<std::vector<ContainerUse>(const ImageId&)>;

/// One step of a removal: exactly one is set.
struct Removal {
  std::optional<std::string> untagged;  ///< familiar name
  std::optional<std::string> deleted;   ///< an image ID or a layer's chainID, "sha256:…"
  ImageId image;                        ///< which image this is about (for events)
};

struct HistoryEntry {
  std::string id = "<missing>";
  Time created;
  std::string createdBy;
  std::string comment;
  int64_t size = 0;
  std::vector<std::string> tags;
};

struct Inspection {
  Image image;
  oci::ImageConfig config;
  oci::Digest chainId;
  std::map<std::string, std::string>
      graphDriver;  ///< LowerDir (all but the top), UpperDir (the top), WorkDir, MergedDir
};

/// Filters of `images` and `image prune`, as the CLI gives them: name -> values. Known: dangling, label, label!,
/// before, since, reference, until.
using Filters = std::map<std::string, std::vector<std::string>>;

struct ListOptions {
  bool all = false;  ///< intermediate images too
  Filters filters;
};

struct PruneReport {
  std::vector<Removal> removed;
  int64_t reclaimed = 0;  ///< bytes
};

struct Finding {
  std::string what;
  std::string problem;
};

struct ImageUsage {
  ImageId id;
  int64_t size = 0;
  int64_t shared = 0;  ///< of it in layers that other images have too
};
struct DiskUsage {
  int64_t layersSize = 0;  ///< every layer of an image once, bytes
  std::vector<ImageUsage> images;
};

/// The images of one engine root. Any thread, several processes.
class Images {
 public:
  Images(db::Pool& pool, content::Store& content, snapshot::Snapshotter& snapshots)
      : pool_(pool), content_(content), snapshots_(snapshots) {}

  /// docker's precedence: an exact ID, then a name ("x" is x:latest, "x@sha256:…"), then an ID prefix. Throws
  /// Error(not_found) "No such image: x:latest", Error(invalid) for what is no reference, Error(conflict) "multiple IDs
  /// found with provided prefix: …".
  ImageId resolve(std::string_view nameOrId) const;
  std::optional<ImageId> tryResolve(std::string_view nameOrId) const;
  /// With config and layers. `lease` holds the layers. Without one, foreign keys that are written next (a container's
  /// image, its snapshot's layers) are the safety.
  Resolved open(const ImageId& id, Lease& lease) const;
  Resolved open(std::string_view nameOrId, Lease& lease) const { return open(resolve(nameOrId), lease); }
  Resolved open(const ImageId& id) const;
  Resolved open(std::string_view nameOrId) const { return open(resolve(nameOrId)); }

  Image get(const ImageId& id) const;
  oci::ImageConfig config(const ImageId& id) const;
  std::string configBytes(const ImageId& id) const;
  std::vector<snapshot::LayerId> layers(const ImageId& id) const;
  std::vector<oci::Reference> references(const ImageId& id) const;  ///< sorted by name
  /// Newest first. Throws Error(invalid) "invalid filter '…'".
  std::vector<Image> list(const ListOptions& options) const;
  std::vector<HistoryEntry> history(const ImageId& id) const;
  Inspection inspect(const ImageId& id) const;
  /// Any image with exactly this stack of layers, the newest first.
  std::optional<ImageId> findByChainId(const oci::Digest& chainId) const;

  /// Hashes what is not hashed and makes the config fit; `names` and `parent` are not looked at. Nothing is stored.
  Sealed seal(const Assembly& assembly, Lease& lease);
  /// The one place where an image comes to be: hashes what is not hashed, syncs once, then one transaction.
  Assembled assemble(const Assembly& assembly, Lease& lease);

  /// `name` gets ":latest" where it has no tag; a digest is refused. Returns the image that had the name before.
  std::optional<ImageId> tag(const ImageId& id, const oci::Reference& name);
  /// Records "name@digest" (after a pull or push).
  void addDigest(const ImageId& id, const oci::Reference& name, const oci::Digest& digest);

  /// `docker rmi`: rules and texts of docker's image deletion (see remove.cc). `pruneParents`: untagged parents too.
  std::vector<Removal> remove(const std::string& nameOrId, bool force, bool pruneParents, const UsersOf& usersOf);
  /// `docker image prune`: filters dangling (default true), until, label, label!.
  PruneReport prune(const Filters& filters, const UsersOf& usersOf);

  DiskUsage diskUsage() const;
  /// Rows against directories and digests, of content and snapshots too; with `digests` all bytes are read.
  std::vector<Finding> check(bool digests) const;

  content::Store& content() const noexcept { return content_; }
  snapshot::Snapshotter& snapshots() const noexcept { return snapshots_; }
  db::Pool& pool() const noexcept { return pool_; }

 private:
  std::vector<Removal> removeCounting(const std::string& nameOrId, bool force, bool pruneParents,
                                      const UsersOf& usersOf, int64_t& reclaimed);
  std::vector<snapshot::Layer> settleLayers(const std::vector<snapshot::LayerId>& layers, Lease& lease);

  db::Pool& pool_;
  content::Store& content_;
  snapshot::Snapshotter& snapshots_;
};

}  // namespace estiba::image
