#include "build/sources.h"

#include "oci/reference.h"

namespace estiba::build {

const image::Resolved& BaseImages::open(const Origin& origin) {
  std::string name = origin.image;
  if (origin.kind == Origin::Kind::named) {
    name = s_.request.buildContexts.at(origin.image).substr(std::string_view("docker-image://").size());
  }
  std::lock_guard lock(mutex_);
  const auto found = images_.find(name);
  if (found != images_.end()) return found->second;
  const auto reference = oci::Reference::tryParse(name);
  Vertex vertex(s_.progress, "[internal] load metadata for " + (reference ? reference->withDefaultTag().str() : name));
  try {
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

std::vector<snapshot::LayerId> Sources::layersOf(const Origin& origin) {
  return origin.kind == Origin::Kind::stage ? graph_.result(origin.stage).layers : images_.open(origin).layers;
}

std::string Sources::labelOf(const Origin& origin) const {
  if (origin.kind != Origin::Kind::stage) return origin.image + ":";
  const auto& name = plan_.stages[origin.stage].displayName;
  return (name.empty() ? std::to_string(origin.stage) : name) + ":";
}

std::shared_ptr<SourceTree> Sources::treeOf(const Origin& origin) {
  if (origin.kind == Origin::Kind::context) return context_;
  SourceTree::Options options;
  options.keepOwner = true;
  options.label = labelOf(origin);
  const auto layers = layersOf(origin);
  auto root = layers.empty() ? RootDir::open(s_.temp.next())
                             : RootDir(s_.snapshots().mountReadOnly(layers), options.label);
  return std::make_shared<SourceTree>(std::move(root), std::move(options), std::make_shared<DigestIndex>());
}

}  // namespace estiba::build
