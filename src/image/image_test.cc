#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "archive/compression.h"
#include "archive/tar.h"
#include "base/kill_point.h"
#include "base/text.h"
#include "image/filters.h"
#include "image/transfer.h"
#include "oci/manifest.h"
#include "sys/file.h"

namespace estiba::image {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

struct Entry {
  std::string name, content;
};

std::string tarOf(const std::vector<Entry>& entries) {
  archive::StringSink out;
  archive::TarWriter writer(out);
  for (const auto& [name, content] : entries) {
    if (name.ends_with('/')) {
      writer.add({.name = name, .type = archive::TarType::directory, .mode = 0755});
    } else if (content.starts_with("->")) {
      writer.add({.name = name, .type = archive::TarType::symlink, .linkName = content.substr(2)});
    } else {
      writer.addFile({.name = name, .size = static_cast<int64_t>(content.size())}, content);
    }
  }
  writer.finish();
  return out.bytes;
}

std::map<std::string, std::string> untar(const std::string& bytes) {
  std::map<std::string, std::string> out;
  archive::StringSource source(bytes);
  archive::TarReader tar(source);
  while (const auto entry = tar.next()) {
    std::string& content = out[entry->name];
    while (const auto chunk = tar.nextChunk()) content += chunk->bytes;
  }
  return out;
}

std::string compressed(archive::Compression kind, const std::string& bytes) {
  archive::StringSink out;
  const auto compressor = archive::compressing(kind, std::nullopt, out);
  compressor->write(bytes);
  compressor->finish();
  return out.bytes;
}

class ImageTest : public ::testing::Test {
 protected:
  struct Engine {
    explicit Engine(const std::string& root) : pool(root + "/db"), content(pool, root), snapshots(pool, root) {
      pool.get()->migrate({content::kSchema,
                           snapshot::kSchema,
                           kSchema,
                           {"test", {"CREATE TABLE container (id TEXT, image TEXT REFERENCES image (id)) STRICT"}}});
    }
    db::Pool pool;
    content::Store content;
    snapshot::Snapshotter snapshots;
    Images images{pool, content, snapshots};
  };

  ~ImageTest() override { fs::remove_all(root_); }

  static std::string makeRoot() {
    std::string path = ::testing::TempDir() + "image-" + randomHex(6);
    makeDirs(path);
    return path;
  }
  static oci::Reference ref(const std::string& name) { return oci::Reference::parse(name); }

