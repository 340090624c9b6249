#pragma once
// Images as one archive: an OCI layout, with docker's manifest.json beside it (internal to this module).
// Source: image-spec image-layout.md; docker's image spec 1.2, manifest.json.

#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "archive/stream.h"
#include "base/fd.h"
#include "base/json.h"
#include "image/transfer.h"
#include "oci/manifest.h"

namespace estiba::image {

/// Collects images, then writes them all. The same images in the same style give the same bytes.
class LayoutWriter {
 public:
  struct Style {
    bool dockerManifest = true;  ///< manifest.json
    bool dockerExtras = true;    ///< what `docker save` has beyond it: LayerSources, `repositories`
    bool ociTypes = true;        ///< false: docker's media types
    archive::Compression compression = archive::Compression::none;
    std::optional<int> level;
  };
  struct Image {
    std::string config;
    std::vector<snapshot::Layer> layers;  ///< bottom first, hashed, held by the caller's lease
    std::vector<oci::Reference> names;
    Annotations annotations;
    std::optional<oci::Platform> platform;  ///< in the manifest's descriptor
  };

  LayoutWriter(snapshot::Layers& layers, Style style, std::stop_token stop)
      : layers_(layers), style_(style), stop_(std::move(stop)) {}

  /// Layers are compressed here, into files without names. Returns the manifest's descriptor.
  oci::Descriptor add(const Image& image);
  void write(archive::Sink& out);

 private:
  struct Blob {
    int64_t size = 0;
    snapshot::LayerId layer;  ///< its plain tar, where `file` is empty
    Fd file;                  ///< compressed
  };
  oci::Descriptor blobOf(const snapshot::Layer& layer);
  std::string_view layerType() const;
  void addDockerItem(const Image& image, const oci::Manifest& manifest);

  snapshot::Layers& layers_;
  Style style_;
  std::stop_token stop_;
  std::map<std::string, std::string> documents_;  ///< by path in the archive
  std::map<std::string, Blob> blobs_;
  std::map<snapshot::LayerId, oci::Descriptor> packed_;
  oci::Index index_{.mediaType = std::string(oci::media::kIndex)};
  json::array dockerManifest_;
  std::map<std::string, std::map<std::string, std::string>> repositories_;
};

}  // namespace estiba::image
