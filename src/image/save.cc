#include <algorithm>

#include "image/layout_writer.h"
#include "image/rows.h"
#include "image/transfer.h"

namespace estiba::image {

namespace {

/// One image and the names that it is saved under.
struct Wanted {
  ImageId id;
  std::vector<oci::Reference> names;
};

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

std::vector<snapshot::Layer> layersOf(Images& images, const std::vector<snapshot::LayerId>& ids) {
  std::vector<snapshot::Layer> out;
  for (const auto& id : ids) out.push_back(images.snapshots().layers().get(id));
  return out;
}

}  // namespace

void save(Images& images, const std::vector<std::string>& names, archive::Sink& out, std::stop_token stop) {
  Lease lease;
  LayoutWriter writer(images.snapshots().layers(), {}, std::move(stop));
  for (const Wanted& wanted : choose(images, images.pool(), names)) {
    const auto image = images.open(wanted.id, lease);
    writer.add({.config = images.configBytes(wanted.id), .layers = layersOf(images, image.layers), .names = wanted.names,
                .annotations = annotationsOf(*images.pool().get(), wanted.id)});
  }
  writer.write(out);
}

oci::Descriptor exportImage(Images& images, const Sealed& image, const ExportOptions& options, archive::Sink& out,
                            std::stop_token stop) {
  LayoutWriter writer(images.snapshots().layers(),
                      {.dockerManifest = options.dockerManifest,
                       .dockerExtras = false,
                       .ociTypes = options.ociTypes,
                       .compression = options.compression,
                       .level = options.level},
                      std::move(stop));
  const auto descriptor = writer.add({.config = image.configBytes,
                                      .layers = image.layers,
                                      .names = options.names,
                                      .annotations = options.annotations,
                                      .platform = options.platform});
  writer.write(out);
  return descriptor;
}

}  // namespace estiba::image
