#include "archive/layer.h"

#include "archive/compression.h"
#include "archive/test_util.h"

namespace estiba::archive {
namespace {

Unpacked unpack(const std::string& tar, const std::string& dir, const UnpackOptions& options = {}) {
  StringSource from(tar);
  return unpackLayer(from, openDir(dir).get(), options);
}

std::string pack(const std::string& dir, Packed* packed = nullptr) {
  StringSink out;
  const Packed p = packLayer(openDir(dir).get(), &out);
  EXPECT_EQ(p.diffIdHex, sha256Hex(out.bytes));
  EXPECT_EQ(p.tarBytes, static_cast<int64_t>(out.bytes.size()));
  EXPECT_EQ(packLayer(openDir(dir).get()).diffIdHex, p.diffIdHex);
  if (packed != nullptr) *packed = p;
  return out.bytes;
}

std::string rebuilt(const std::string& dir, const std::string& recipe) {
  StringSink out;
  rebuildTar(openDir(dir).get(), recipe, out);
  return out.bytes;
}

void expectRoundTrip(const std::string& tar, const UnpackOptions& options = {}) {
  TempDir dir;
  const Unpacked got = unpack(tar, dir.path(), options);
  EXPECT_EQ(got.diffIdHex, sha256Hex(tar));
  EXPECT_EQ(got.tarBytes, static_cast<int64_t>(tar.size()));
  const std::string again = rebuilt(dir.path(), got.recipe);
  EXPECT_EQ(again.size(), tar.size());
  EXPECT_TRUE(again == tar) << "the rebuilt stream differs";
}

bool whiteoutAt(const std::string& path) {
  const auto st = lstatOf(path);
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

TEST(Layer, ROOT_UnpacksWhatAnEntryHolds) {
  TempDir dir;
  TarEntry e;
  e.name = "usr/bin/tool";
  e.mode = 04755;
  e.uid = 12;
  e.gid = 34;
  e.mtimeNs = 1'234'567'890'000'000'000;
  const std::string caps("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  e.xattrs = {{"user.note", "n"},
              {"security.capability", caps},
              {"trusted.overlay.opaque", "y"},
              {"trusted.evil", "x"},
              {"security.selinux", "s"}};
  StringSink tar;
  TarWriter w(tar);
  w.addFile(e, "#!");
  e.type = TarType::directory;
  e.name = "var/";
  e.mode = 01777;
  w.add(e);
  e.name = "var/x";
  e.type = TarType::symlink;
  e.linkName = "/etc";
  e.xattrs.clear();
  w.add(e);
  w.finish();
  const Unpacked got = unpack(tar.bytes, dir.path());
  EXPECT_EQ(got.contentBytes, 2);
  EXPECT_EQ(got.entries, 3U);
  const auto file = lstatOf(dir / "usr/bin/tool");
  EXPECT_EQ(file.st_mode, S_IFREG | 04755U);
  EXPECT_EQ(file.st_uid, 12U);
  EXPECT_EQ(file.st_gid, 34U);
  EXPECT_EQ(file.st_mtim.tv_sec, 1'234'567'890);
  EXPECT_EQ(xattrOf(dir / "usr/bin/tool", "user.note"), "n");
  EXPECT_EQ(xattrOf(dir / "usr/bin/tool", "security.capability"), caps);
  EXPECT_EQ(xattrOf(dir / "usr/bin/tool", "trusted.evil"), "(none)");
  EXPECT_EQ(xattrOf(dir / "var", "trusted.overlay.opaque"), "(none)");
  EXPECT_EQ(lstatOf(dir / "var").st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(lstatOf(dir / "var").st_mtim.tv_sec, 1'234'567'890);  // although something was made in it afterwards
  EXPECT_EQ(lstatOf(dir / "var/x").st_uid, 12U);
  EXPECT_EQ(lstatOf(dir / "var/x").st_mtim.tv_sec, 1'234'567'890);
  EXPECT_EQ(lstatOf(dir / "usr/bin").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(lstatOf(dir / "usr").st_uid, 0U);
}

TEST(Layer, ROOT_MakesDevicesAndFifos) {
  TempDir dir;
  TarBuilder b;
  b.node("dev/null", TarType::charDevice, 0666, 1, 3).node("dev/sda", TarType::blockDevice, 0660, 8, 0);
  unpack(b.node("dev/fifo", TarType::fifo, 0622).bytes(), dir.path());
  EXPECT_EQ(lstatOf(dir / "dev/null").st_rdev, makedev(1, 3));
  EXPECT_EQ(lstatOf(dir / "dev/null").st_mode, S_IFCHR | 0666U);
  EXPECT_EQ(lstatOf(dir / "dev/sda").st_mode, S_IFBLK | 0660U);
  EXPECT_EQ(lstatOf(dir / "dev/fifo").st_mode, S_IFIFO | 0622U);
}

TEST(Layer, ROOT_TurnsWhiteoutsIntoThoseOfOverlayfs) {
  TempDir dir;
  TarBuilder b;
  b.dir("d").file("d/.wh..wh..opq", "").file("d/keep", "k").file("e/.wh.gone", "").file(".wh.top", "");
  const std::string tar = b.bytes();
  const Unpacked got = unpack(tar, dir.path());
  EXPECT_EQ(xattrOf(dir / "d", "trusted.overlay.opaque"), "y");
  EXPECT_TRUE(whiteoutAt(dir / "e/gone"));
  EXPECT_TRUE(whiteoutAt(dir / "top"));
  EXPECT_FALSE(exists(dir / "d/.wh..wh..opq"));
  EXPECT_TRUE(rebuilt(dir.path(), got.recipe) == tar);
}

TEST(Layer, ROOT_WhiteoutsSpeakOfLowerLayersOnlyInEveryOrder) {
  TempDir dir;
  TarBuilder b;
  b.file("a/f", "1").file(".wh.a", "");           // after: the directory stays, opaque
  b.file(".wh.b", "").file("b/f", "2");           // before, the directory implied
  b.file(".wh.c", "").dir("c").file("c/f", "3");  // before, listed
  b.file("d", "4").file(".wh.d", "");
  b.file(".wh.e", "").file("e", "5");
  unpack(b.bytes(), dir.path());
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(xattrOf(dir / name, "trusted.overlay.opaque"), "y") << name;
  EXPECT_EQ(readFile(dir / "a/f") + readFile(dir / "b/f") + readFile(dir / "c/f"), "123");
  EXPECT_EQ(readFile(dir / "d"), "4");
  EXPECT_EQ(readFile(dir / "e"), "5");
}

TEST(Layer, ROOT_RefusesWhiteoutsOfNothing) {
  for (const char* name : {".wh.", "d/.wh..", "d/.wh..."}) {
    TempDir dir;
    expectError(Code::invalid, "whiteout", [&] { unpack(TarBuilder().file(name, "").bytes(), dir.path()); });
  }
}

TEST(Layer, ROOT_LaterEntriesReplaceEarlierOnes) {
  TempDir dir;
  TarBuilder b;
  b.file("f", "first").file("f", "second");
  b.dir("d", 0700).file("d/kept", "k").dir("d", 0711);  // merges
  b.file("x/y/z", "deep").file("x/w", "w").file("x", "now a file");
  b.file("g", "file").dir("g").file("g/in", "i");
  b.link("l", "d").file("l", "not through the link");
  b.file("h", "linked").hardlink("h2", "h").file("h", "new");
  const std::string tar = b.bytes();
  const Unpacked got = unpack(tar, dir.path());
  EXPECT_EQ(readFile(dir / "f"), "second");
  EXPECT_EQ(readFile(dir / "d/kept"), "k");
  EXPECT_EQ(lstatOf(dir / "d").st_mode & 07777, 0711U);
  EXPECT_EQ(readFile(dir / "x"), "now a file");
  EXPECT_EQ(readFile(dir / "g/in"), "i");
  EXPECT_EQ(readFile(dir / "l"), "not through the link");
  EXPECT_EQ(readFile(dir / "h2"), "linked");
  EXPECT_EQ(readFile(dir / "h"), "new");
  EXPECT_TRUE(rebuilt(dir.path(), got.recipe) == tar);
}

TEST(Layer, ROOT_RebuildsAlsoWhereContentLayBehindLinksThatWent) {
  TempDir dir;
  TarBuilder b;
  b.dir("real").link("alias", "real").file("alias/f", noise(300'000)).file("alias/g", "small");
  b.dir("alias").file("alias/f", "other").file("real/g", "replaced").file("real/f", noise(300'000, 2));
  const std::string tar = b.bytes();
  const Unpacked got = unpack(tar, dir.path());
  EXPECT_EQ(readFile(dir / "alias/f"), "other");
  EXPECT_TRUE(rebuilt(dir.path(), got.recipe) == tar);
}

TEST(Layer, ROOT_HardLinksStayHardLinks) {
  TempDir dir;
  unpack(TarBuilder().file("a", "x").hardlink("b", "a").hardlink("c/d", "/b").hardlink("a", "./a").bytes(), dir.path());
  EXPECT_EQ(lstatOf(dir / "a").st_ino, lstatOf(dir / "c/d").st_ino);
  EXPECT_EQ(lstatOf(dir / "a").st_nlink, 3U);
}

TEST(Layer, ROOT_HardLinksToLowerLayersAreCopiedUp) {
  TempDir dir;
  const std::string top = dir.make("top");
  const std::string bottom = dir.make("bottom");
  writeFile(bottom + "/f", "from below", 0640);
  ASSERT_EQ(::chown((bottom + "/f").c_str(), 5, 6), 0);
  const Fd topFd = openDir(top);
  const Fd bottomFd = openDir(bottom);
  UnpackOptions options;
  options.lowerDirs = {topFd.get(), bottomFd.get()};
  const std::string tar = TarBuilder().hardlink("new", "f").bytes();
  unpack(tar, dir.make("layer"), options);
  EXPECT_EQ(readFile(dir / "layer/new"), "from below");
  EXPECT_EQ(lstatOf(dir / "layer/new").st_uid, 5U);
  ASSERT_EQ(::mknod((top + "/f").c_str(), S_IFCHR, 0), 0);
  expectError(Code::invalid, "'f' is not there", [&] { unpack(tar, dir.make("second"), options); });
  expectError(Code::invalid, "'f' is not there", [&] { unpack(tar, dir.make("third")); });
}

/// A directory with things around the layer that nothing may touch.
struct Guarded {
  TempDir dir;
  std::string layer = dir.make("layer");
  Guarded() {
    writeFile(dir / "victim", "untouched", 0600);
    dir.make("outside");
  }
  ~Guarded() {
    EXPECT_EQ(readFile(dir / "victim"), "untouched");
    EXPECT_EQ(lstatOf(dir / "victim").st_nlink, 1U);
    EXPECT_EQ(lstatOf(dir / "victim").st_mode & 07777, 0600U);
    EXPECT_TRUE(listDir(dir / "outside").empty());
    EXPECT_EQ(listDir(dir.path()).size(), 3U);
  }
};

TEST(Layer, ROOT_LinksNeverLeadOut) {
  for (const std::string to : {"../outside", "/../outside", "../../../../../../../../tmp"}) {
    Guarded g;
    // The target does not exist inside the layer's root: writing through it is refused.
    EXPECT_THROW(unpack(TarBuilder().link("a", to).file("a/x", "x").bytes(), g.layer), Error) << to;
  }
  Guarded g;
  unpack(TarBuilder().dir("etc").link("a", "/").link("b", "../../etc").file("a/etc/x", "1").file("b/y", "2").bytes(),
         g.layer);
  EXPECT_EQ(readFile(g.layer + "/etc/x"), "1");
  EXPECT_EQ(readFile(g.layer + "/etc/y"), "2");
}

TEST(Layer, ROOT_LinksInTheWayAreReplacedNotFollowed) {
  Guarded g;
  const std::string victim = g.dir / "victim";
  unpack(TarBuilder().link("f", victim).file("f", "new").link("d", g.dir / "outside").dir("d").file("d/x", "x").bytes(),
         g.layer);
  EXPECT_EQ(readFile(g.layer + "/f"), "new");
  EXPECT_EQ(readFile(g.layer + "/d/x"), "x");
}

TEST(Layer, ROOT_NamesThatLeadOutAreRefusedAndAbsoluteOnesStayInside) {
  for (const char* name : {"../victim", "a/../../victim", "..", "./../x"}) {
    Guarded g;
    expectError(Code::invalid, "leads out of the layer",
                [&] { unpack(TarBuilder().file(name, "x").bytes(), g.layer); });
    expectError(Code::invalid, "leads out of the layer",
                [&] { unpack(TarBuilder().hardlink("h", name).bytes(), g.layer); });
  }
  Guarded g;
  unpack(TarBuilder().file("/abs/f", "1").file("/../up", "2").bytes(), g.layer);
  EXPECT_EQ(readFile(g.layer + "/abs/f") + readFile(g.layer + "/up"), "12");
}

TEST(Layer, ROOT_HardLinksThroughLinksStayInside) {
  Guarded g;
  const std::string tar = TarBuilder().link("out", g.dir.path()).hardlink("h", "out/victim").bytes();
  EXPECT_THROW(unpack(tar, g.layer), Error);
}

TEST(Layer, ROOT_AFileIsNoDirectory) {
  Guarded g;
  expectError(Code::invalid, "'f' of the layer is no directory",
              [&] { unpack(TarBuilder().file("f", "x").file("f/g", "y").bytes(), g.layer); });
  expectError(Code::invalid, "root of the layer", [&] { unpack(TarBuilder().file("./", "x").bytes(), g.layer); });
}

TEST(Layer, ROOT_KeepsItsLimits) {
  TempDir dir;
  const std::string tar = TarBuilder().file("a", "12345").file("b", "12345").bytes();
  UnpackOptions nine;
  nine.maxBytes = 9;
  expectError(Code::invalid, "larger than 9 bytes (at 'b')", [&] { unpack(tar, dir.make("1"), nine); });
  UnpackOptions one;
  one.maxEntries = 1;
  expectError(Code::invalid, "more than 1 entries", [&] { unpack(tar, dir.make("2"), one); });
  UnpackOptions small;
  small.maxRecipeBytes = 1000;
  expectError(Code::invalid, "besides its files",
              [&] { unpack(TarBuilder().file("a", "x").bytes() + noise(4'000'000), dir.make("3"), small); });
}

TEST(Layer, ROOT_NamesThePathWhereTheDiskIsFull) {
  TempDir dir;
  const std::string mountPoint = dir.make("small");
  shell(dir.path(), "mount -t tmpfs -o size=128k none small");
  for (const size_t size : {100'000U, 900'000U}) {
    try {
      const std::string tar =
          TarBuilder().file("a", noise(size)).file("big", noise(size)).file("c", noise(size)).bytes();
      unpack(tar, mountPoint);
      ADD_FAILURE() << "no error";
    } catch (const SysError& e) {
      EXPECT_EQ(e.err(), ENOSPC);
      EXPECT_THAT(e.what(), ::testing::HasSubstr("write '"));
    }
  }
  shell(dir.path(), "umount small");
}

TEST(Layer, ROOT_SparseFilesStaySparse) {
  TempDir dir;
  shell(dir.path(),
        "mkdir in && truncate -s 50M in/s && printf x | dd of=in/s bs=1 seek=20000000 conv=notrunc "
        "2>/dev/null && tar -cf s.tar -S -C in s");
  const std::string tar = readFile(dir / "s.tar");
  const Unpacked got = unpack(tar, dir.make("layer"));
  EXPECT_EQ(lstatOf(dir / "layer/s").st_size, 50 << 20);
  EXPECT_LT(lstatOf(dir / "layer/s").st_blocks, 100);
  EXPECT_EQ(got.contentBytes, 50 << 20);
  EXPECT_TRUE(rebuilt(dir / "layer", got.recipe) == tar);
}

TEST(Layer, ROOT_CountsTrailingBytes) {
  expectRoundTrip(TarBuilder().file("a", "x").bytes() + std::string(8192, '\0'));
  expectRoundTrip(TarBuilder().file("a", "x").bytes() + noise(100'000));
  expectRoundTrip("");
  expectRoundTrip(std::string(1024, '\0'));
}

TEST(Layer, ROOT_KeepsContentThatNoFileGets) {
  TempDir dir;
  const std::string tar = TarBuilder().file(".wh.a", "a whiteout with content").file("b", noise(600'000)).bytes();
  expectRoundTrip(tar);
}

TEST(Layer, RefusesBrokenRecipes) {
  TempDir dir;
  const Unpacked got = unpack(TarBuilder().file("a", "content").bytes(), dir.path());
  expectError(Code::invalid, "broken tar recipe", [&] { rebuilt(dir.path(), "something else"); });
  expectError(Code::invalid, "", [&] { rebuilt(dir.path(), got.recipe.substr(0, got.recipe.size() - 3)); });
  writeFile(dir / "a", "short");
  expectError(Code::invalid, "layer file 'a' is shorter", [&] { rebuilt(dir.path(), got.recipe); });
  removeTree(dir / "a");
  ASSERT_EQ(::symlink("/etc/passwd", (dir / "a").c_str()), 0);
  expectError(Code::invalid, "layer file 'a' of a tar recipe is missing", [&] { rebuilt(dir.path(), got.recipe); });
}

class ToolLayer : public ::testing::TestWithParam<const char*> {};

TEST_P(ToolLayer, ROOT_RoundTripsBitForBit) {
  TempDir dir;
  shell(dir.path(),
        "mkdir -p in/sub && cp -a /etc/default /etc/apt /etc/terminfo in/ 2>/dev/null; "
        "echo a > in/a; ln in/a in/b; ln -s a in/l; mkfifo in/fifo; mknod in/dev c 1 3; truncate -s 1M "
        "in/sparse; printf x >> in/sparse; chmod 4755 in/a; setfattr -n user.x -v y in/b 2>/dev/null; "
        "echo long > in/$(printf 'x%.0s' $(seq 240)); head -c 900000 /dev/urandom > in/big");
  shell(dir.path(), GetParam());
  const std::string tar = readFile(dir / "out.tar");
  expectRoundTrip(tar);
}

INSTANTIATE_TEST_SUITE_P(
    Commands, ToolLayer,
    ::testing::Values("tar -cf out.tar --format=gnu -C in .", "tar -cSf out.tar --format=gnu in in",
                      "tar -cf out.tar --format=posix --xattrs in", "tar -cSf out.tar --format=posix in",
                      "tar -cf out.tar --format=ustar --exclude='xxx*' in",
                      "tar -cf out.tar --format=v7 --exclude='xxx*' in/a in/sub in/big", "tar -b 1 -cf out.tar in",
                      "python3 -c \"import tarfile; t=tarfile.open('out.tar','w',format=tarfile.PAX_FORMAT); "
                      "t.add('in'); t.close()\"",
                      "python3 -c \"import tarfile; t=tarfile.open('out.tar','w',format=tarfile.GNU_FORMAT); "
                      "t.add('in'); t.add('in/a'); t.close()\""));

TEST(LayerPack, ROOT_WritesWhatOverlayfsLeft) {
  TempDir dir;
  const std::string upper = dir.make("upper");
  shell(upper,
        "mkdir -p b/c opq; echo x > b/c/f; ln b/c/f a-link; ln -s nowhere l; mknod gone c 0 0; mknod b/gone c 0 0; "
        "mkfifo p; touch -d @1000.75 b/c/f; chmod 2755 b; chown 3:4 b");
  ASSERT_EQ(::setxattr((upper + "/opq").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::setxattr((upper + "/b").c_str(), "trusted.overlay.origin", "zz", 2, 0), 0);
  ASSERT_EQ(::setxattr((upper + "/b/c/f").c_str(), "user.u", "v", 1, 0), 0);
  Packed packed;
  const std::string tar = pack(upper, &packed);
  EXPECT_EQ(packed.contentBytes, 2);
  StringSource from(tar);
  TarReader reader(from);
  std::vector<std::string> names;
  while (const auto e = reader.next()) {
    names.push_back(e->name);
    if (e->name == "a-link") {
      EXPECT_EQ(e->mtimeNs, 1000'000'000'000);
      EXPECT_EQ(e->xattrs, (std::map<std::string, std::string>{{"user.u", "v"}}));
      EXPECT_EQ(e->uname, "");
    }
    if (e->name == "b/") {
      EXPECT_EQ(e->mode, 02755U);
      EXPECT_EQ(e->uid, 3U);
      EXPECT_TRUE(e->xattrs.empty());
    }
    if (e->name == "b/c/f") {
      EXPECT_EQ(e->type, TarType::hardlink);
      EXPECT_EQ(e->linkName, "a-link");
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a-link", "b/", "b/c/", "b/c/f", "b/.wh.gone", ".wh.gone", "l", "opq/",
                                             "opq/.wh..wh..opq", "p"}));
}

TEST(LayerPack, ROOT_UnpackedAndPackedAgainIsTheSame) {
  TempDir dir;
  const std::string upper = dir.make("upper");
  shell(upper,
        "cp -a /etc/apt /etc/default . 2>/dev/null; mkdir -p d/e o; mknod d/w c 0 0; head -c 100000 /dev/urandom > "
        "d/e/r; head -c 16384 /dev/urandom > d/e/edge; head -c 16385 /dev/urandom > d/e/edge2; : > d/empty; "
        "head -c 3000000 /dev/urandom > big; ln big d/big2; mknod null c 1 3; ln -s x d/s; chmod 1777 d");
  ASSERT_EQ(::setxattr((upper + "/o").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  const std::string tar = pack(upper);
  const Unpacked got = unpack(tar, dir.make("again"));
  EXPECT_EQ(got.diffIdHex, sha256Hex(tar));
  EXPECT_TRUE(pack(dir / "again") == tar);
  EXPECT_TRUE(rebuilt(dir / "again", got.recipe) == tar);
}

TEST(LayerPack, ROOT_LeavesSocketsOutAndRefusesWhatItCannotSay) {
  TempDir dir;
  shell(dir.make("s"), "python3 -c \"import socket; s=socket.socket(socket.AF_UNIX); s.bind('sock')\"");
  EXPECT_EQ(pack(dir / "s"), std::string(1024, '\0'));
  writeFile(dir.make("w") + "/.wh.x", "");
  expectError(Code::invalid, ".wh.x'", [&] { pack(dir / "w"); });
  dir.make("r/moved");
  ASSERT_EQ(::setxattr((dir / "r/moved").c_str(), "trusted.overlay.redirect", "/x", 2, 0), 0);
  expectError(Code::not_implemented, "'/moved/'", [&] { pack(dir / "r"); });
}

TEST(TreePack, ROOT_LeavesOutWhiteoutsAndKeepsTimes) {
  TempDir dir;
  shell(dir.path(), "mkdir t; cd t; mkdir d; echo x > d/f; ln d/f d/g; ln -s f d/l; touch -d '@1000.123456789' d/f");
  ASSERT_EQ(::mknod((dir / "t/gone").c_str(), S_IFCHR, 0), 0);
  ASSERT_EQ(::setxattr((dir / "t/d").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  StringSink out;
  packTree(openDir(dir / "t").get(), out, true);
  StringSource from(out.bytes);
  TarReader reader(from);
  std::vector<std::string> names;
  while (const auto entry = reader.next()) {
    names.push_back(entry->name);
    if (entry->type == TarType::file) {
      EXPECT_EQ(entry->mtimeNs, 1'000'123'456'789);
    }
    EXPECT_EQ(entry->type == TarType::hardlink, entry->name == "d/g");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"d/", "d/f", "d/g", "d/l"}));
}

class FullSink : public Sink {
 public:
  void write(const void*, size_t) override { throw SysError(ENOSPC, "write 'out'"); }
};

TEST(LayerPack, ROOT_StopsWhenTheSinkFails) {
  TempDir dir;
  shell(dir.path(), "head -c 30000000 /dev/urandom > big");
  FullSink sink;
  EXPECT_THROW(packLayer(openDir(dir.path()).get(), &sink), SysError);
}

}  // namespace
}  // namespace estiba::archive
