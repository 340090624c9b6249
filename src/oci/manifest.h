#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "oci/descriptor.h"

namespace estiba::oci {

/// One image: its config and its layers, bottom first. Source: image-spec manifest.md.
struct Manifest {
  int64_t schemaVersion = 2;
  std::optional<std::string> mediaType;
  std::optional<std::string> artifactType;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  std::optional<std::map<std::string, std::string>> annotations;
};
BOOST_DESCRIBE_STRUCT(Manifest, (), (schemaVersion, mediaType, artifactType, config, layers, subject, annotations))

/// Several manifests, one per platform. Source: image-spec image-index.md.
struct Index {
  int64_t schemaVersion = 2;
  std::optional<std::string> mediaType;
  std::optional<std::string> artifactType;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  std::optional<std::map<std::string, std::string>> annotations;
};
BOOST_DESCRIBE_STRUCT(Index, (), (schemaVersion, mediaType, artifactType, manifests, subject, annotations))

/// Reads either. `type` is what the sender called it (Content-Type, descriptor), "" if nothing. A document that could
/// be read as both (CVE-2021-41190), contradicts `type`, is schema 1, or names a digest or size that is none, is
/// refused: Error(invalid); schema 1 Error(not_implemented). Layers and manifests are at most 1,000 each.
std::variant<Manifest, Index> parseManifest(std::string_view bytes, std::string_view type);

/// The entry of `index` that fits `want` best, attestations ("unknown/unknown") left out; nullptr where none does. An
/// entry without a platform fits only if it is the only one.
const Descriptor* selectPlatform(const Index& index, const Platform& want);

}  // namespace estiba::oci