  snapshot::LayerId layer(const std::vector<Entry>& entries, Lease& lease) {
    const std::string tar = tarOf(entries);
    archive::StringSource source(tar);
    return snapshots_.layers().unpack(source, lease).id;
  }
  /// An image of one layer per file; names may be empty.
  ImageId make(const std::vector<std::string>& files, const std::vector<std::string>& names, int64_t second = 1000,
               const std::optional<ImageId>& parent = {}) {
    Lease lease;
    Assembly assembly;
    assembly.config.platform = oci::Platform::host();
    assembly.config.created = {second * 1'000'000'000};
    assembly.config.config.Labels = {{"n", std::to_string(second)}};
    for (const auto& file : files) {
      assembly.layers.push_back(layer({{file, "content of " + file}}, lease));
      assembly.config.history.push_back({.created = assembly.config.created, .createdBy = "ADD " + file});
    }
    assembly.config.history.push_back({.createdBy = "CMD sh", .emptyLayer = true});
    for (const auto& name : names) assembly.names.push_back(ref(name));
    assembly.parent = parent;
    return images_.assemble(assembly, lease).id;
  }
  std::vector<std::string> lines(const std::vector<Removal>& removals) {
    std::vector<std::string> out;
    for (const auto& r : removals) out.push_back(r.untagged ? "Untagged: " + *r.untagged : "Deleted: " + *r.deleted);
    return out;
  }
  std::vector<Removal> remove(const std::string& name, bool force = false) {
    return images_.remove(name, force, true, [this](const ImageId& id) { return users_[id]; });
  }
  std::string saved(const std::vector<std::string>& names) {
    archive::StringSink out;
    save(images_, names, out);
    return out.bytes;
  }
  static std::vector<Loaded> loadInto(Images& images, const std::string& bytes, const LoadOptions& options = {}) {
    return load(images, std::make_unique<archive::StringSource>(bytes), options);
  }
  template <class F>
  static std::string errorOf(F&& run) {
    try {
      run();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  static void expectEmpty(Engine& engine, const std::string& root) {
    EXPECT_THAT(engine.images.list({.all = true}), IsEmpty());
    EXPECT_THAT(engine.snapshots.layers().list(), IsEmpty());
    EXPECT_THAT(engine.content.list(), IsEmpty());
    EXPECT_THAT(listDir(root + "/layers"), IsEmpty());
    EXPECT_THAT(engine.images.check(true), IsEmpty());
  }

  std::string root_ = makeRoot();
  Engine engine_{root_};
  Images& images_ = engine_.images;
  snapshot::Snapshotter& snapshots_ = engine_.snapshots;
  std::map<ImageId, std::vector<ContainerUse>> users_;
};

TEST_F(ImageTest, ROOT_ResolvesNamesIdsAndPrefixes) {
  const ImageId id = make({"a"}, {"acc/x:latest", "acc/x:1"});
  for (const std::string& name : {std::string("acc/x"), std::string("acc/x:1"), std::string("docker.io/acc/x"),
                                  id.str(), std::string(id.hex()), id.shortHex(), "sha256:" + id.shortHex()}) {
    EXPECT_EQ(images_.resolve(name), id) << name;
  }
  EXPECT_EQ(errorOf([&] { images_.resolve("acc/u"); }), "No such image: acc/u:latest");
  EXPECT_EQ(errorOf([&] { images_.resolve("acc/x:2"); }), "No such image: acc/x:2");
  const std::string other = "sha256:" + std::string(64, 'e');
  EXPECT_EQ(errorOf([&] { images_.resolve(other); }), "No such image: " + other);
  EXPECT_EQ(errorOf([&] { images_.resolve("acc//x"); }), "invalid reference format");
  images_.addDigest(id, ref("acc/x"), oci::Digest::of("manifest"));
  EXPECT_EQ(images_.resolve("acc/x@" + oci::Digest::of("manifest").str()), id);
  EXPECT_EQ(images_.resolve("acc/x:whatever@" + oci::Digest::of("manifest").str()), id);
}

TEST_F(ImageTest, ROOT_ANameGoesBeforeAnIdPrefix) {
  const ImageId id = make({"a"}, {});
  const std::string prefix(id.hex().substr(0, 4));
  EXPECT_EQ(images_.resolve(prefix), id);
  const ImageId named = make({"b"}, {prefix});
  EXPECT_EQ(images_.resolve(prefix), named);
  for (int i = 0; i < 40; ++i) make({}, {}, 2000 + i);
  EXPECT_THAT(errorOf([&] {
                for (char c : std::string("0123456789abcdef")) images_.resolve(std::string(1, c));
              }),
              ::testing::AnyOf(HasSubstr("multiple IDs found with provided prefix"), HasSubstr("No such image")));
}

TEST_F(ImageTest, ROOT_AssemblesTheSameImageOnce) {
  const ImageId first = make({"a", "b"}, {"x"});
  EXPECT_EQ(make({"a", "b"}, {"y"}), first);
  EXPECT_THAT(images_.get(first).repoTags, ElementsAre("x:latest", "y:latest"));
  EXPECT_EQ(images_.get(first).size, 2 * static_cast<int64_t>(std::strlen("content of a")));
  EXPECT_EQ(ImageId::of(images_.configBytes(first)), first);
  const auto config = images_.config(first);
  EXPECT_THAT(config.rootfs.diff_ids, SizeIs(2));
  EXPECT_EQ(images_.findByChainId(oci::chainId(config.rootfs.diff_ids)), first);
  EXPECT_EQ(images_.findByChainId(config.rootfs.diff_ids[0]), std::nullopt);
  EXPECT_THAT(images_.check(true), IsEmpty());
  EXPECT_THAT(snapshots_.layers().collectAll(), IsEmpty());
}

TEST_F(ImageTest, ROOT_AMovedNameIsTold) {
  const ImageId first = make({"a"}, {"x"});
  Lease lease;
  Assembly assembly;
  assembly.config.platform = oci::Platform::host();
  assembly.names = {ref("x")};
  const auto made = images_.assemble(assembly, lease);
  ASSERT_THAT(made.moved, SizeIs(1));
  EXPECT_EQ(made.moved[0].second, first);
  EXPECT_EQ(made.moved[0].first.familiar(), "x:latest");
  EXPECT_EQ(images_.resolve("x"), made.id);
}

TEST_F(ImageTest, ROOT_UnhashedLayersAreHashedBeforeTheRow) {
  Lease lease;
  auto active = snapshots_.prepare({});
  writeFile(active.upper() + "/f", "12345");
  Assembly assembly;
  assembly.config.platform = oci::Platform::host();
  assembly.layers = {snapshots_.commit(std::move(active), lease)};
  const auto made = images_.assemble(assembly, lease);
  EXPECT_EQ(images_.get(made.id).size, 5);
  EXPECT_THAT(images_.check(true), IsEmpty());
}

TEST_F(ImageTest, ROOT_KeepsTheBytesOfAForeignConfig) {
  Lease lease;
  const auto id = layer({{"a", "x"}}, lease);
  const std::string diffId = snapshots_.layers().get(id).diffId->str();
  const std::string bytes = R"({ "rootfs": {"type":"layers","diff_ids":[")" + diffId +
                            R"("]}, "os":"linux","architecture":"amd64", "unknown": [1, 2] })";
  Assembly assembly{.layers = {id}, .configBytes = bytes};
  const auto made = images_.assemble(assembly, lease);
  EXPECT_EQ(made.id, ImageId::of(bytes));
  EXPECT_EQ(images_.configBytes(made.id), bytes);
  assembly.layers.push_back(layer({{"b", "x"}}, lease));
  EXPECT_THAT(errorOf([&] { images_.assemble(assembly, lease); }), HasSubstr("diff_ids"));
}

