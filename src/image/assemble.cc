#include <algorithm>
#include <tuple>

#include "base/json.h"
#include "base/kill_point.h"
#include "image/images.h"
#include "image/rows.h"

namespace estiba::image {

namespace {

std::vector<oci::Digest> diffIdsOf(const std::vector<snapshot::Layer>& layers) {
  std::vector<oci::Digest> out;
  for (const auto& layer : layers) out.push_back(*layer.diffId);
  return out;
}

/// The config as it will be stored, which fits the layers.
std::pair<oci::ImageConfig, std::string> configFor(const Assembly& assembly, const std::vector<oci::Digest>& diffIds) {
  if (assembly.configBytes) {
    auto config = oci::ImageConfig::parse(*assembly.configBytes);
    if (config.rootfs.diff_ids != diffIds) {
      fail(Code::invalid, "image config: its diff_ids are not those of the image's layers");
    }
    return {std::move(config), *assembly.configBytes};
  }
  oci::ImageConfig config = assembly.config;
  config.rootfs = {.type = "layers", .diff_ids = diffIds};
  const auto made =
      std::count_if(config.history.begin(), config.history.end(), [](const auto& h) { return !h.emptyLayer; });
  if (static_cast<size_t>(made) > diffIds.size()) {
    fail(Code::internal, "image config: {} layers in the history, {} in the image", made, diffIds.size());
  }
  std::string bytes = config.bytes();
  return {std::move(config), std::move(bytes)};
}

void insertImage(db::Connection& db, const ImageId& id, const oci::ImageConfig& config,
                 const std::vector<snapshot::Layer>& layers, const std::optional<ImageId>& parent) {
  int64_t size = 0;
  for (const auto& layer : layers) size += layer.contentBytes;
  std::optional<std::string> parentText;
  if (parent && hasImage(db, *parent)) parentText = parent->str();
  db.prepare("INSERT INTO image (id, created, size, parent, tagged, labels) VALUES (?, ?, ?, ?, 0, ?)")
      .bind(id.str())
      .bind(config.created.ns)
      .bind(size)
      .bind(parentText)
      .bind(dumpJsonOf(config.config.Labels))
      .run();
  const auto chain = oci::chainIds(config.rootfs.diff_ids);
  for (size_t i = 0; i < layers.size(); ++i) {
    db.prepare("INSERT INTO image_layer VALUES (?, ?, ?, ?)")
        .bind(id.str())
        .bind(static_cast<int64_t>(i))
        .bind(layers[i].id.value)
        .bind(chain[i].str())
        .run();
  }
}

}  // namespace

std::vector<snapshot::Layer> Images::settleLayers(const std::vector<snapshot::LayerId>& layers, Lease& lease) {
  std::vector<snapshot::Layer> out;
  out.reserve(layers.size());
  for (const auto& layer : layers) out.push_back(snapshots_.layers().hash(layer, lease));
  return out;
}

Sealed Images::seal(const Assembly& assembly, Lease& lease) {
  Sealed out;
  out.layers = settleLayers(assembly.layers, lease);
  std::tie(out.config, out.configBytes) = configFor(assembly, diffIdsOf(out.layers));
  out.id = ImageId::of(out.configBytes);
  return out;
}

Assembled Images::assemble(const Assembly& assembly, Lease& lease) {
  const auto [id, config, bytes, layers] = seal(assembly, lease);
  Assembled out{.id = id};
  if (!hasImage(*pool_.get(), out.id)) {
    std::vector<snapshot::LayerId> ids;
    for (const auto& layer : layers) ids.push_back(layer.id);
    snapshots_.layers().sync(ids);
  }
  content_.put(bytes, "config", lease);
  killPoint("image.assemble.written");
  const auto db = pool_.get();
  db::Txn txn(*db);
  if (!hasImage(*db, out.id)) {
    insertImage(*db, out.id, config, layers, assembly.parent);
    out.isNew = true;
  }
  if (assembly.annotations) setAnnotations(*db, out.id, *assembly.annotations);
  for (const auto& name : assembly.names) {
    if (const auto before = moveName(*db, name, out.id)) out.moved.emplace_back(name.withDefaultTag(), *before);
  }
  if (!assembly.names.empty()) touchTagged(*db, out.id);
  txn.commit();
  killPoint("image.assemble.committed");
  return out;
}

}  // namespace estiba::image
