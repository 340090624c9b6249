#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "archive/tar.h"
#include "base/kill_point.h"
#include "base/text.h"
#include "snapshot/merge.h"
#include "snapshot/snapshotter.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::snapshot {
namespace {

namespace fs = std::filesystem;
using archive::ChangeKind;
using ::testing::ElementsAre;
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
    } else {
      writer.addFile({.name = name, .size = static_cast<int64_t>(content.size())}, content);
    }
  }
  writer.finish();
  return out.bytes;
}

class SnapshotTest : public ::testing::Test {
 protected:
  SnapshotTest() {
    pool_.get()->migrate({kSchema,
                          {"test",
                           {"CREATE TABLE uses (layer TEXT REFERENCES layer (id)) STRICT;"
                            "CREATE TABLE owner (snapshot TEXT REFERENCES snapshot (id)) STRICT"}}});
  }
  ~SnapshotTest() override {
    EXPECT_EQ(readFile("/proc/self/mountinfo").find(root_), std::string::npos) << "a mount was left behind";
    fs::remove_all(root_);
  }

  static std::string makeRoot() {
    std::string path = ::testing::TempDir() + "snapshot-" + randomHex(6);
    makeDirs(path);
    return path;
  }

  LayerId unpack(const std::vector<Entry>& entries, Lease& lease) {
    const std::string tar = tarOf(entries);
    archive::StringSource source(tar);
    return layers_.unpack(source, lease).id;
  }
  /// A kept snapshot with its owner.
  std::string keep(Active active) {
    const auto db = pool_.get();
    db::Txn txn(*db);
    snapshots_.keep(*db, active);
    db->prepare("INSERT INTO owner VALUES (?)").bind(active.id()).run();
    txn.commit();
    active.release();
    return active.id();
  }
  void release(const std::string& id) {
    const auto db = pool_.get();
    db::Txn txn(*db);
    db->prepare("DELETE FROM owner WHERE snapshot = ?").bind(id).run();
    snapshots_.forget(*db, id);
    txn.commit();
    snapshots_.discard(id);
  }
  /// Changes the snapshot as a container would: through a mounted overlay.
  template <class F>
  void inside(const Mounts& mounts, F&& run) {
    const std::string at = root_ + "/merged";
    makeDir(at);
    FsContext context("overlay");
    for (const auto& lower : mounts.lowers) context.set("lowerdir+", lower);
    context.set("upperdir", mounts.upper).set("workdir", mounts.work);
    const Fd mount = context.mount();
    attachMount(mount.get(), at);
    const MountPoint attached(at);
    run(at);
  }
  std::vector<std::string> dirs(const std::string& name) { return listDir(root_ + "/" + name); }
  /// Runs in a child that dies at `point`.
  template <class F>
  void dieAt(const char* point, F&& run) {
    const pid_t child = ::fork();
    if (child == 0) {
      static const char* wanted;
      wanted = point;
      killHook = [](const char* name) {
        if (std::strcmp(name, wanted) == 0) ::raise(SIGKILL);
      };
      db::Pool pool(root_ + "/db");
      Snapshotter snapshots(pool, root_);
      run(snapshots, pool);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << point;
  }
  void expectClean() {
    EXPECT_THAT(dirs("layers"), IsEmpty());
    EXPECT_THAT(dirs("snapshots"), IsEmpty());
    layers_.emptyTrash();
    EXPECT_THAT(dirs("trash"), IsEmpty());
    EXPECT_THAT(snapshots_.check(true), IsEmpty());
  }

  std::string root_ = makeRoot();
  db::Pool pool_{root_ + "/db"};
  Snapshotter snapshots_{pool_, root_};
  Layers& layers_ = snapshots_.layers();
};

TEST_F(SnapshotTest, ROOT_NobodyElseReachesTheLayers) {
  for (const char* name : {"layers", "snapshots", "trash"}) {
    struct stat st {};
    ASSERT_EQ(::stat((root_ + "/" + name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0700U) << name;
  }
}

TEST_F(SnapshotTest, ROOT_ALayerComesOutAsItWentIn) {
  auto lease = std::make_unique<Lease>();
  const std::string tar = tarOf({{"etc/", ""}, {"etc/motd", "hello"}, {"b", "bytes"}});
  archive::StringSource source(tar);
  const Layer layer = layers_.unpack(source, *lease);
  EXPECT_EQ(*layer.diffId, oci::Digest::of(tar));
  EXPECT_EQ(layer.contentBytes, 10);
  EXPECT_EQ(layer.tarBytes, static_cast<int64_t>(tar.size()));
  EXPECT_EQ(readFile(layers_.pathOf(layer.id) + "/etc/motd"), "hello");
  archive::StringSink out;
  layers_.writeTar(layer.id, out);
  EXPECT_EQ(out.bytes, tar);

  archive::StringSource again(tar);
  EXPECT_EQ(layers_.unpack(again, *lease).id, layer.id) << "the same layer is stored once";
  EXPECT_THAT(dirs("layers"), SizeIs(1));
  EXPECT_THAT(snapshots_.check(true), IsEmpty());
  EXPECT_THAT(layers_.collectAll(), IsEmpty()) << "the lease holds it";
  lease.reset();
  EXPECT_THAT(layers_.collectAll(), SizeIs(1));
  expectClean();
}

TEST_F(SnapshotTest, ROOT_AWrongOrBrokenLayerLeavesNothing) {
  Lease lease;
  const std::string tar = tarOf({{"a", std::string(5000, 'x')}});
  archive::StringSource wrong(tar);
  EXPECT_THROW(layers_.unpack(wrong, lease, {}, oci::Digest::of("other")), Error);
  archive::StringSource truncated(std::string_view(tar).substr(0, 2000));
  EXPECT_THROW(layers_.unpack(truncated, lease), Error);
  EXPECT_THAT(layers_.list(), IsEmpty());
  expectClean();
}

TEST_F(SnapshotTest, ROOT_DamageIsFound) {
  Lease lease;
  const LayerId id = unpack({{"a", "good"}}, lease);
  writeFile(layers_.pathOf(id) + "/a", "evil");
  EXPECT_THAT(snapshots_.check(false), IsEmpty());
  EXPECT_THAT(snapshots_.check(true), SizeIs(1));
  archive::NullSink nowhere;
  EXPECT_THROW(layers_.writeTar(id, nowhere), Error);
  fs::remove_all(root_ + "/layers/" + id.value);
  EXPECT_THAT(snapshots_.check(false), SizeIs(1));
}

TEST_F(SnapshotTest, ROOT_WhatARowRefersToStays) {
  LayerId id;
  {
    Lease lease;
    id = unpack({{"a", "x"}}, lease);
    pool_.get()->prepare("INSERT INTO uses VALUES (?)").bind(id.value).run();
  }
  EXPECT_THAT(layers_.collectAll(), IsEmpty());
  Lease lease;
  EXPECT_TRUE(layers_.hold(id, lease));
  EXPECT_EQ(layers_.holdByDiffId(*layers_.get(id).diffId, lease)->id, id);
  EXPECT_FALSE(layers_.hold({"nothing"}, lease));
}

TEST_F(SnapshotTest, ROOT_AStepBecomesALayerByARename) {
  Lease lease;
  const LayerId base = unpack({{"keep", "1"}, {"gone", "2"}}, lease);
  Active step = snapshots_.prepare({base});
  inside(step.mounts(), [](const std::string& at) {
    EXPECT_EQ(readFile(at + "/keep"), "1");
    writeFile(at + "/new", "three");
    fs::remove(at + "/gone");
  });
  struct stat before {};
  ASSERT_EQ(::stat((step.upper() + "/new").c_str(), &before), 0);
  const LayerId made = snapshots_.commit(std::move(step), lease);
  struct stat after {};
  ASSERT_EQ(::stat((layers_.pathOf(made) + "/new").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_THAT(dirs("snapshots"), IsEmpty());
  EXPECT_FALSE(layers_.get(made).diffId);

  const Layer hashed = layers_.hash(made, lease);
  EXPECT_EQ(hashed.id, made);
  EXPECT_EQ(hashed.contentBytes, 5);
  archive::StringSink out;
  layers_.writeTar(made, out);
  EXPECT_EQ(oci::Digest::of(out.bytes), *hashed.diffId);
  EXPECT_EQ(static_cast<int64_t>(out.bytes.size()), hashed.tarBytes);
}

TEST_F(SnapshotTest, ROOT_EqualLayersBecomeOne) {
  Lease lease;
  const auto make = [&](Lease& into) {
    Active step = snapshots_.prepare({});
    writeFile(step.upper() + "/f", "same");
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    ::utimensat(AT_FDCWD, (step.upper() + "/f").c_str(), times, 0);
    ::utimensat(AT_FDCWD, step.upper().c_str(), times, 0);
    return snapshots_.commit(std::move(step), into);
  };
  const LayerId one = make(lease);
  auto second = std::make_unique<Lease>();
  const LayerId two = make(*second);
  EXPECT_EQ(layers_.hash(one, lease).id, one);
  EXPECT_EQ(layers_.hash(two, lease).id, one);
  EXPECT_TRUE(layers_.find(two)) << "held: somebody may have it mounted";
  second.reset();
  layers_.collect({two});
  EXPECT_FALSE(layers_.find(two));
  EXPECT_THAT(layers_.list(), SizeIs(1));
}

TEST_F(SnapshotTest, ROOT_WhatIsNotCommittedGoes) {
  Lease lease;
  const LayerId base = unpack({{"a", "x"}}, lease);
  { const Active dropped = snapshots_.prepare({base}); }
  EXPECT_THAT(dirs("snapshots"), IsEmpty());
  EXPECT_THROW(snapshots_.prepare({{"nothing"}}), Error);
  EXPECT_THAT(dirs("snapshots"), IsEmpty());
}

TEST_F(SnapshotTest, ROOT_TheRootDirectoryKeepsItsOwnerAndMode) {
  Lease lease;
  archive::StringSink out;
  archive::TarWriter writer(out);
  writer.add({.name = "./", .type = archive::TarType::directory, .mode = 01777, .uid = 7, .gid = 8});
  writer.finish();
  archive::StringSource source(out.bytes);
  const LayerId base = layers_.unpack(source, lease).id;
  struct stat st {};
  // What an archive says of "/" is how somebody packed it: as in Docker it does not count.
  const std::string layer = layers_.pathOf(base);
  ASSERT_EQ(::stat(layer.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0755U);
  EXPECT_EQ(st.st_uid, 0U);
  // What the top layer's "/" is, the snapshot's is too.
  ASSERT_EQ(::chown(layer.c_str(), 7, 8), 0);
  ASSERT_EQ(::chmod(layer.c_str(), 01777), 0);
  const Active active = snapshots_.prepare({base});
  ASSERT_EQ(::stat(active.upper().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 01777U);
  EXPECT_EQ(st.st_uid, 7U);
  EXPECT_EQ(st.st_gid, 8U);
}

TEST_F(SnapshotTest, ROOT_AKeptSnapshotHoldsItsLayers) {
  LayerId base;
  std::string id;
  {
    Lease lease;
    base = unpack({{"a", "x"}}, lease);
    id = keep(snapshots_.prepare({base}));
  }
  EXPECT_THAT(layers_.collectAll(), IsEmpty());
  EXPECT_THAT(snapshots_.recover(), IsEmpty());
  EXPECT_THAT(snapshots_.layersOf(id), ElementsAre(base));
  const Mounts mounts = snapshots_.mounts(id);
  EXPECT_THAT(mounts.lowers, ElementsAre(layers_.pathOf(base)));
  inside(mounts, [](const std::string& at) { writeFile(at + "/b", "12345"); });
  EXPECT_EQ(snapshots_.usage(id).bytes, 5);
  EXPECT_THAT(snapshots_.changes(id), ElementsAre(archive::Change{"/b", ChangeKind::added}));
  release(id);
  EXPECT_THROW(snapshots_.mounts(id), Error);
  EXPECT_THAT(layers_.collectAll(), SizeIs(1));
  expectClean();
}

TEST_F(SnapshotTest, ROOT_AStoppedContainerIsCommittedAgainAndAgainAsOneLayer) {
  Lease lease;
  const LayerId base = unpack({{"d/", ""}, {"d/old", "1"}, {"d/two", "2"}, {"e/", ""}, {"e/x", "3"}}, lease);
  const std::string id = keep(snapshots_.prepare({base}));
  inside(snapshots_.mounts(id), [](const std::string& at) {
    writeFile(at + "/a", "first");
    fs::remove(at + "/d/old");
    fs::remove_all(at + "/e");
  });
  const LayerId one = snapshots_.freeze(id, lease);
  const Layer hashedOne = layers_.hash(one, lease);
  EXPECT_THAT(snapshots_.layersOf(id), ElementsAre(base, one));
  EXPECT_EQ(snapshots_.imageLayers(id), 1U);
  EXPECT_THAT(snapshots_.changes(id),
              ElementsAre(archive::Change{"/a", ChangeKind::added}, archive::Change{"/d", ChangeKind::modified},
                          archive::Change{"/d/old", ChangeKind::deleted}, archive::Change{"/e", ChangeKind::deleted}));

  inside(snapshots_.mounts(id), [](const std::string& at) {
    EXPECT_EQ(readFile(at + "/a"), "first") << "the container goes on with what it had";
    EXPECT_FALSE(exists(at + "/d/old"));
    writeFile(at + "/a", "second");
    writeFile(at + "/b", "b");
    makeDir(at + "/e");
    writeFile(at + "/e/y", "new");
  });
  const LayerId two = snapshots_.freeze(id, lease);
  EXPECT_THAT(snapshots_.layersOf(id), ElementsAre(base, two)) << "one layer above the image, not two";
  EXPECT_EQ(readFile(layers_.pathOf(one) + "/a"), "first") << "what was committed before is not touched";
}

TEST_F(SnapshotTest, ROOT_AFrozenStackReadsAsTheContainerSawIt) {
  Lease lease;
  const LayerId base = unpack({{"d/", ""}, {"d/old", "1"}, {"e/", ""}, {"e/x", "3"}, {"f", "file"}}, lease);
  const std::string id = keep(snapshots_.prepare({base}));
  inside(snapshots_.mounts(id), [](const std::string& at) {
    fs::remove_all(at + "/e");
    fs::remove(at + "/f");
  });
  snapshots_.freeze(id, lease);
  inside(snapshots_.mounts(id), [](const std::string& at) {
    makeDir(at + "/e");  // over a whiteout in a layer below: what the image had there must stay hidden
    writeFile(at + "/e/y", "new");
    makeDir(at + "/f");
  });
  const LayerId all = snapshots_.freeze(id, lease);
  const Fd mount = snapshots_.mountReadOnly({base, all});
  const std::string at = "/proc/self/fd/" + std::to_string(mount.get());
  EXPECT_THAT(listDir(at), UnorderedElementsAre("d", "e", "f"));
  EXPECT_THAT(listDir(at + "/e"), ElementsAre("y"));
  EXPECT_THAT(listDir(at + "/f"), IsEmpty());
  EXPECT_EQ(readFile(at + "/d/old"), "1");
}

TEST_F(SnapshotTest, ROOT_ARunningContainerIsCopied) {
  Lease lease;
  const LayerId base = unpack({{"old", "1"}}, lease);
  const std::string id = keep(snapshots_.prepare({base}));
  const Mounts mounts = snapshots_.mounts(id);
  std::optional<Layer> copy;
  inside(mounts, [&](const std::string& at) {
    writeFile(at + "/new", "one");
    fs::remove(at + "/old");
    copy = snapshots_.copyUpper(id, lease);
    writeFile(at + "/new", "two");
  });
  ASSERT_TRUE(copy->diffId);
  EXPECT_EQ(readFile(layers_.pathOf(copy->id) + "/new"), "one");
  const Fd mount = snapshots_.mountReadOnly({base, copy->id});
  EXPECT_THAT(listDir("/proc/self/fd/" + std::to_string(mount.get())), ElementsAre("new"));
  // After a freeze the copy still has everything above the image.
  snapshots_.freeze(id, lease);
  inside(snapshots_.mounts(id), [&](const std::string& at) {
    writeFile(at + "/more", "x");
    copy = snapshots_.copyUpper(id, lease);
  });
  const Fd second = snapshots_.mountReadOnly({base, copy->id});
  EXPECT_THAT(listDir("/proc/self/fd/" + std::to_string(second.get())), UnorderedElementsAre("new", "more"));
}

TEST_F(SnapshotTest, ROOT_AHundredAndTwentyLayersAreReadAsOne) {
  Lease lease;
  std::vector<LayerId> stack;
  for (int i = 0; i < 120; ++i) {
    stack.push_back(unpack({{"f" + std::to_string(i), "x"}, {"top", std::to_string(i)}}, lease));
  }
  const Fd mount = snapshots_.mountReadOnly(stack);
  const std::string at = "/proc/self/fd/" + std::to_string(mount.get());
  EXPECT_THAT(listDir(at), SizeIs(121));
  EXPECT_EQ(readFile(at + "/top"), "119");
  EXPECT_THROW(writeFile(at + "/top", "y"), SysError);
  const Fd one = snapshots_.mountReadOnly({stack[3]});
  EXPECT_EQ(readFile("/proc/self/fd/" + std::to_string(one.get()) + "/top"), "3");
}

TEST_F(SnapshotTest, ROOT_AStackMayNameALayerTwice) {
  Lease lease;
  const LayerId a = unpack({{"f", "a"}, {"x", "1"}}, lease);
  const LayerId b = unpack({{"f", "b"}, {"y", "2"}}, lease);
  const Fd mount = snapshots_.mountReadOnly({a, b, a});
  const std::string at = "/proc/self/fd/" + std::to_string(mount.get());
  EXPECT_THAT(listDir(at), UnorderedElementsAre("f", "x", "y"));
  EXPECT_EQ(readFile(at + "/f"), "a");
  EXPECT_THAT(snapshots_.prepare({a, b, a}, lease).mounts().lowers, SizeIs(2));
}

TEST_F(SnapshotTest, ROOT_TwoSnapshotsOfOneImageDoNotSeeEachOther) {
  Lease lease;
  const LayerId base = unpack({{"a", "x"}}, lease);
  const std::string first = keep(snapshots_.prepare({base}));
  const std::string second = keep(snapshots_.prepare({base}));
  inside(snapshots_.mounts(first), [](const std::string& at) { writeFile(at + "/solo", "1"); });
  inside(snapshots_.mounts(second), [](const std::string& at) { EXPECT_FALSE(exists(at + "/solo")); });
}

TEST_F(SnapshotTest, ROOT_KilledWhileMakingNothingHalfIsLeft) {
  const std::string tar = tarOf({{"a", "x"}});
  dieAt("layer.unpack.written", [&](Snapshotter& s, db::Pool&) {
    Lease lease;
    archive::StringSource source(tar);
    s.layers().unpack(source, lease);
  });
  dieAt("snapshot.prepare.made", [](Snapshotter& s, db::Pool&) { s.prepare({}); });
  dieAt("layer.adopt.renamed", [](Snapshotter& s, db::Pool&) {
    Lease lease;
    s.commit(s.prepare({}), lease);
  });
  dieAt("layer.collect.committed", [&](Snapshotter& s, db::Pool&) {
    {
      Lease lease;
      archive::StringSource source(tar);
      s.layers().unpack(source, lease);
    }
    s.layers().collectAll();
  });
  EXPECT_THAT(snapshots_.check(true), SizeIs(4));
  EXPECT_THAT(snapshots_.recover(), SizeIs(4));
  EXPECT_THAT(layers_.list(), IsEmpty());
  expectClean();
}

TEST_F(SnapshotTest, ROOT_AKilledFreezeLosesNothing) {
  for (const char* point : {"snapshot.freeze.marked", "snapshot.freeze.renamed"}) {
    for (const bool byRecover : {true, false}) {
      const std::string id = keep(snapshots_.prepare({}));
      writeFile(root_ + "/snapshots/" + id + "/diff/data", "precious");
      dieAt(point, [&](Snapshotter& s, db::Pool&) {
        Lease lease;
        s.freeze(id, lease);
      });
      if (byRecover) snapshots_.recover();
      const Mounts mounts = snapshots_.mounts(id);  // finishes it too
      std::string found;
      if (exists(mounts.upper + "/data")) found = readFile(mounts.upper + "/data");
      for (const auto& lower : mounts.lowers) {
        if (exists(lower + "/data")) found = readFile(lower + "/data");
      }
      EXPECT_EQ(found, "precious") << point;
      EXPECT_THAT(snapshots_.check(true), IsEmpty()) << point;
      release(id);
      layers_.collectAll();
    }
  }
  expectClean();
}

TEST_F(SnapshotTest, ROOT_WhatSomebodyIsMakingIsNotSwept) {
  Lease lease;
  Active active = snapshots_.prepare({});
  const LayerId made = snapshots_.commit(snapshots_.prepare({}), lease);
  db::Pool otherPool(root_ + "/db");
  Snapshotter other(otherPool, root_);
  EXPECT_THAT(other.recover(), IsEmpty());
  EXPECT_THAT(other.check(true), IsEmpty());
  EXPECT_THAT(other.layers().collectAll(), IsEmpty());
  EXPECT_TRUE(exists(active.upper()));
  EXPECT_TRUE(exists(layers_.pathOf(made)));
}

TEST_F(SnapshotTest, ROOT_UnsyncedLayersOfAnEarlierBootAreDropped) {
  LayerId synced, dubious;
  {
    Lease lease;
    synced = unpack({{"a", "x"}}, lease);
    dubious = unpack({{"b", "y"}}, lease);
    layers_.sync({synced});
    pool_.get()->exec("UPDATE layer SET boot = 'an earlier one' WHERE boot IS NOT NULL");
  }
  EXPECT_THAT(snapshots_.recover(), SizeIs(1));
  EXPECT_TRUE(layers_.find(synced));
  EXPECT_FALSE(layers_.find(dubious));
}

TEST(ComposeChanges, TellsTheSumOfTwoDiffs) {
  using enum ChangeKind;
  EXPECT_THAT(composeChanges({{"/a", added}, {"/b", modified}, {"/c", deleted}, {"/d", added}, {"/d/x", added}},
                             {{"/a", modified}, {"/b", deleted}, {"/c", added}, {"/d", deleted}, {"/e", added}}),
              ElementsAre(archive::Change{"/a", added}, archive::Change{"/b", deleted}, archive::Change{"/c", modified},
                          archive::Change{"/e", added}));
}

}  // namespace
}  // namespace estiba::snapshot
