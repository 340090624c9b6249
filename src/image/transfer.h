#pragma once
// Images as streams: import, save, load.

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "archive/compression.h"
#include "archive/stream.h"
#include "image/images.h"
#include "oci/descriptor.h"
#include "sys/root_dir.h"

namespace estiba::image {

/// What came out of an archive: a name, or an image without one.
struct Loaded {
  ImageId id;
  std::optional<oci::Reference> name;
  /// As docker says it: "Loaded image: acc/sv:1", "Loaded image ID: sha256:…".
  std::string text() const;
};

struct LoadProgress {
  std::string id;       ///< short diffID, or the name of the archive's member
  int64_t current = 0;  ///< bytes read of it
  int64_t total = 0;
};

struct LoadOptions {
  std::optional<oci::Platform> platform;              ///< of an index; default: the best for this host
  int64_t maxLayerBytes = 0;                          ///< content of one layer; 0: no limit
  std::function<void(const LoadProgress&)> progress;  ///< may be empty
  std::stop_token stop;
};

/// Reads a docker-archive (1.x layout, 1.10 manifest.json) or an OCI layout, plain or compressed (gzip, bzip2, xz,
/// zstd), in one pass, without temporary copies. Everything is checked against its digests; names, links and sizes in
/// it are hostile. On failure nothing stays behind. Throws Error(invalid) that names what is wrong.
std::vector<Loaded> load(Images& images, std::unique_ptr<archive::Source> from, const LoadOptions& options = {});

/// Writes the images as docker 25 and newer does: an OCI layout with manifest.json and `repositories`, layers
/// uncompressed and bit for bit. The same images give the same bytes. `names`: names or IDs; an ID is saved without a
/// name, a name without tag with all its tags.
void save(Images& images, const std::vector<std::string>& names, archive::Sink& out, std::stop_token stop = {});

struct ExportOptions {
  std::vector<oci::Reference> names;  ///< each with a tag
  bool dockerManifest = false;        ///< docker's manifest.json beside the OCI layout
  bool ociTypes = true;               ///< false: docker's media types; not with zstd
  archive::Compression compression = archive::Compression::gzip;  ///< of layers: none, gzip, zstd
  std::optional<int> level;                                       ///< the format's own scale
  Annotations annotations;
  std::optional<oci::Platform> platform;                          ///< in the manifest's descriptor in index.json
};

/// Writes an image that need not be in the store as BuildKit's oci and docker exporters do. Its layers are held by the
/// caller's lease. Returns the manifest's descriptor.
oci::Descriptor exportImage(Images& images, const Sealed& image, const ExportOptions& options, archive::Sink& out,
                            std::stop_token stop = {});

/// Which image of an OCI layout.
struct LayoutChoice {
  std::optional<oci::Digest> digest;      ///< of a manifest or an index
  std::string tag = "latest";             ///< where there is no digest; the only image there is, where none has it
  std::optional<oci::Platform> platform;  ///< of an index; default: the best for this host
};

/// Opens an image of an OCI layout directory (image-spec image-layout.md); its layers go into the store, held by
/// `lease`, the image itself does not. Everything is checked against its digests. Throws Error(not_found),
/// Error(invalid).
Resolved openLayout(Images& images, const RootDir& layout, const LayoutChoice& choice, Lease& lease);

struct ImportOptions {
  oci::ImageConfig config;             ///< platform and `config` (changes applied) are taken
  std::string message;                 ///< comment of the one history entry: "Imported from -"
  std::optional<oci::Reference> name;  ///< untagged where empty
  int64_t maxBytes = 0;
};

/// One layer, one image, of a root file system's tar (plain or compressed).
Assembled importTar(Images& images, std::unique_ptr<archive::Source> from, const ImportOptions& options);

}  // namespace estiba::image
