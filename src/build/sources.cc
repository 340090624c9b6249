#include "build/sources.h"

#include "oci/platform.h"
#include "oci/reference.h"

namespace estiba::build {

bool BaseImages::isImage(const Origin& origin) const {
  return origin.kind == Origin::Kind::image || (origin.kind == Origin::Kind::named && contexts_.isImage(origin.image));
}

const image::Resolved& BaseImages::open(const Origin& origin, const std::string& platform) {
  const bool named = origin.kind == Origin::Kind::named;
  const std::string name = named ? contexts_.imageName(origin.image) : origin.image;
  const auto& image = name.empty() ? contexts_.image(origin.image) : find(name);
  const std::string& wanted = platform.empty() ? s_.request.platform : platform;
  if (wanted.empty()) return image;
  const auto want = oci::Platform::parse(wanted);
  if (oci::matches(want, image.config.platform)) return image;
  fail(Code::not_found,
       "image with reference {} was found but does not match the specified platform: wanted {}, actual: {}", name,
       want.str(), image.config.platform.str());
}

const image::Resolved& BaseImages::find(const std::string& name) {
  std::lock_guard lock(mutex_);
  const auto found = images_.find(name);
  if (found != images_.end()) return found->second;
  const auto reference = oci::Reference::tryParse(name);
  Vertex vertex(s_.progress, "[internal] load metadata for " + (reference ? reference->withDefaultTag().str() : name));
  try {
    if (s_.request.pull) fail(Code::not_implemented, "{}: --pull: pulling is not supported yet", name);
    auto resolved = s_.services.images.open(name, s_.lease);
    vertex.done();
    return images_.emplace(name, std::move(resolved)).first->second;
  } catch (const Error& e) {
    const std::string message =
        e.code() == Code::not_found
            ? fmt::format("{}: not found: it is not among this engine's images (pulling is not supported yet)",
                          reference ? reference->withDefaultTag().str() : name)
            : std::string(e.what());
    vertex.fail(message);
    throw Error(e.code(), message);
  }
}

std::optional<std::vector<snapshot::LayerId>> Sources::layersOf(const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::context: return std::nullopt;
    case Origin::Kind::scratch: return std::vector<snapshot::LayerId>{};
    case Origin::Kind::stage: return graph_.result(origin.stage).layers;
    case Origin::Kind::image:
    case Origin::Kind::named: break;
  }
  if (!images_.isImage(origin)) return std::nullopt;
  return images_.open(origin).layers;
}

std::string Sources::keyOf(const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::context: return "context";
    case Origin::Kind::scratch: return "scratch";
    case Origin::Kind::stage: return graph_.result(origin.stage).key;
    case Origin::Kind::image:
    case Origin::Kind::named: break;
  }
  if (!images_.isImage(origin)) return "context " + origin.image;
  return oci::chainId(images_.open(origin).config.rootfs.diff_ids).str();
}

std::string Sources::labelOf(const Origin& origin) const {
  if (origin.kind != Origin::Kind::stage) return origin.image + ":";
  const auto& name = plan_.stages[origin.stage].displayName;
  return (name.empty() ? std::to_string(origin.stage) : name) + ":";
}

std::shared_ptr<SourceTree> Sources::treeOf(const Origin& origin) {
  const auto layers = layersOf(origin);
  if (!layers) return origin.kind == Origin::Kind::named ? contexts_.files(origin.image) : context_;
  SourceTree::Options options;
  options.keepOwner = true;
  options.label = labelOf(origin);
  auto root = layers->empty() ? RootDir::open(s_.temp.next())
                              : RootDir(s_.snapshots().mountReadOnly(*layers), options.label);
  return std::make_shared<SourceTree>(std::move(root), std::move(options), std::make_shared<DigestIndex>());
}

}  // namespace estiba::build
