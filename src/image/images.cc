#include "image/images.h"

#include <algorithm>

#include "base/text.h"
#include "image/filters.h"
#include "image/rows.h"

namespace estiba::image {

namespace {

constexpr std::string_view kPrefix = "sha256:";

/// What docker calls "any reference": an ID, or a name.
std::optional<ImageId> asExactId(std::string_view text) {
  if (text.size() == 64 && isHex(text)) return ImageId::fromHex(text);
  return ImageId::tryParse(text);
}

std::optional<ImageId> byPrefix(db::Connection& db, std::string_view text) {
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  if (!isHex(text) || text.size() > 64) return std::nullopt;
  const std::string low = std::string(kPrefix) + std::string(text);
  auto rows = db.prepare("SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 2");
  rows.bind(low).bind(low + "g");  // the first text behind all that begin with it
  if (!rows.step()) return std::nullopt;
  const auto id = ImageId::parse(rows.text(0));
  if (rows.step()) fail(Code::conflict, "multiple IDs found with provided prefix: {}", text);
  return id;
}

std::string missingText(std::string_view text) {
  if (const auto id = asExactId(text)) return fmt::format("No such image: {}", id->str());
  return fmt::format("No such image: {}", oci::Reference::parse(text).withDefaultTag().familiar());
}

}  // namespace

std::optional<ImageId> Images::tryResolve(std::string_view text) const {
  const auto db = pool_.get();
  if (const auto id = asExactId(text)) return hasImage(*db, *id) ? id : std::nullopt;
  const auto name = oci::Reference::parse(text);
  if (const auto id = imageOfName(*db, name)) return id;
  return byPrefix(*db, text);
}

ImageId Images::resolve(std::string_view text) const {
  if (const auto id = tryResolve(text)) return *id;
  fail(Code::not_found, "{}", missingText(text));
}

Resolved Images::open(const ImageId& id) const {
  return {id, config(id), layers(id)};
}

Resolved Images::open(const ImageId& id, Lease& lease) const {
  Resolved out = open(id);
  for (const auto& layer : out.layers) {
    if (snapshots_.layers().hold(layer, lease)) continue;
    if (hasImage(*pool_.get(), id)) fail(Code::internal, "image {}: layer {} is missing", id.str(), layer.value);
    fail(Code::not_found, "No such image: {}", id.str());  // removed this very moment
  }
  return out;
}

Image Images::get(const ImageId& id) const {
  if (auto image = findImage(*pool_.get(), id)) return *image;
  fail(Code::not_found, "No such image: {}", id.str());
}

std::string Images::configBytes(const ImageId& id) const {
  return content_.get(id);
}
oci::ImageConfig Images::config(const ImageId& id) const {
  return oci::ImageConfig::parse(content_.get(id));
}
std::vector<snapshot::LayerId> Images::layers(const ImageId& id) const {
  return layersOf(*pool_.get(), id);
}
std::vector<oci::Reference> Images::references(const ImageId& id) const {
  return referencesOf(*pool_.get(), id);
}

std::optional<ImageId> Images::findByChainId(const oci::Digest& chainId) const {
  const auto db = pool_.get();
  auto row = db->prepare(
      "SELECT image.id FROM image_layer JOIN image ON image.id = image_layer.image WHERE chain_id = ? AND NOT EXISTS "
      "(SELECT 1 FROM image_layer AS above WHERE above.image = image.id AND above.position > image_layer.position) "
      "ORDER BY created DESC, image.id LIMIT 1");
  if (!row.bind(chainId.str()).step()) return std::nullopt;
  return ImageId::parse(row.text(0));
}

std::vector<Image> Images::list(const ListOptions& options) const {
  const ListFilter filter(options.filters, [this](const std::string& name) { return get(resolve(name)).created; });
  std::vector<Image> out;
  const auto db = pool_.get();
  for (Image& image : allImages(*db)) {
    const bool intermediate = hasChildren(*db, image.id);
    if (image.repoTags.empty() && image.repoDigests.empty() && intermediate && !options.all) continue;
    if (filter.takes(image, intermediate)) out.push_back(std::move(image));
  }
  return out;
}

std::optional<ImageId> Images::tag(const ImageId& id, const oci::Reference& name) {
  if (name.digest()) fail(Code::invalid, "refusing to create a tag with a digest reference");
  if (name.familiarName() == "sha256") {
    fail(Code::invalid, "refusing to create an ambiguous tag using digest algorithm as name");
  }
  const auto db = pool_.get();
  db::Txn txn(*db);
  if (!hasImage(*db, id)) fail(Code::not_found, "No such image: {}", id.str());
  const auto before = moveName(*db, name, id);
  touchTagged(*db, id);
  txn.commit();
  return before;
}

void Images::addDigest(const ImageId& id, const oci::Reference& name, const oci::Digest& digest) {
  const auto db = pool_.get();
  db::Txn txn(*db);
  if (!hasImage(*db, id)) fail(Code::not_found, "No such image: {}", id.str());
  moveName(*db, name.nameOnly().withDigest(digest), id);
  txn.commit();
}

DiskUsage Images::diskUsage() const {
  DiskUsage out;
  const auto db = pool_.get();
  {
    auto row =
        db->prepare("SELECT COALESCE(SUM(content_bytes), 0) FROM layer WHERE id IN (SELECT layer FROM image_layer)");
    row.step();
    out.layersSize = row.integer(0);
  }
  auto rows = db->prepare(
      "WITH used AS (SELECT layer, COUNT(DISTINCT image) AS images FROM image_layer GROUP BY layer) "
      "SELECT image.id, image.size, COALESCE(SUM(CASE WHEN used.images > 1 THEN layer.content_bytes ELSE 0 END), 0) "
      "FROM image LEFT JOIN image_layer ON image_layer.image = image.id LEFT JOIN used ON used.layer = "
      "image_layer.layer "
      "LEFT JOIN layer ON layer.id = image_layer.layer GROUP BY image.id ORDER BY image.created DESC, image.id");
  while (rows.step()) out.images.push_back({ImageId::parse(rows.text(0)), rows.integer(1), rows.integer(2)});
  return out;
}

}  // namespace estiba::image
