#include "volume/volumes.h"

#include <unistd.h>

#include <set>

#include "archive/copy.h"
#include "base/json.h"
#include "base/kill_point.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::volume {

const db::Schema kSchema{
    "volume",
    {R"(
CREATE TABLE volume (
  name TEXT PRIMARY KEY,
  driver TEXT NOT NULL,
  labels TEXT NOT NULL,
  options TEXT NOT NULL,
  created INTEGER NOT NULL,
  anonymous INTEGER NOT NULL,
  filled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE volume_use (
  volume TEXT NOT NULL REFERENCES volume (name),
  container TEXT NOT NULL,
  PRIMARY KEY (volume, container)
) STRICT;
CREATE INDEX volume_use_container ON volume_use (container);
)"}};

namespace {

constexpr std::string_view kColumns = "name, driver, labels, options, created, anonymous";

bool validName(std::string_view name) {
  constexpr std::string_view kFirst = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  if (name.size() < 2 || kFirst.find(name[0]) == std::string_view::npos) return false;
  return name.find_first_not_of(std::string(kFirst) + "_.-") == std::string_view::npos;
}

}  // namespace

static Volume readRow(db::Statement& row, const std::string& dir) {
  Volume v;
  v.name = row.text(0);
  v.driver = row.text(1);
  fromJson(parseJson(row.text(2), "volume labels"), v.labels);
  fromJson(parseJson(row.text(3), "volume options"), v.options);
  v.created = {row.integer(4)};
  v.anonymous = row.integer(5) != 0;
  v.mountpoint = dir + "/" + v.name + "/_data";
  return v;
}

Volume Volumes::create(const CreateOptions& options) {
  if (!options.driver.empty() && options.driver != "local") {
    fail(Code::not_found, "error looking up volume plugin {}: plugin \"{}\" not found", options.driver, options.driver);
  }
  if (!options.options.empty()) {
    fail(Code::not_implemented, "volume options ({}) are not supported yet: use a bind mount",
         options.options.begin()->first);
  }
  const bool anonymous = options.name.empty();
  const std::string name = anonymous ? randomHex(32) : options.name;
  if (!validName(name)) {
    fail(Code::invalid,
         "create {}: \"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" "
         "are allowed. If you intended to pass a host directory, use absolute path",
         name, name);
  }
  if (auto there = find(name)) return *there;
  makeDirs(dir_, 0711);
  makeDir(pathOf(name), 0711);
  makeDir(pathOf(name) + "/_data", 0755);
  killPoint("volume.create.made");
  auto connection = pool_.get();
  connection->prepare("INSERT INTO volume (name, driver, labels, options, created, anonymous) VALUES (?, ?, ?, ?, ?, ?) "
                      "ON CONFLICT (name) DO NOTHING")
      .bind(name)
      .bind("local")
      .bind(dumpJsonOf(options.labels))
      .bind(dumpJsonOf(options.options))
      .bind(now().ns)
      .bind(anonymous)
      .run();
  return get(name);
}

std::optional<Volume> Volumes::find(const std::string& name) {
  auto connection = pool_.get();
  auto row = connection->prepare(fmt::format("SELECT {} FROM volume WHERE name = ?", kColumns));
  if (!row.bind(name).step()) return std::nullopt;
  return readRow(row, dir_);
}

Volume Volumes::get(const std::string& name) {
  if (auto found = find(name)) return *found;
  fail(Code::not_found, "get {}: no such volume", name);
}

std::vector<Volume> Volumes::list() {
  auto connection = pool_.get();
  auto row = connection->prepare(fmt::format("SELECT {} FROM volume ORDER BY name", kColumns));
  std::vector<Volume> out;
  while (row.step()) out.push_back(readRow(row, dir_));
  return out;
}

void Volumes::remove(const std::string& name) {
  get(name);
  {
    auto connection = pool_.get();
    try {
      connection->prepare("DELETE FROM volume WHERE name = ?").bind(name).run();
    } catch (const db::ConstraintError&) {
      fail(Code::conflict, "remove {}: volume is in use - [{}]", name, join(usersOf(name), ", "));
    }
  }
  removeTree(pathOf(name));
}

void Volumes::addUse(const std::string& name, const std::string& containerId) {
  auto connection = pool_.get();
  connection->prepare("INSERT OR IGNORE INTO volume_use VALUES (?, ?)").bind(name).bind(containerId).run();
}

void Volumes::dropUses(const std::string& containerId) {
  auto connection = pool_.get();
  connection->prepare("DELETE FROM volume_use WHERE container = ?").bind(containerId).run();
}

static std::vector<std::string> names(db::Statement& row) {
  std::vector<std::string> out;
  while (row.step()) out.push_back(row.text(0));
  return out;
}

std::vector<std::string> Volumes::usersOf(const std::string& name) {
  auto connection = pool_.get();
  auto row = connection->prepare("SELECT container FROM volume_use WHERE volume = ?");
  return names(row.bind(name));
}

std::vector<std::string> Volumes::anonymousOf(const std::string& containerId) {
  auto connection = pool_.get();
  auto row = connection->prepare(
      "SELECT v.name FROM volume v JOIN volume_use u ON u.volume = v.name WHERE u.container = ? AND v.anonymous = 1 AND "
      "NOT EXISTS (SELECT 1 FROM volume_use o WHERE o.volume = v.name AND o.container <> u.container)");
  return names(row.bind(containerId));
}

void Volumes::fillFrom(const Volume& volume, const RootDir& image, const std::string& source) {
  const auto st = image.stat(source);
  if (!st || !S_ISDIR(st->st_mode)) return;
  const RootDir target = RootDir::open(volume.mountpoint);
  if (!listDirFd(target.fd(), volume.mountpoint).empty()) return;
  archive::CopyOptions options;
  options.updateExistingDirs = true;  // the volume's own directory gets the image's owner and mode
  archive::copyTree(image, source, target, "/", options);
}

void Volumes::recover() {
  std::set<std::string> known;
  for (const auto& v : list()) known.insert(v.name);
  for (const auto& name : listDir(dir_)) {
    if (known.contains(name)) continue;
    // Data is never swept, whatever the rows say: only what is empty, and so was never used, goes.
    if (::rmdir((pathOf(name) + "/_data").c_str()) == 0 || errno == ENOENT) ::rmdir(pathOf(name).c_str());
  }
}

}  // namespace estiba::volume