TEST_F(ImageTest, ROOT_ListsNewestFirstAndFilters) {
  const ImageId a = make({"a"}, {"acc/t:1", "acc/t:2", "acc/otro"}, 1000);
  const ImageId b = make({"b"}, {"b"}, 2000);
  const ImageId c = make({"c"}, {}, 3000);
  const auto ids = [&](const Filters& filters) {
    std::vector<ImageId> out;
    for (const auto& image : images_.list({.filters = filters})) out.push_back(image.id);
    return out;
  };
  EXPECT_THAT(ids({}), ElementsAre(c, b, a));
  EXPECT_THAT(ids({{"dangling", {"true"}}}), ElementsAre(c));
  EXPECT_THAT(ids({{"dangling", {"false"}}}), ElementsAre(b, a));
  EXPECT_THAT(ids({{"label", {"n=2000"}}}), ElementsAre(b));
  EXPECT_THAT(ids({{"label", {"n", "n=1000"}}}), ElementsAre(a));
  EXPECT_THAT(ids({{"before", {"b"}}}), ElementsAre(a));
  EXPECT_THAT(ids({{"since", {"acc/t:1"}}}), ElementsAre(c, b));
  EXPECT_THAT(ids({{"until", {"2500"}}}), ElementsAre(b, a));
  EXPECT_THAT(ids({{"until", {"1970-01-01T00:20:00"}}}), ElementsAre(a));
  const auto otro = images_.list({.filters = {{"reference", {"acc/o*"}}}});
  ASSERT_THAT(otro, SizeIs(1));
  EXPECT_THAT(otro[0].repoTags, ElementsAre("acc/otro:latest"));
  EXPECT_THAT(images_.list({.filters = {{"reference", {"acc/t"}}}})[0].repoTags, ElementsAre("acc/t:1", "acc/t:2"));
  EXPECT_THAT(ids({{"reference", {"*"}}}), ElementsAre(b));
  EXPECT_EQ(errorOf([&] { ids({{"colour", {"x"}}}); }), "invalid filter 'colour'");
  EXPECT_EQ(errorOf([&] { ids({{"dangling", {"x"}}}); }), "invalid filter 'dangling=[x]'");
}

TEST_F(ImageTest, ROOT_HistoryZipsInstructionsWithLayers) {
  const ImageId id = make({"aa", "b"}, {"h:0.1"});
  const auto history = images_.history(id);
  ASSERT_THAT(history, SizeIs(3));
  EXPECT_EQ(history[0].id, id.str());
  EXPECT_EQ(history[0].createdBy, "CMD sh");
  EXPECT_EQ(history[0].size, 0);
  EXPECT_THAT(history[0].tags, ElementsAre("h:0.1"));
  EXPECT_EQ(history[1].id, "<missing>");
  EXPECT_EQ(history[1].createdBy, "ADD b");
  EXPECT_EQ(history[1].size, 12);
  EXPECT_EQ(history[2].size, 13);
  const auto inspection = images_.inspect(id);
  EXPECT_EQ(inspection.graphDriver.at("UpperDir"), snapshots_.layers().pathOf(images_.layers(id)[1]));
  EXPECT_EQ(inspection.chainId, oci::chainId(inspection.config.rootfs.diff_ids));
}

