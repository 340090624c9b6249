// What `history` and `image inspect` show, and what `system check` finds.

#include "base/text.h"
#include "image/images.h"
#include "image/rows.h"

namespace estiba::image {

namespace {

/// content bytes of each layer, bottom first
std::vector<int64_t> layerSizes(db::Connection& db, const ImageId& id) {
  std::vector<int64_t> out;
  auto rows = db.prepare(
      "SELECT layer.content_bytes FROM image_layer JOIN layer ON layer.id = image_layer.layer WHERE image = ? ORDER BY "
      "position");
  rows.bind(id.str());
  while (rows.step()) out.push_back(rows.integer(0));
  return out;
}

std::vector<std::string> tagsOf(db::Connection& db, const ImageId& id) {
  std::vector<std::string> out;
  for (const auto& name : referencesOf(db, id)) {
    if (name.tag()) out.push_back(name.familiar());
  }
  return out;
}

void checkImage(const Images& images, db::Connection& db, const Image& image, std::vector<Finding>& out) {
  const std::string what = "image " + image.id.str();
  const auto config = images.config(image.id);
  int64_t size = 0;
  std::vector<oci::Digest> diffIds;
  auto rows = db.prepare(
      "SELECT layer.diff_id, layer.content_bytes, image_layer.chain_id FROM image_layer JOIN layer ON layer.id = "
      "image_layer.layer WHERE image = ? ORDER BY position");
  rows.bind(image.id.str());
  while (rows.step()) {
    if (rows.isNull(0)) {
      out.push_back({what, "one of its layers has no digest"});
      return;
    }
    diffIds.push_back(oci::Digest::parse(rows.text(0)));
    size += rows.integer(1);
    if (oci::chainId(diffIds).str() != rows.text(2)) out.push_back({what, "the chain ID of a layer is wrong"});
  }
  if (diffIds != config.rootfs.diff_ids) out.push_back({what, "its layers are not those that its config names"});
  if (size != image.size) out.push_back({what, fmt::format("its size is noted as {} instead of {}", image.size, size)});
}

}  // namespace

std::vector<HistoryEntry> Images::history(const ImageId& id) const {
  const auto config = this->config(id);
  const auto db = pool_.get();
  const auto sizes = layerSizes(*db, id);
  std::vector<HistoryEntry> out;
  size_t layer = 0;
  for (const auto& h : config.history) {
    HistoryEntry entry{.created = h.created, .createdBy = h.createdBy, .comment = h.comment};
    if (!h.emptyLayer) {
      if (layer >= sizes.size()) fail(Code::internal, "too many non-empty layers in History section");
      entry.size = sizes[layer++];
    }
    out.insert(out.begin(), std::move(entry));
  }
  // Docker's rule: the newest entry is this image, those below are its parents as far as they are known.
  std::optional<ImageId> present = id;
  for (auto& entry : out) {
    if (!present || !hasImage(*db, *present)) break;
    entry.id = present->str();
    entry.tags = tagsOf(*db, *present);
    present = parentOf(*db, *present);
  }
  return out;
}

Inspection Images::inspect(const ImageId& id) const {
  Inspection out{.image = get(id), .config = config(id)};
  out.chainId = oci::chainId(out.config.rootfs.diff_ids);
  const auto stack = snapshots_.layers().lowers(layers(id));
  if (!stack.empty()) out.graphDriver["UpperDir"] = stack[0];
  if (stack.size() > 1) out.graphDriver["LowerDir"] = join({stack.begin() + 1, stack.end()}, ":");
  return out;
}

std::vector<Finding> Images::check(bool digests) const {
  std::vector<Finding> out;
  for (auto& f : content_.check()) out.push_back({std::move(f.what), std::move(f.problem)});
  for (auto& f : snapshots_.check(digests)) out.push_back({std::move(f.what), std::move(f.problem)});
  const auto db = pool_.get();
  for (const Image& image : allImages(*db)) {
    try {
      checkImage(*this, *db, image, out);
    } catch (const Error& e) {
      if (hasImage(*db, image.id)) out.push_back({"image " + image.id.str(), e.what()});
    }
  }
  return out;
}

}  // namespace estiba::image
