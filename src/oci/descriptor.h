#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/digest.h"
#include "oci/platform.h"

namespace estiba::oci {

namespace media {
inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";

bool isManifest(std::string_view type) noexcept;
bool isIndex(std::string_view type) noexcept;
bool isLayer(std::string_view type) noexcept;  ///< any of the layer types, foreign ones included
}  // namespace media

/// Names content by type, digest and size in bytes. Source: image-spec descriptor.md.
struct Descriptor {
  std::string mediaType;
  Digest digest;
  int64_t size = 0;
  std::optional<std::vector<std::string>> urls;
  std::optional<std::map<std::string, std::string>> annotations;
  std::optional<Platform> platform;
  std::optional<std::string> artifactType;
  bool operator==(const Descriptor&) const = default;
};
BOOST_DESCRIBE_STRUCT(Descriptor, (), (mediaType, digest, size, urls, annotations, platform, artifactType))

}  // namespace estiba::oci