TEST_F(ImageTest, ROOT_RemovingANameRemovesTheImageOnlyWithTheLast) {
  const ImageId id = make({"a", "b"}, {"acc/t:1", "acc/t:2"});
  const auto diffIds = images_.config(id).rootfs.diff_ids;
  EXPECT_THAT(lines(remove("acc/t:1")), ElementsAre("Untagged: acc/t:1"));
  EXPECT_THAT(lines(remove("acc/t:2")),
              ElementsAre("Untagged: acc/t:2", "Deleted: " + id.str(), "Deleted: " + oci::chainId(diffIds).str(),
                          "Deleted: " + diffIds[0].str()));
  EXPECT_EQ(errorOf([&] { remove("acc/t:2"); }), "No such image: acc/t:2");
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_LayersThatAreSharedStay) {
  const ImageId base = make({"a"}, {"base"}, 1);
  const ImageId kid = make({"a", "b"}, {"kid"}, 2);
  const auto chain = oci::chainId(images_.config(kid).rootfs.diff_ids);
  const auto usage = images_.diskUsage();
  EXPECT_EQ(usage.layersSize, 24);
  EXPECT_EQ(usage.images[0].shared, 12);
  EXPECT_THAT(lines(remove("kid")),
              ElementsAre("Untagged: kid:latest", "Deleted: " + kid.str(), "Deleted: " + chain.str()));
  EXPECT_EQ(readFile(snapshots_.layers().pathOf(images_.layers(base)[0]) + "/a"), "content of a");
}

TEST_F(ImageTest, ROOT_AnImageInUseStaysWithDockersWords) {
  const ImageId id = make({"a"}, {"acc/u"});
  users_[id] = {{.id = "0123456789abcdef0123", .running = false}};
  EXPECT_EQ(
      errorOf([&] { remove("acc/u"); }),
      "conflict: unable to remove repository reference \"acc/u\" (must force) - container 0123456789ab is using its "
      "referenced image " +
          id.shortHex());
  EXPECT_EQ(errorOf([&] { remove(id.shortHex()); }),
            "conflict: unable to delete " + id.shortHex() +
                " (must be forced) - image is being used by stopped container 0123456789ab");
  users_[id][0].running = true;
  EXPECT_EQ(errorOf([&] { remove(id.shortHex(), true); }),
            "conflict: unable to delete " + id.shortHex() +
                " (cannot be forced) - image is being used by running container 0123456789ab");
  EXPECT_THAT(images_.get(id).repoTags, ElementsAre("acc/u:latest")) << "a refusal changes nothing";
  images_.tag(id, ref("acc/v"));
  EXPECT_THAT(lines(remove("acc/u")), ElementsAre("Untagged: acc/u:latest")) << "one of two names may go";
}

TEST_F(ImageTest, ROOT_TheForeignKeyIsTheLastWord) {
  const ImageId id = make({"a"}, {"x"});
  engine_.pool.get()->prepare("INSERT INTO container VALUES ('c', ?)").bind(id.str()).run();
  EXPECT_THAT(errorOf([&] { remove("x", true); }),
              HasSubstr("(cannot be forced) - image is being used by a container"));
  EXPECT_EQ(images_.resolve("x"), id) << "all or nothing";
}

TEST_F(ImageTest, ROOT_AnIdWithSeveralNamesNeedsForce) {
  const ImageId id = make({"a"}, {"one", "two"});
  EXPECT_EQ(errorOf([&] { remove(id.shortHex()); }),
            "conflict: unable to delete " + id.shortHex() +
                " (must be forced) - image is referenced in multiple repositories");
  EXPECT_THAT(lines(remove(id.shortHex(), true)), SizeIs(4));
}

TEST_F(ImageTest, ROOT_DigestsGoWithTheLastTagOfTheirRepository) {
  const ImageId id = make({"a"}, {"acc/p:1"});
  images_.addDigest(id, ref("acc/p"), oci::Digest::of("m"));
  EXPECT_THAT(images_.get(id).repoDigests, ElementsAre("acc/p@" + oci::Digest::of("m").str()));
  const auto out = lines(remove("acc/p:1"));
  ASSERT_GE(out.size(), 3U);
  EXPECT_EQ(out[1], "Untagged: acc/p@" + oci::Digest::of("m").str());
  EXPECT_EQ(out[2], "Deleted: " + id.str());
}

