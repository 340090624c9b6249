#include "image/layout_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "archive/tar.h"
#include "sys/file.h"

namespace estiba::image {

namespace {

constexpr const char* kImageName = "io.containerd.image.name";
constexpr const char* kRefName = "org.opencontainers.image.ref.name";

std::string blobPath(const oci::Digest& digest) {
  return "blobs/sha256/" + std::string(digest.hex());
}

/// Passes bytes on until it is told to stop.
class StoppableSink : public archive::Sink {
 public:
  StoppableSink(archive::Sink& to, std::stop_token stop) : to_(to), stop_(std::move(stop)) {}
  using archive::Sink::write;
  void write(const void* from, size_t size) override {
    if (stop_.stop_requested()) fail(Code::cancelled, "save was cancelled");
    to_.write(from, size);
  }

 private:
  archive::Sink& to_;
  std::stop_token stop_;
};

/// The tar's present entry.
class EntrySink : public archive::Sink {
 public:
  explicit EntrySink(archive::TarWriter& tar) : tar_(tar) {}
  using archive::Sink::write;
  void write(const void* from, size_t size) override { tar_.write(from, size); }

 private:
  archive::TarWriter& tar_;
};

}  // namespace

std::string_view LayoutWriter::layerType() const {
  switch (style_.compression) {
    case archive::Compression::none:
      return style_.ociTypes ? oci::media::kLayer : oci::media::kDockerLayer;
    case archive::Compression::gzip:
      return style_.ociTypes ? oci::media::kLayerGzip : oci::media::kDockerLayerGzip;
    case archive::Compression::zstd:
      return oci::media::kLayerZstd;
    case archive::Compression::bzip2:
    case archive::Compression::xz:
      break;
  }
  fail(Code::invalid, "a layer cannot be compressed with {}", archive::compressionName(style_.compression));
}

oci::Descriptor LayoutWriter::blobOf(const snapshot::Layer& layer) {
  if (const auto found = packed_.find(layer.id); found != packed_.end()) return found->second;
  oci::Descriptor out{.mediaType = std::string(layerType()), .digest = *layer.diffId, .size = layer.tarBytes};
  Blob blob{.size = layer.tarBytes, .layer = layer.id, .file = {}};
  if (style_.compression != archive::Compression::none) {
    const std::string& dir = layers_.root();
    blob.file = Fd(sys([&] { return ::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); },
                       "make a temporary file under '{}'", dir));
    archive::FdSink file(blob.file.get(), "compressed layer");
    archive::HashingSink hashing(&file);
    const auto compressor = archive::compressing(style_.compression, style_.level, hashing);
    StoppableSink sink(*compressor, stop_);
    layers_.writeTar(layer.id, sink);
    compressor->finish();
    blob.size = out.size = hashing.bytes();
    out.digest = oci::Digest::fromHex(hashing.finishHex());
  }
  blobs_.insert_or_assign(blobPath(out.digest), std::move(blob));
  packed_.emplace(layer.id, out);
  return out;
}

oci::Descriptor LayoutWriter::add(const Image& image) {
  namespace media = oci::media;
  const auto configDigest = oci::Digest::of(image.config);
  documents_[blobPath(configDigest)] = image.config;
  oci::Manifest manifest{
      .mediaType = std::string(style_.ociTypes ? media::kManifest : media::kDockerManifest)};
  manifest.config = {.mediaType = std::string(style_.ociTypes ? media::kConfig : media::kDockerConfig),
                     .digest = configDigest,
                     .size = static_cast<int64_t>(image.config.size())};
  for (const auto& layer : image.layers) manifest.layers.push_back(blobOf(layer));
  if (!image.annotations.manifest.empty()) manifest.annotations = image.annotations.manifest;
  const std::string bytes = dumpJsonOf(manifest);

  oci::Descriptor descriptor{
      .mediaType = *manifest.mediaType, .digest = oci::Digest::of(bytes), .size = static_cast<int64_t>(bytes.size())};
  documents_[blobPath(descriptor.digest)] = bytes;
  descriptor.platform = image.platform;
  if (!image.annotations.descriptor.empty()) descriptor.annotations = image.annotations.descriptor;
  for (const auto& name : image.names) {
    auto named = descriptor;
    if (!named.annotations) named.annotations.emplace();
    (*named.annotations)[kImageName] = name.str();
    (*named.annotations)[kRefName] = *name.tag();
    index_.manifests.push_back(std::move(named));
  }
  if (image.names.empty()) index_.manifests.push_back(descriptor);
  if (style_.dockerManifest) addDockerItem(image, manifest);
  return descriptor;
}

void LayoutWriter::addDockerItem(const Image& image, const oci::Manifest& manifest) {
  json::array repoTags, layers;
  const auto& top = manifest.layers.empty() ? manifest.config.digest : manifest.layers.back().digest;
  for (const auto& name : image.names) {
    repoTags.emplace_back(name.familiar());
    repositories_[name.familiarName()][*name.tag()] = std::string(top.hex());
  }
  json::object sources;
  for (const auto& layer : manifest.layers) {
    layers.emplace_back(blobPath(layer.digest));
    sources[layer.digest.str()] = toJson(layer);
  }
  json::object item;
  item["Config"] = blobPath(manifest.config.digest);
  item["RepoTags"] = repoTags.empty() ? json::value(nullptr) : json::value(std::move(repoTags));
  item["Layers"] = std::move(layers);
  if (style_.dockerExtras) item["LayerSources"] = std::move(sources);
  dockerManifest_.push_back(std::move(item));
}

void LayoutWriter::write(archive::Sink& out) {
  documents_["index.json"] = dumpJsonOf(index_);
  documents_["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})";
  if (style_.dockerManifest) documents_["manifest.json"] = dumpJson(dockerManifest_);
  if (style_.dockerManifest && style_.dockerExtras) documents_["repositories"] = dumpJsonOf(repositories_);
  StoppableSink stoppable(out, stop_);
  archive::TarWriter tar(stoppable);
  for (const char* name : {"blobs/", "blobs/sha256/"}) {
    tar.add({.name = name, .type = archive::TarType::directory, .mode = 0755});
  }
  std::set<std::string> names;
  for (const auto& [name, content] : documents_) names.insert(name);
  for (const auto& [name, blob] : blobs_) names.insert(name);
  for (const std::string& name : names) {
    const auto blob = blobs_.find(name);
    if (blob == blobs_.end()) {
      const std::string& content = documents_.at(name);
      tar.addFile({.name = name, .size = static_cast<int64_t>(content.size())}, content);
      continue;
    }
    tar.add({.name = name, .size = blob->second.size});
    EntrySink sink(tar);
    if (blob->second.file) {
      sys([&] { return ::lseek(blob->second.file.get(), 0, SEEK_SET); }, "rewind a compressed layer");
      archive::FdSource file(blob->second.file.get(), "compressed layer");
      archive::pump(file, sink);
    } else {
      layers_.writeTar(blob->second.layer, sink);
    }
  }
  tar.finish();
}

}  // namespace estiba::image
