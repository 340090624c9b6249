#include "archive/compression.h"
#include "base/json.h"
#include "base/text.h"
#include "image/archive_reader.h"
#include "image/transfer.h"
#include "oci/manifest.h"

namespace estiba::image {

namespace {

constexpr int kMaxIndexDepth = 4;
constexpr const char* kImageName = "io.containerd.image.name";
constexpr const char* kRefName = "org.opencontainers.image.ref.name";

/// An entry of docker's manifest.json.
struct DockerItem {
  std::string Config;
  std::vector<std::string> RepoTags;
  std::vector<std::string> Layers;
  std::string Parent;
};
BOOST_DESCRIBE_STRUCT(DockerItem, (), (Config, RepoTags, Layers, Parent))

std::string blobPath(const oci::Digest& digest) {
  return "blobs/sha256/" + std::string(digest.hex());
}

class Loader {
 public:
  Loader(Images& images, const LoadOptions& options)
      : images_(images), options_(options), reader_(images.snapshots().layers(), lease_, options) {}
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// What no image came to use goes again.
  ~Loader() {
    lease_.drop();
    try {
      auto& layers = images_.snapshots().layers();
      if (layers.collect(reader_.unpacked()).empty() && !failed_) return;
      images_.content().collect();
      layers.emptyTrash();
    } catch (const std::exception&) {  // the next collection finds it
    }
  }

  std::vector<Loaded> load(std::unique_ptr<archive::Source> from) {
    reader_.read(std::move(from));
    if (const std::string* manifest = reader_.document("manifest.json")) {
      readDockerArchive(*manifest);
    } else if (const std::string* index = reader_.document("index.json")) {
      readLayout(*index);
    } else {
      fail(Code::invalid, "image archive: neither manifest.json nor index.json is in it");
    }
    if (assemblies_.empty()) fail(Code::invalid, "image archive: no image for this platform is in it");
    std::vector<Loaded> out;
    for (const Assembly& assembly : assemblies_) {
      const auto made = images_.assemble(assembly, lease_);
      if (assembly.names.empty()) out.push_back({made.id, std::nullopt});
      for (const auto& name : assembly.names) out.push_back({made.id, name});
    }
    failed_ = false;
    return out;
  }

 private:
  void readDockerArchive(const std::string& manifest);
  void readLayout(const std::string& index);
  void readDescriptor(const oci::Descriptor& descriptor, const std::optional<oci::Reference>& name, int depth);
  void readManifest(const oci::Manifest& manifest, const std::optional<oci::Reference>& name);
  void add(const std::string& configBytes, const std::vector<std::string>& layerPaths,
           std::vector<oci::Reference> names, const std::string& parent);
  oci::Platform platform() const { return options_.platform.value_or(oci::Platform::host()); }