TEST_F(ImageTest, ROOT_ACommittedParentCannotGoBeforeItsChild) {
  const ImageId parent = make({"a"}, {"parent"}, 1);
  const ImageId child = make({"a", "b"}, {"child"}, 2, parent);
  EXPECT_EQ(images_.history(child)[1].id, parent.str());
  EXPECT_THAT(lines(remove("parent")), ElementsAre("Untagged: parent:latest"));
  EXPECT_EQ(errorOf([&] { remove(parent.shortHex()); }), "conflict: unable to delete " + parent.shortHex() +
                                                             " (cannot be forced) - image has dependent child images");
  EXPECT_THAT(images_.list({}), SizeIs(1)) << "intermediate images show with --all only";
  EXPECT_THAT(images_.list({.all = true}), SizeIs(2));
  remove("child");
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_PruneTakesWhatNobodyNames) {
  make({"a"}, {"named"}, 1);
  const ImageId loose = make({"b"}, {}, 2);
  const ImageId used = make({"c"}, {}, 3);
  users_[used] = {{.id = "c", .running = false}};
  const UsersOf users = [this](const ImageId& id) { return users_[id]; };
  const auto report = images_.prune({}, users);
  EXPECT_EQ(report.removed[0].deleted, loose.str());
  EXPECT_EQ(report.reclaimed, 12);
  EXPECT_THAT(images_.list({}), SizeIs(2));
  EXPECT_THAT(images_.prune({{"dangling", {"false"}}, {"label", {"n=none"}}}, users).removed, IsEmpty());
  images_.prune({{"dangling", {"false"}}}, users);
  EXPECT_THAT(images_.list({}), SizeIs(1));
}

TEST_F(ImageTest, ROOT_SaveAndLoadCarryTheSameImage) {
  const ImageId id = make({"a", "b"}, {"acc/sv:1", "acc/sv:2"});
  const std::string bytes = saved({"acc/sv:1", "acc/sv:2"});
  EXPECT_EQ(saved({"acc/sv:1", "acc/sv:2"}), bytes);
  EXPECT_EQ(saved({"acc/sv"}), bytes) << "a name without tag saves all of them";
  const auto files = untar(bytes);
  for (const char* name : {"manifest.json", "index.json", "oci-layout", "repositories", "blobs/sha256/"}) {
    EXPECT_TRUE(files.contains(name)) << name;
  }
  for (const auto kind : {archive::Compression::none, archive::Compression::gzip, archive::Compression::zstd,
                          archive::Compression::xz, archive::Compression::bzip2}) {
    const std::string root = makeRoot();
    {
      Engine other(root);
      const auto loaded = loadInto(other.images, compressed(kind, bytes));
      ASSERT_THAT(loaded, SizeIs(2));
      EXPECT_EQ(loaded[0].text(), "Loaded image: acc/sv:1");
      EXPECT_EQ(loaded[1].text(), "Loaded image: acc/sv:2");
      EXPECT_EQ(other.images.resolve("acc/sv:2"), id);
      EXPECT_EQ(other.images.history(id)[1].createdBy, "ADD b");
      EXPECT_THAT(other.images.check(true), IsEmpty());
      archive::StringSink again;
      save(other.images, {"acc/sv:1", "acc/sv:2"}, again);
      EXPECT_EQ(again.bytes, bytes) << "bit for bit";
    }
    fs::remove_all(root);
  }
}

TEST_F(ImageTest, ROOT_ExportsAnImageThatIsNotInTheStore) {
  using archive::Compression;
  for (const auto kind : {Compression::none, Compression::gzip, Compression::zstd}) {
    for (const bool docker : {false, true}) {
      Lease lease;
      Assembly assembly;
      assembly.config.platform = oci::Platform::host();
      assembly.layers = {layer({{"a", "one"}}, lease), layer({{"b", "two"}}, lease)};
      const Sealed sealed = images_.seal(assembly, lease);
      EXPECT_THAT(images_.list({.all = true}), IsEmpty());
      ExportOptions options;
      options.names = {ref("acc/x:1")};
      options.dockerManifest = docker;
      options.ociTypes = !docker || kind == Compression::zstd;
      options.compression = kind;
      options.annotations = {.manifest = {{"a", "b"}}, .descriptor = {{"c", "d"}}};
      archive::StringSink out;
      const auto descriptor = exportImage(images_, sealed, options, out);
      const auto files = untar(out.bytes);
      EXPECT_EQ(files.contains("manifest.json"), docker);
      EXPECT_FALSE(files.contains("repositories"));
      EXPECT_THAT(files.at("index.json"), ::testing::HasSubstr(R"("c":"d")"));
      const std::string& manifest = files.at("blobs/sha256/" + std::string(descriptor.digest.hex()));
      EXPECT_THAT(manifest, ::testing::HasSubstr(R"("annotations":{"a":"b"})"));
      EXPECT_EQ(manifest.find("docker") == std::string::npos, options.ociTypes) << manifest;
      const std::string root = makeRoot();
      {
        Engine other(root);
        const auto loaded = loadInto(other.images, out.bytes);
        ASSERT_THAT(loaded, SizeIs(1));
        EXPECT_EQ(loaded[0].text(), "Loaded image: acc/x:1");
        EXPECT_EQ(loaded[0].id, sealed.id);
        EXPECT_THAT(other.images.check(true), IsEmpty());
      }
      fs::remove_all(root);
    }
  }
}

