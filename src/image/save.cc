#include <algorithm>
#include <map>
#include <set>

#include "archive/tar.h"
#include "base/json.h"
#include "image/rows.h"
#include "image/transfer.h"
#include "oci/manifest.h"

namespace estiba::image {

namespace {

constexpr const char* kImageName = "io.containerd.image.name";
constexpr const char* kRefName = "org.opencontainers.image.ref.name";

/// One image and the names that it is saved under.
struct Wanted {
  ImageId id;
  std::vector<oci::Reference> names;
};

std::string blobPath(const oci::Digest& digest) {
  return "blobs/sha256/" + std::string(digest.hex());
}

std::vector<Wanted> choose(const Images& images, db::Pool& pool, const std::vector<std::string>& names) {
  std::vector<Wanted> out;
  const auto add = [&](const ImageId& id, const std::optional<oci::Reference>& name) {
    auto found = std::find_if(out.begin(), out.end(), [&](const Wanted& w) { return w.id == id; });
    if (found == out.end()) found = out.insert(out.end(), {id, {}});
    if (name && std::find(found->names.begin(), found->names.end(), *name) == found->names.end()) {
      found->names.push_back(*name);
    }
  };
  const auto db = pool.get();
  for (const std::string& text : names) {
    const auto name = oci::Reference::tryParse(text);
    if (name && !name->tag() && !name->digest()) {
      // A whole repository; what is none of ours may still be an ID.
      const auto tagged = taggedOf(*db, *name);
      for (const auto& [tag, id] : tagged) add(id, tag);
      if (!tagged.empty()) continue;
    }
    const ImageId id = images.resolve(text);
    const bool named = name && name->tag() && !name->digest() && imageOfName(*db, *name) == id;
    add(id, named ? name : std::nullopt);
  }
  return out;
}

/// Hands on to the tar's present entry.
class EntrySink : public archive::Sink {
 public:
  EntrySink(archive::TarWriter& tar, std::stop_token stop) : tar_(tar), stop_(std::move(stop)) {}
  using archive::Sink::write;
  void write(const void* from, size_t size) override {
    if (stop_.stop_requested()) fail(Code::cancelled, "save was cancelled");
    tar_.write(from, size);
  }

 private:
  archive::TarWriter& tar_;
  std::stop_token stop_;
};

/// Everything that goes into the archive, under its name there; sorted, so that the bytes are always the same.
class Archive {
 public:
  Archive(Images& images, Lease& lease) : images_(images), lease_(lease) {}

  void add(const Wanted& wanted);
  void write(archive::Sink& out, std::stop_token stop);

 private:
  oci::Manifest manifestOf(const Resolved& image, const std::string& config);

  Images& images_;
  Lease& lease_;
  std::map<std::string, std::string> files_;
  std::map<std::string, snapshot::Layer> layers_;
  oci::Index index_{.mediaType = std::string(oci::media::kIndex)};
  json::array dockerManifest_;
  std::map<std::string, std::map<std::string, std::string>> repositories_;
};

oci::Manifest Archive::manifestOf(const Resolved& image, const std::string& config) {
  oci::Manifest out{.mediaType = std::string(oci::media::kManifest)};
  out.config = {
      .mediaType = std::string(oci::media::kConfig), .digest = image.id, .size = static_cast<int64_t>(config.size())};
  for (const auto& id : image.layers) {
    const auto layer = images_.snapshots().layers().get(id);
    out.layers.push_back(
        {.mediaType = std::string(oci::media::kLayer), .digest = *layer.diffId, .size = layer.tarBytes});
    layers_[blobPath(*layer.diffId)] = layer;
  }
  return out;
}

void Archive::add(const Wanted& wanted) {
  const auto image = images_.open(wanted.id, lease_);
  const std::string config = images_.configBytes(wanted.id);
  const auto manifest = manifestOf(image, config);
  const std::string manifestBytes = dumpJsonOf(manifest);
  const auto digest = oci::Digest::of(manifestBytes);
  files_[blobPath(wanted.id)] = config;
  files_[blobPath(digest)] = manifestBytes;

  oci::Descriptor descriptor{.mediaType = std::string(oci::media::kManifest),
                             .digest = digest,
                             .size = static_cast<int64_t>(manifestBytes.size())};
  json::array repoTags;
  for (const auto& name : wanted.names) {
    repoTags.emplace_back(name.familiar());
    repositories_[name.familiarName()][*name.tag()] =
        manifest.layers.empty() ? std::string(wanted.id.hex()) : std::string(manifest.layers.back().digest.hex());
    auto named = descriptor;
    named.annotations = std::map<std::string, std::string>{{kImageName, name.str()}, {kRefName, *name.tag()}};
    index_.manifests.push_back(std::move(named));
  }
  if (wanted.names.empty()) index_.manifests.push_back(std::move(descriptor));

  json::array layers;
  json::object sources;
  for (const auto& layer : manifest.layers) {
    layers.emplace_back(blobPath(layer.digest));
    sources[layer.digest.str()] = toJson(layer);
  }
  json::object item;
  item["Config"] = blobPath(wanted.id);
  item["RepoTags"] = repoTags.empty() ? json::value(nullptr) : json::value(std::move(repoTags));
  item["Layers"] = std::move(layers);
  item["LayerSources"] = std::move(sources);
  dockerManifest_.push_back(std::move(item));
}

void Archive::write(archive::Sink& out, std::stop_token stop) {
  files_["index.json"] = dumpJsonOf(index_);
  files_["manifest.json"] = dumpJson(dockerManifest_);
  files_["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})";
  files_["repositories"] = dumpJsonOf(repositories_);
  archive::TarWriter tar(out);
  const auto directory = [&](const char* name) {
    tar.add({.name = name, .type = archive::TarType::directory, .mode = 0755});
  };
  directory("blobs/");
  directory("blobs/sha256/");
  std::set<std::string> names;
  for (const auto& [name, content] : files_) names.insert(name);
  for (const auto& [name, layer] : layers_) names.insert(name);
  for (const std::string& name : names) {
    if (const auto layer = layers_.find(name); layer != layers_.end()) {
      tar.add({.name = name, .size = layer->second.tarBytes});
      EntrySink sink(tar, stop);
      images_.snapshots().layers().writeTar(layer->second.id, sink);
    } else {
      const std::string& content = files_.at(name);
      tar.addFile({.name = name, .size = static_cast<int64_t>(content.size())}, content);
    }
  }
  tar.finish();
}

}  // namespace

void save(Images& images, const std::vector<std::string>& names, archive::Sink& out, std::stop_token stop) {
  Lease lease;
  Archive archive(images, lease);
  for (const Wanted& wanted : choose(images, images.pool(), names)) archive.add(wanted);
  archive.write(out, std::move(stop));
}

}  // namespace estiba::image
