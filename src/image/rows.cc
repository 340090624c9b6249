#include "image/rows.h"

#include "base/json.h"

namespace estiba::image {

// image_layer.chain_id: of the layers up to this one. image.parent: docker's parent, not the layers below.
// reference.name: normalised, with a tag or a digest. annotation.descriptor: 1 of the manifest's descriptor, 0 of itself.
const db::Schema kSchema{"image", {R"(
CREATE TABLE image (
  id TEXT PRIMARY KEY REFERENCES blob (digest),
  created INTEGER NOT NULL,
  size INTEGER NOT NULL,
  parent TEXT REFERENCES image (id),
  tagged INTEGER NOT NULL,
  labels TEXT NOT NULL
) STRICT;
CREATE INDEX image_parent ON image (parent);
CREATE TABLE image_layer (
  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer TEXT NOT NULL REFERENCES layer (id),
  chain_id TEXT NOT NULL,
  PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layer_layer ON image_layer (layer);
CREATE INDEX image_layer_chain ON image_layer (chain_id);
CREATE TABLE reference (
  name TEXT PRIMARY KEY,
  image TEXT NOT NULL REFERENCES image (id)
) STRICT;
CREATE INDEX reference_image ON reference (image);
)",
                          R"(
CREATE TABLE annotation (
  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
  descriptor INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (image, descriptor, name)
) STRICT, WITHOUT ROWID;
)"}};

namespace {

constexpr std::string_view kColumns = "id, created, size, parent, tagged, labels";

Image readRow(db::Statement& row) {
  Image out{.id = oci::Digest::parse(row.text(0)),
            .created = {row.integer(1)},
            .size = row.integer(2),
            .lastTagged = {row.integer(4)}};
  if (auto parent = row.optText(3)) out.parent = oci::Digest::parse(*parent);
  fromJson(parseJson(row.text(5), "image labels"), out.labels);
  return out;
}

void addNames(db::Connection& db, Image& image) {
  for (const auto& name : referencesOf(db, image.id)) {
    (name.digest() ? image.repoDigests : image.repoTags).push_back(name.familiar());
  }
}

}  // namespace

std::string keyOf(const oci::Reference& name) {
  return (name.digest() ? name.withoutTag() : name.withDefaultTag()).str();
}

void setAnnotations(db::Connection& db, const ImageId& id, const Annotations& annotations) {
  db.prepare("DELETE FROM annotation WHERE image = ?").bind(id.str()).run();
  const auto insert = [&](const std::map<std::string, std::string>& all, bool descriptor) {
    for (const auto& [name, value] : all) {
      db.prepare("INSERT INTO annotation VALUES (?, ?, ?, ?)")
          .bind(id.str())
          .bind(static_cast<int64_t>(descriptor))
          .bind(name)
          .bind(value)
          .run();
    }
  };
  insert(annotations.manifest, false);
  insert(annotations.descriptor, true);
}

Annotations annotationsOf(db::Connection& db, const ImageId& id) {
  Annotations out;
  auto rows = db.prepare("SELECT descriptor, name, value FROM annotation WHERE image = ?");
  rows.bind(id.str());
  while (rows.step()) (rows.integer(0) != 0 ? out.descriptor : out.manifest)[rows.text(1)] = rows.text(2);
  return out;
}

bool hasImage(db::Connection& db, const ImageId& id) {
  return db.prepare("SELECT 1 FROM image WHERE id = ?").bind(id.str()).step();
}

std::optional<ImageId> imageOfName(db::Connection& db, const oci::Reference& normalised) {
  auto row = db.prepare("SELECT image FROM reference WHERE name = ?");
  if (!row.bind(keyOf(normalised)).step()) return std::nullopt;
  return oci::Digest::parse(row.text(0));
}

std::vector<oci::Reference> referencesOf(db::Connection& db, const ImageId& id) {
  std::vector<oci::Reference> out;
  auto rows = db.prepare("SELECT name FROM reference WHERE image = ? ORDER BY name");
  rows.bind(id.str());
  while (rows.step()) out.push_back(oci::Reference::parse(rows.text(0)));
  return out;
}

std::vector<std::pair<oci::Reference, ImageId>> taggedOf(db::Connection& db, const oci::Reference& repository) {
  std::vector<std::pair<oci::Reference, ImageId>> out;
  const std::string low = repository.name() + ":";
  auto rows = db.prepare("SELECT name, image FROM reference WHERE name >= ? AND name < ? ORDER BY name");
  rows.bind(low).bind(repository.name() + ";");  // ';' follows ':'
  while (rows.step()) out.emplace_back(oci::Reference::parse(rows.text(0)), ImageId::parse(rows.text(1)));
  return out;
}

bool hasChildren(db::Connection& db, const ImageId& id) {
  return db.prepare("SELECT 1 FROM image WHERE parent = ?").bind(id.str()).step();
}

std::optional<ImageId> parentOf(db::Connection& db, const ImageId& id) {
  auto row = db.prepare("SELECT parent FROM image WHERE id = ?");
  if (!row.bind(id.str()).step() || row.isNull(0)) return std::nullopt;
  return oci::Digest::parse(row.text(0));
}

std::vector<snapshot::LayerId> layersOf(db::Connection& db, const ImageId& id) {
  std::vector<snapshot::LayerId> out;
  auto rows = db.prepare("SELECT layer FROM image_layer WHERE image = ? ORDER BY position");
  rows.bind(id.str());
  while (rows.step()) out.push_back({rows.text(0)});
  return out;
}

std::vector<Image> allImages(db::Connection& db) {
  std::vector<Image> out;
  auto rows = db.prepare(fmt::format("SELECT {} FROM image ORDER BY created DESC, id", kColumns));
  while (rows.step()) out.push_back(readRow(rows));
  for (Image& image : out) addNames(db, image);
  return out;
}

std::optional<Image> findImage(db::Connection& db, const ImageId& id) {
  auto row = db.prepare(fmt::format("SELECT {} FROM image WHERE id = ?", kColumns));
  if (!row.bind(id.str()).step()) return std::nullopt;
  Image out = readRow(row);
  addNames(db, out);
  return out;
}

std::optional<ImageId> moveName(db::Connection& db, const oci::Reference& name, const ImageId& id) {
  const auto before = imageOfName(db, name);
  if (before == id) return std::nullopt;
  db.prepare("INSERT INTO reference VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image")
      .bind(keyOf(name))
      .bind(id.str())
      .run();
  return before;
}

void dropName(db::Connection& db, const oci::Reference& name) {
  db.prepare("DELETE FROM reference WHERE name = ?").bind(keyOf(name)).run();
}

void touchTagged(db::Connection& db, const ImageId& id) {
  db.prepare("UPDATE image SET tagged = ? WHERE id = ?").bind(now().ns).bind(id.str()).run();
}

}  // namespace estiba::image