TEST_F(ImageTest, ROOT_AnnotationsAreSavedAndReplacedByTheNextBuild) {
  Lease lease;
  Assembly assembly;
  assembly.config.platform = oci::Platform::host();
  assembly.layers = {layer({{"a", "one"}}, lease)};
  assembly.names = {ref("x:1")};
  assembly.annotations = {.manifest = {{"key-m", "1"}}, .descriptor = {{"key-d", "2"}}};
  images_.assemble(assembly, lease);
  const std::string bytes = saved({"x:1"});
  EXPECT_THAT(bytes, ::testing::HasSubstr(R"("annotations":{"key-m":"1"})"));
  EXPECT_THAT(bytes, ::testing::HasSubstr(R"("key-d":"2")"));
  assembly.annotations = std::nullopt;
  images_.assemble(assembly, lease);
  EXPECT_EQ(saved({"x:1"}), bytes);
  assembly.annotations.emplace();
  images_.assemble(assembly, lease);
  EXPECT_THAT(saved({"x:1"}), ::testing::Not(::testing::HasSubstr("key-")));
  remove("x:1");
  EXPECT_THAT(images_.check(true), IsEmpty());
}

TEST_F(ImageTest, ROOT_LoadWhatIsThereChangesNothing) {
  make({"a"}, {"x"});
  const std::string bytes = saved({"x"});
  const auto layers = snapshots_.layers().list().size();
  EXPECT_THAT(loadInto(images_, bytes), SizeIs(1));
  EXPECT_EQ(snapshots_.layers().list().size(), layers);
  EXPECT_THAT(listDir(root_ + "/layers"), SizeIs(layers));
}

TEST_F(ImageTest, ROOT_AnImageSavedByIdHasNoName) {
  const ImageId id = make({"a"}, {"x"});
  const std::string bytes = saved({id.shortHex()});
  remove("x");
  const auto loaded = loadInto(images_, bytes);
  ASSERT_THAT(loaded, SizeIs(1));
  EXPECT_EQ(loaded[0].text(), "Loaded image ID: " + id.str());
}

std::string configOf(const std::vector<std::string>& layers) {
  oci::ImageConfig config{.platform = oci::Platform::host()};
  for (const auto& layer : layers) config.rootfs.diff_ids.push_back(oci::Digest::of(layer));
  return config.bytes();
}

TEST_F(ImageTest, ROOT_LoadsTheOldLayoutWithItsLinks) {
  const std::string one = tarOf({{"f", "one"}}), two = tarOf({{"g", "two"}});
  const std::string config = configOf({one, two, one});
  const std::string id = oci::Digest::of(config).str();
  const std::string hex = id.substr(7);
  const auto loaded =
      loadInto(images_, tarOf({{"aaa/", ""},
                               {"aaa/VERSION", "1.0"},
                               {"aaa/json", "{}"},
                               {"aaa/layer.tar", one},
                               {"bbb/layer.tar", two},
                               {"ccc/layer.tar", "->../aaa/layer.tar"},
                               {hex + ".json", config},
                               {"manifest.json", R"([{"Config":")" + hex +
                                                     R"(.json","RepoTags":["old:1"],"Layers":)"
                                                     R"(["aaa/layer.tar","bbb/layer.tar","ccc/layer.tar"]}])"},
                               {"repositories", R"({"old":{"1":"ccc"}})"}}));
  ASSERT_THAT(loaded, SizeIs(1));
  EXPECT_EQ(loaded[0].id.str(), id);
  EXPECT_THAT(images_.layers(loaded[0].id), SizeIs(3));
}

