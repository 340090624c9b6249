#include "archive/compression.h"
#include "base/json.h"
#include "image/transfer.h"
#include "oci/manifest.h"
#include "sys/root_dir.h"

namespace estiba::image {

namespace {

constexpr uint64_t kMaxDocument = 8U << 20;
constexpr int kMaxIndexDepth = 4;
constexpr const char* kImageName = "io.containerd.image.name";
constexpr const char* kRefName = "org.opencontainers.image.ref.name";

std::string blobPath(const oci::Digest& digest) {
  return "blobs/sha256/" + std::string(digest.hex());
}

class LayoutReader {
 public:
  LayoutReader(Images& images, const RootDir& layout, const LayoutChoice& choice, Lease& lease)
      : images_(images), layout_(layout), choice_(choice), lease_(lease) {}

  Resolved read() {
    const auto manifest = manifestOf(chosen(), 0);
    Resolved out;
    const std::string config = document(manifest.config.digest);
    out.id = manifest.config.digest;
    out.config = oci::ImageConfig::parse(config);
    const auto& diffIds = out.config.rootfs.diff_ids;
    if (diffIds.size() != manifest.layers.size()) {
      fail(Code::invalid, "OCI layout {}: {} layers in the manifest, {} in the config", layout_.name(),
           manifest.layers.size(), diffIds.size());
    }
    for (size_t i = 0; i < diffIds.size(); ++i) out.layers.push_back(layer(manifest.layers[i], diffIds[i]));
    return out;
  }

 private:
  /// A blob that is JSON, compared with its digest.
  std::string document(const oci::Digest& digest) {
    auto text = layout_.tryRead(blobPath(digest), kMaxDocument);
    if (!text) fail(Code::not_found, "OCI layout {}: blob {} is missing", layout_.name(), digest.str());
    if (oci::Digest::of(*text) != digest) {
      fail(Code::invalid, "OCI layout {}: blob {} has another digest", layout_.name(), digest.str());
    }
    return std::move(*text);
  }

  bool isTagged(const oci::Descriptor& descriptor) const {
    if (!descriptor.annotations) return false;
    const auto is = [&](const char* key) {
      const auto found = descriptor.annotations->find(key);
      return found != descriptor.annotations->end() && found->second == choice_.tag;
    };
    return is(kRefName) || is(kImageName);
  }

  oci::Descriptor chosen() {
    const auto bytes = layout_.tryRead("index.json", kMaxDocument);
    if (!bytes) fail(Code::not_found, "OCI layout {}: index.json is missing", layout_.name());
    const auto parsed = oci::parseManifest(*bytes, oci::media::kIndex);
    const auto& manifests = std::get<oci::Index>(parsed).manifests;
    for (const auto& descriptor : manifests) {
      if (choice_.digest ? descriptor.digest == *choice_.digest : isTagged(descriptor)) return descriptor;
    }
    if (choice_.digest) return {.mediaType = "", .digest = *choice_.digest};
    if (manifests.size() == 1) return manifests[0];
    fail(Code::not_found, "OCI layout {}: no image is tagged {}", layout_.name(), choice_.tag);
  }

  oci::Manifest manifestOf(const oci::Descriptor& descriptor, int depth) {
    if (depth > kMaxIndexDepth) fail(Code::invalid, "OCI layout {}: indexes too deep in indexes", layout_.name());
    const auto parsed = oci::parseManifest(document(descriptor.digest), descriptor.mediaType);
    if (const auto* manifest = std::get_if<oci::Manifest>(&parsed)) return *manifest;
    const auto platform = choice_.platform.value_or(oci::Platform::host());
    const auto* found = oci::selectPlatform(std::get<oci::Index>(parsed), platform);
    if (found == nullptr) {
      fail(Code::not_found, "OCI layout {}: {} has no image for {}", layout_.name(), descriptor.digest.str(),
           platform.str());
    }
    return manifestOf(*found, depth + 1);
  }

  snapshot::LayerId layer(const oci::Descriptor& descriptor, const oci::Digest& diffId) {
    auto& layers = images_.snapshots().layers();
    if (const auto known = layers.holdByDiffId(diffId, lease_)) return known->id;
    if (!oci::media::isLayer(descriptor.mediaType)) {
      fail(Code::invalid, "OCI layout {}: {} is no layer of an image", layout_.name(), descriptor.mediaType);
    }
    Fd blob = layout_.openPath(blobPath(descriptor.digest), O_RDONLY | O_NONBLOCK);
    struct stat st {};
    sys([&] { return ::fstat(blob.get(), &st); }, "stat blob {}", descriptor.digest.str());
    if (!S_ISREG(st.st_mode)) fail(Code::invalid, "OCI layout {}: blob {} is no file", layout_.name(), descriptor.digest.str());
    const auto plain = archive::decompressing(std::make_unique<archive::FdSource>(std::move(blob), descriptor.digest.str()));
    return layers.unpack(*plain, lease_, {}, diffId).id;
  }

  Images& images_;
  const RootDir& layout_;
  const LayoutChoice& choice_;
  Lease& lease_;
};

}  // namespace

Resolved openLayout(Images& images, const RootDir& layout, const LayoutChoice& choice, Lease& lease) {
  return LayoutReader(images, layout, choice, lease).read();
}

}  // namespace estiba::image