  Images& images_;
  const LoadOptions& options_;
  Lease lease_;
  ArchiveReader reader_;
  std::vector<Assembly> assemblies_;
  bool failed_ = true;
};

void Loader::readDockerArchive(const std::string& manifest) {
  for (const auto& item : parseJsonAs<std::vector<DockerItem>>(manifest, "manifest.json")) {
    std::vector<oci::Reference> names;
    for (const std::string& tag : item.RepoTags) {
      auto name = oci::Reference::parse(tag);
      if (!name.tag() || name.digest()) fail(Code::invalid, "invalid tag {}", quoted(tag));
      names.push_back(std::move(name));
    }
    add(reader_.needDocument(item.Config), item.Layers, std::move(names), item.Parent);
  }
}

/// The layers' paths become layers that are what the config says.
void Loader::add(const std::string& configBytes, const std::vector<std::string>& layerPaths,
                 std::vector<oci::Reference> names, const std::string& parent) {
  Assembly out{.names = std::move(names), .configBytes = configBytes};
  const auto config = oci::ImageConfig::parse(configBytes);
  const auto& diffIds = config.rootfs.diff_ids;
  if (diffIds.size() != layerPaths.size()) {
    fail(Code::invalid, "invalid manifest, layers length mismatch: expected {}, got {}", layerPaths.size(),
         diffIds.size());
  }
  for (size_t i = 0; i < layerPaths.size(); ++i) {
    auto layer = reader_.layer(layerPaths[i]);
    if (!layer) layer = images_.snapshots().layers().holdByDiffId(diffIds[i], lease_);
    if (!layer) fail(Code::invalid, "image archive: layer {} is missing", quoted(layerPaths[i].substr(0, 200)));
    if (layer->diffId != diffIds[i]) {
      fail(Code::invalid, "invalid diffID for layer {}: expected {}, got {}", i, quoted(diffIds[i].str()),
           quoted(layer->diffId->str()));
    }
    out.layers.push_back(layer->id);
  }
  if (!parent.empty()) out.parent = oci::Digest::parse(parent);
  assemblies_.push_back(std::move(out));
}

/// containerd's full name, or a ref.name that is more than a tag.
std::optional<oci::Reference> nameIn(const oci::Descriptor& descriptor) {
  if (!descriptor.annotations) return std::nullopt;
  for (const char* key : {kImageName, kRefName}) {
    const auto found = descriptor.annotations->find(key);
    if (found == descriptor.annotations->end()) continue;
    if (key == kRefName && found->second.find_first_of(":/") == std::string::npos) continue;
    auto name = oci::Reference::tryParse(found->second);
    if (name && !name->digest()) return name->withDefaultTag();
  }
  return std::nullopt;
}

void Loader::readLayout(const std::string& bytes) {
  const auto parsed = oci::parseManifest(bytes, oci::media::kIndex);
  const auto& index = std::get<oci::Index>(parsed);
  for (const auto& descriptor : index.manifests) {
    // Several platforms side by side: ours only. An entry that has none says so in its config.
    if (index.manifests.size() > 1 && descriptor.platform && !oci::matches(platform(), *descriptor.platform)) continue;
    readDescriptor(descriptor, nameIn(descriptor), 0);
  }
}

void Loader::readDescriptor(const oci::Descriptor& descriptor, const std::optional<oci::Reference>& name, int depth) {
  if (depth > kMaxIndexDepth)
    fail(Code::invalid, "image archive: indexes in indexes, more than {} deep", kMaxIndexDepth);
  if (descriptor.digest.empty()) fail(Code::invalid, "image archive: a descriptor without digest");
  const auto parsed = oci::parseManifest(reader_.needDocument(blobPath(descriptor.digest)), descriptor.mediaType);
  if (const auto* manifest = std::get_if<oci::Manifest>(&parsed)) return readManifest(*manifest, name);
  const oci::Descriptor* chosen = oci::selectPlatform(std::get<oci::Index>(parsed), platform());
  if (chosen == nullptr) {
    fail(Code::not_found, "image archive: {} has no image for {}", descriptor.digest.str(), platform().str());
  }
  readDescriptor(*chosen, name, depth + 1);
}

void Loader::readManifest(const oci::Manifest& manifest, const std::optional<oci::Reference>& name) {
  std::vector<std::string> paths;
  for (const auto& layer : manifest.layers) {
    if (!oci::media::isLayer(layer.mediaType)) {
      fail(Code::invalid, "image archive: {} is no layer of an image", quoted(layer.mediaType.substr(0, 200)));
    }
    const std::string path = blobPath(layer.digest);
    const int64_t size = reader_.sizeOf(path);
    if (size >= 0 && size != layer.size) {
      fail(Code::invalid, "image archive: {} has {} bytes instead of {}", layer.digest.str(), size, layer.size);
    }
    paths.push_back(path);
  }
  add(reader_.needDocument(blobPath(manifest.config.digest)), paths,
      name ? std::vector{*name} : std::vector<oci::Reference>(), "");
}

}  // namespace

std::string Loaded::text() const {
  return name ? "Loaded image: " + name->familiar() : "Loaded image ID: " + id.str();
}

std::vector<Loaded> load(Images& images, std::unique_ptr<archive::Source> from, const LoadOptions& options) {
  return Loader(images, options).load(std::move(from));
}

Assembled importTar(Images& images, std::unique_ptr<archive::Source> from, const ImportOptions& options) {
  auto& layers = images.snapshots().layers();
  Assembly assembly;
  assembly.config.platform = options.config.platform.empty() ? oci::Platform::host() : options.config.platform;
  assembly.config.config = options.config.config;
  assembly.config.author = options.config.author;
  assembly.config.created = now();
  assembly.config.comment = options.message;
  assembly.config.history = {{.created = assembly.config.created, .comment = options.message}};
  if (options.name) assembly.names = {*options.name};
  Lease lease;
  const auto plain = archive::decompressing(std::move(from));
  const auto layer = layers.unpack(*plain, lease, {.maxBytes = options.maxBytes});
  assembly.layers = {layer.id};
  try {
    return images.assemble(assembly, lease);
  } catch (...) {
    lease.drop();
    layers.collect(assembly.layers);
    throw;
  }
}

}  // namespace estiba::image