TEST_F(ImageTest, ROOT_LoadsAnOciLayoutWithCompressedLayers) {
  const std::string layer = tarOf({{"f", "one"}});
  const std::string blob = compressed(archive::Compression::gzip, layer);
  const std::string config = configOf({layer});
  const auto path = [](const std::string& bytes) {
    return "blobs/sha256/" + std::string(oci::Digest::of(bytes).hex());
  };
  oci::Manifest manifest{.mediaType = std::string(oci::media::kManifest)};
  manifest.config = {std::string(oci::media::kConfig), oci::Digest::of(config), static_cast<int64_t>(config.size())};
  manifest.layers = {{std::string(oci::media::kLayerGzip), oci::Digest::of(blob), static_cast<int64_t>(blob.size())}};
  const std::string manifestBytes = dumpJsonOf(manifest);
  const auto describe = [&](const std::string& bytes, std::string_view type) {
    return oci::Descriptor{std::string(type), oci::Digest::of(bytes), static_cast<int64_t>(bytes.size())};
  };
  oci::Index inner;
  inner.manifests = {describe(manifestBytes, oci::media::kManifest), describe("other", oci::media::kManifest)};
  inner.manifests[0].platform = oci::Platform::host();
  inner.manifests[1].platform = oci::Platform{.architecture = "s390x", .os = "linux"};
  const std::string innerBytes = dumpJsonOf(inner);
  oci::Index outer;
  outer.manifests = {describe(innerBytes, oci::media::kIndex)};
  outer.manifests[0].annotations.emplace()["io.containerd.image.name"] = "docker.io/acc/oci:1";
  const std::vector<Entry> good = {{"oci-layout", R"({"imageLayoutVersion":"1.0.0"})"},
                                   {"index.json", dumpJsonOf(outer)},
                                   {path(innerBytes), innerBytes},
                                   {path(manifestBytes), manifestBytes},
                                   {path(config), config},
                                   {path(blob), blob}};
  const auto loaded = loadInto(images_, tarOf(good));
  ASSERT_THAT(loaded, SizeIs(1));
  EXPECT_EQ(loaded[0].text(), "Loaded image: acc/oci:1");
  EXPECT_EQ(loaded[0].id, oci::Digest::of(config));
  remove("acc/oci:1");

  for (size_t missing = 1; missing < good.size(); ++missing) {
    auto entries = good;
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(missing));
    EXPECT_THROW(loadInto(images_, tarOf(entries)), Error) << good[missing].name;
  }
  for (size_t wrong = 2; wrong < good.size(); ++wrong) {
    auto entries = good;
    entries[wrong].content += wrong == 5 ? std::string(512, '\0') : " ";
    EXPECT_THROW(loadInto(images_, tarOf(entries)), Error) << good[wrong].name;
  }
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_HostileArchivesAreRefusedAndLeaveNothing) {
  const std::string layer = tarOf({{"f", "one"}});
  const std::string config = configOf({layer});
  const auto archive = [&](const std::string& manifest, std::vector<Entry> more = {}) {
    std::vector<Entry> entries = {{"l/layer.tar", layer}, {"c.json", config}, {"manifest.json", manifest}};
    entries.insert(entries.end(), more.begin(), more.end());
    return tarOf(entries);
  };
  const std::string good = R"([{"Config":"c.json","RepoTags":["x:1"],"Layers":["l/layer.tar"]}])";
  const std::vector<std::string> bad = {
      archive(R"([{"Config":"../../etc/passwd","Layers":["l/layer.tar"]}])"),
      archive(R"([{"Config":"c.json","Layers":["../../../etc/passwd"]}])"),
      archive(R"([{"Config":"c.json","Layers":["/etc/passwd"]}])"),
      archive(R"([{"Config":"c.json","Layers":[]}])"),
      archive(R"([{"Config":"c.json","RepoTags":["../x"],"Layers":["l/layer.tar"]}])"),
      archive(R"([{"Config":"c.json","RepoTags":["x"],"Layers":["l/layer.tar"]}])"),
      archive(R"([{"Config":"manifest.json","Layers":["l/layer.tar"]}])"),
      archive(R"({})"),
      archive("[{"),
      archive(good, {{"../evil", "x"}}),
      archive(good, {{"/evil", "x"}}),
      archive(good, {{"link", "->../../etc/passwd"}}),
      archive(good, {{"link", "->/etc/passwd"}}),
      archive(good, {{"blobs/sha256/nothing", "x"}}),
      archive(good, {{"blobs/sha256/" + std::string(64, 'a'), "{}"}}),
      archive(good, {{"c.json", config}}),
      archive(good, {{"big.json", "{" + std::string(9 << 20, ' ') + "}"}}),
      archive(R"([{"Config":"c.json","Layers":["loop"]}])", {{"loop", "->loop"}}),
      tarOf({{"hello", "world"}}),
      std::string(100'000, 'r'),
      "",
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    EXPECT_THROW(loadInto(images_, bad[i]), Error) << i;
  }
  expectEmpty(engine_, root_);
  EXPECT_THAT(loadInto(images_, archive(good)), SizeIs(1));
}

TEST_F(ImageTest, ROOT_ATruncatedArchiveLeavesNothing) {
  make({"a", "b", "c"}, {"x"});
  const std::string bytes = saved({"x"});
  remove("x");
  expectEmpty(engine_, root_);
  for (size_t size = 0; size + 1024 < bytes.size(); size += 700) {
    EXPECT_THROW(loadInto(images_, bytes.substr(0, size)), Error) << size;
  }
  const std::string packed = compressed(archive::Compression::gzip, bytes);
  for (size_t size = 0; size + 8 < packed.size(); size += packed.size() / 9) {
    EXPECT_THROW(loadInto(images_, packed.substr(0, size)), Error) << size;
  }
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_ALayerLargerThanAllowedIsRefused) {
  make({"a"}, {"x"});
  const std::string bytes = saved({"x"});
  remove("x");
  EXPECT_THROW(loadInto(images_, bytes, {.maxLayerBytes = 5}), Error);
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_ImportMakesOneLayerWithAMessage) {
  ImportOptions options{.message = "Imported from -", .name = ref("acc/imp:2")};
  options.config.config.Cmd = {"cat", "/one"};
  const auto made = importTar(
      images_, std::make_unique<archive::StringSource>(compressed(archive::Compression::gzip, tarOf({{"one", "one"}}))),
      options);
  archive::NullSink nowhere;
  EXPECT_EQ(images_.resolve("acc/imp:2"), made.id);
  const auto history = images_.history(made.id);
  ASSERT_THAT(history, SizeIs(1));
  EXPECT_EQ(history[0].comment, "Imported from -");
  EXPECT_EQ(history[0].size, 3);
  EXPECT_THAT(images_.config(made.id).config.Cmd, ElementsAre("cat", "/one"));
  remove("acc/imp:2");
  EXPECT_THROW(importTar(images_, std::make_unique<archive::StringSource>("no tar at all"), options), Error);
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_KilledBeforeTheRowNothingIsLeft) {
  const pid_t child = ::fork();
  if (child == 0) {
    killHook = [](const char* name) {
      if (std::strcmp(name, "image.assemble.written") == 0) ::raise(SIGKILL);
    };
    Engine engine(root_);
    Lease lease;
    const std::string tar = tarOf({{"a", "x"}});
    archive::StringSource source(tar);
    Assembly assembly;
    assembly.config.platform = oci::Platform::host();
    assembly.layers = {engine.snapshots.layers().unpack(source, lease).id};
    engine.images.assemble(assembly, lease);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  snapshots_.recover();
  snapshots_.layers().collectAll();
  engine_.content.collect();
  expectEmpty(engine_, root_);
}

TEST_F(ImageTest, ROOT_SeveralEnginesShareARoot) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      Engine engine(root_);
      for (int i = 0; i < 8; ++i) {
        Lease lease;
        const std::string tar = tarOf({{"shared" + std::to_string(i), "x"}});
        archive::StringSource source(tar);
        Assembly assembly;
        assembly.config.platform = oci::Platform::host();
        assembly.layers = {engine.snapshots.layers().unpack(source, lease).id};
        const std::string name = "e" + std::to_string(t) + ":" + std::to_string(i);
        assembly.names = {oci::Reference::parse(name)};
        engine.images.assemble(assembly, lease);
        if (i % 2 == 0)
          engine.images.remove(name, false, true, [](const ImageId&) { return std::vector<ContainerUse>(); });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(images_.list({}), SizeIs(4));
  EXPECT_THAT(images_.check(true), IsEmpty());
  snapshots_.layers().collectAll();  // what the others' leases held when its image went
  EXPECT_THAT(snapshots_.layers().list(), SizeIs(4));
}

TEST_F(ImageTest, ROOT_DamageIsFound) {
  const ImageId id = make({"a"}, {"x"});
  writeFile(snapshots_.layers().pathOf(images_.layers(id)[0]) + "/a", "evil of a..");
  EXPECT_THAT(images_.check(true), Not(IsEmpty()));
  writeFile(root_ + "/content/sha256/" + std::string(id.hex()), "{}");
  EXPECT_THAT(images_.check(false), Not(IsEmpty()));
}

TEST(PathMatch, IsGos) {
  for (const auto& [pattern, name] : std::vector<std::pair<std::string, std::string>>{{"acc/o*", "acc/otro"},
                                                                                      {"*", "abc"},
                                                                                      {"a?c", "abc"},
                                                                                      {"[a-c]x", "bx"},
                                                                                      {"[^a]x", "bx"},
                                                                                      {"\\*", "*"},
                                                                                      {"a*b*c", "aXbYbZc"},
                                                                                      {"*/*", "a/b"},
                                                                                      {"", ""}}) {
    EXPECT_TRUE(pathMatch(pattern, name)) << pattern;
  }
  for (const auto& [pattern, name] : std::vector<std::pair<std::string, std::string>>{
           {"*", "a/b"}, {"a?c", "a/c"}, {"abc", "ab"}, {"[^a]x", "ax"}, {"a*", "b"}}) {
    EXPECT_FALSE(pathMatch(pattern, name)) << pattern;
  }
  EXPECT_THROW(pathMatch("[", "a"), Error);
  EXPECT_THROW(pathMatch("[a", "a"), Error);
}

}  // namespace
}  // namespace estiba::image
