#include "oci/manifest.h"

#include "base/error.h"
#include "base/text.h"

namespace estiba::oci {

namespace media {

bool isManifest(std::string_view type) noexcept {
  return type == kManifest || type == kDockerManifest;
}
bool isIndex(std::string_view type) noexcept {
  return type == kIndex || type == kDockerIndex;
}
bool isLayer(std::string_view type) noexcept {
  return type.starts_with("application/vnd.oci.image.layer.") ||
         type.starts_with("application/vnd.docker.image.rootfs.");
}

}  // namespace media

namespace {

constexpr size_t kMaxEntries = 1000;
constexpr std::string_view kSchema1 = "application/vnd.docker.distribution.manifest.v1";

void checkDescriptor(const Descriptor& d, std::string_view what) {
  if (d.digest.empty()) fail(Code::invalid, "manifest: {} without digest", what);
  if (d.size < 0) fail(Code::invalid, "manifest: {} {} of negative size", what, d.digest.str());
}

void checkList(const std::vector<Descriptor>& list, std::string_view what) {
  if (list.size() > kMaxEntries)
    fail(Code::invalid, "manifest: {} {}s, at most {} are taken", list.size(), what, kMaxEntries);
  for (const auto& d : list) checkDescriptor(d, what);
}

/// The type that the document and its sender agree on, "" where neither says one.
std::string agreedType(const json::object& document, std::string_view sender) {
  std::string own;
  if (const json::value* found = detail::findKey(document, "mediaType")) fromJson(*found, own, "mediaType");
  if (!own.empty() && (media::isManifest(sender) || media::isIndex(sender)) && own != sender) {
    fail(Code::invalid, "manifest: it says that it is {}, but was announced as {}", own, sender);
  }
  return own.empty() ? std::string(sender) : own;
}

}  // namespace

std::variant<Manifest, Index> parseManifest(std::string_view bytes, std::string_view type) {
  const json::value document = parseJson(bytes, "manifest");
  if (!document.is_object()) fail(Code::invalid, "manifest: not a JSON object");
  const json::object& object = document.get_object();
  const std::string agreed = agreedType(object, type);
  int64_t schemaVersion = 0;
  if (const json::value* found = detail::findKey(object, "schemaVersion"))
    fromJson(*found, schemaVersion, "schemaVersion");
  if (schemaVersion == 1 || agreed.starts_with(kSchema1)) {
    fail(Code::not_implemented, "manifest schema 1 is not supported: push the image again with a newer client");
  }
  if (schemaVersion != 2) fail(Code::invalid, "manifest: unknown schema version {}", schemaVersion);

  const bool hasManifests = detail::findKey(object, "manifests") != nullptr;
  const bool hasLayers = detail::findKey(object, "layers") != nullptr || detail::findKey(object, "config") != nullptr ||
                         detail::findKey(object, "fsLayers") != nullptr;
  if (hasManifests == hasLayers) {
    fail(Code::invalid, "manifest: {} an image and an index", hasManifests ? "it is both" : "it is neither");
  }
  if ((hasManifests && media::isManifest(agreed)) || (hasLayers && media::isIndex(agreed))) {
    fail(Code::invalid, "manifest: its content does not fit its type {}", agreed);
  }
  if (hasManifests) {
    auto index = parseJsonAs<Index>(bytes, "manifest");
    checkList(index.manifests, "manifest");
    return index;
  }
  auto manifest = parseJsonAs<Manifest>(bytes, "manifest");
  checkDescriptor(manifest.config, "config");
  checkList(manifest.layers, "layer");
  return manifest;
}

const Descriptor* selectPlatform(const Index& index, const Platform& want) {
  const Descriptor* best = nullptr;
  int bestRank = 0;
  for (const auto& d : index.manifests) {
    if (!d.platform) continue;
    const auto rank = matchRank(want, *d.platform);
    if (rank && (best == nullptr || *rank < bestRank)) {
      best = &d;
      bestRank = *rank;
    }
  }
  if (best == nullptr && index.manifests.size() == 1 && !index.manifests[0].platform) return &index.manifests[0];
  return best;
}

}  // namespace estiba::oci
