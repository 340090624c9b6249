#include "archive/extract.h"

#include "archive/compression.h"
#include "archive/test_util.h"

namespace estiba::archive {
namespace {

Extracted extract(const std::string& tar, const std::string& root, const std::string& dest,
                  const ExtractOptions& options = {}) {
  StringSource from(tar);
  return extractArchive(from, RootDir::open(root), dest, options);
}

bool looks(const std::string& bytes) {
  TempDir dir;
  writeFile(dir / "x", bytes);
  const Fd fd = openFile(dir / "x", O_RDONLY);
  const bool out = looksLikeArchive(fd.get());
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 0);
  return out;
}

std::string gzipped(const std::string& bytes) {
  StringSink out;
  const auto c = compressing(Compression::gzip, 6, out);
  c->write(bytes.data(), bytes.size());
  c->finish();
  return out.bytes;
}

TEST(Extract, DecidesByTheFirstHeader) {
  const std::string tar = TarBuilder().file("f", "x").bytes();
  EXPECT_TRUE(looks(tar));
  EXPECT_TRUE(looks(gzipped(tar)));
  EXPECT_FALSE(looks(""));
  EXPECT_FALSE(looks("just text"));
  EXPECT_FALSE(looks(gzipped("just text, compressed")));
  EXPECT_FALSE(looks(std::string(10240, '\0')));
  EXPECT_FALSE(looks("\x1f\x8b\x08 broken gzip"));
  EXPECT_FALSE(looks(tar.substr(0, 300)));
}

TEST(Extract, ROOT_WritesIntoATreeThatIsThere) {
  TempDir dir;
  shell(dir.path(),
        "mkdir -p root/usr/lib root/opt; ln -s usr/lib root/lib; ln -s /opt root/data; echo old > root/opt/f");
  TarBuilder b;
  b.file("lib/x.so", "lib").file("f", "new", 0600).dir("sub", 0711).file("sub/.wh.plain", "no whiteout");
  const Extracted got = extract(gzipped(b.bytes()), dir / "root", "/");
  EXPECT_EQ(got.entries, 4U);
  EXPECT_EQ(readFile(dir / "root/usr/lib/x.so"), "lib");
  EXPECT_EQ(readLink(dir / "root/lib"), "usr/lib");
  EXPECT_EQ(readFile(dir / "root/sub/.wh.plain"), "no whiteout");
  extract(TarBuilder().file("f", "new").file("deep/er", "d").bytes(), dir / "root", "/data");
  EXPECT_EQ(readFile(dir / "root/opt/f"), "new");
  EXPECT_EQ(readFile(dir / "root/opt/deep/er"), "d");
  EXPECT_EQ(readLink(dir / "root/data"), "/opt");
}

TEST(Extract, ROOT_MakesTheDestinationAndGivesOwners) {
  TempDir dir;
  ExtractOptions options;
  options.uid = 7;
  options.gid = 8;
  dir.make("root");
  extract(TarBuilder().file("implied/f", "x").bytes(), dir / "root", "/a/b", options);
  for (const char* name : {"root/a", "root/a/b", "root/a/b/implied", "root/a/b/implied/f"}) {
    EXPECT_EQ(lstatOf(dir / name).st_uid, 7U) << name;
    EXPECT_EQ(lstatOf(dir / name).st_gid, 8U) << name;
  }
}

TEST(Extract, ROOT_KeepsTheDestinationDirectoryAsItIs) {
  TempDir dir;
  dir.make("root/d");
  ASSERT_EQ(::chmod((dir / "root/d").c_str(), 0701), 0);
  extract(TarBuilder().dir("./", 0777).file("./f", "x").bytes(), dir / "root", "d");
  EXPECT_EQ(lstatOf(dir / "root/d").st_mode & 07777, 0701U);
}

TEST(Extract, ROOT_NothingOutsideIsTouched) {
  TempDir dir;
  shell(dir.path(), "mkdir -p root/d outside; echo secret > victim; ln -s ../../outside root/up; ln -s '" + dir.path() +
                        "/outside' root/abs");
  EXPECT_THROW(extract(TarBuilder().file("up/x", "x").bytes(), dir / "root", "/"), Error);
  // Absolute links start at the root: a directory of that name is not there.
  EXPECT_THROW(extract(TarBuilder().file("abs/x", "x").bytes(), dir / "root", "/"), Error);
  expectError(Code::invalid, "leads out of the archive",
              [&] { extract(TarBuilder().file("../x", "x").bytes(), dir / "root", "/d"); });
  expectError(Code::invalid, "leads out of the archive",
              [&] { extract(TarBuilder().hardlink("x", "../../victim").bytes(), dir / "root", "/d"); });
  EXPECT_TRUE(listDir(dir / "outside").empty());
  EXPECT_EQ(readFile(dir / "victim"), "secret\n");
}

TEST(Extract, ROOT_RefusesOnRequest) {
  TempDir dir;
  shell(dir.path(), "mkdir -p root/d; echo f > root/f");
  ExtractOptions options;
  options.noOverwriteDirNonDir = true;
  options.devices = false;
  options.maxEntries = 1;
  expectError(Code::invalid, "cannot overwrite directory \"d\" with non-directory",
              [&] { extract(TarBuilder().file("d", "x").bytes(), dir / "root", "/", options); });
  expectError(Code::invalid, "cannot overwrite non-directory \"f\" with directory",
              [&] { extract(TarBuilder().dir("f").bytes(), dir / "root", "/", options); });
  expectError(Code::forbidden, "is a device", [&] {
    extract(TarBuilder().node("sda", TarType::blockDevice, 0600, 8, 0).bytes(), dir / "root", "/", options);
  });
  expectError(Code::invalid, "more than 1 entries",
              [&] { extract(TarBuilder().file("a", "").file("b", "").bytes(), dir / "root", "/", options); });
}

TEST(Extract, ROOT_TruncatedArchivesAreErrors) {
  TempDir dir;
  const std::string zipped = gzipped(TarBuilder().file("a", noise(100'000)).bytes());
  expectError(Code::invalid, "gzip: unexpected end", [&] { extract(zipped.substr(0, 50'000), dir.path(), "/"); });
}

class Foreign : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Foreign, ROOT_IsUnpackedConfined) {
  const auto& [program, command] = GetParam();
  if (!haveProgram(program)) GTEST_SKIP() << program << " is not installed";
  TempDir dir;
  shell(dir.path(),
        "mkdir -p in/sub; echo hello > in/a; head -c 700000 /dev/urandom > in/sub/big; chmod 750 in/a; "
        "echo u > in/größe");
  shell(dir / "in", command);
  const Fd fd = openFile(dir / "out", O_RDONLY);
  EXPECT_FALSE(looksLikeArchive(fd.get()));
  EXPECT_TRUE(looksLikeForeignArchive(fd.get()));
  dir.make("root");
  const Extracted got = extractForeign(fd.get(), RootDir::open(dir / "root"), "/to");
  EXPECT_GE(got.entries, 3U);
  EXPECT_EQ(readFile(dir / "root/to/a"), "hello\n");
  EXPECT_EQ(readFile(dir / "root/to/sub/big"), readFile(dir / "in/sub/big"));
  EXPECT_EQ(readFile(dir / "root/to/größe"), "u\n");
  ExtractOptions small;
  small.maxBytes = 1000;
  expectError(Code::invalid, "larger than 1000 bytes",
              [&] { extractForeign(fd.get(), RootDir::open(dir / "root"), "/to", small); });
}

INSTANTIATE_TEST_SUITE_P(Programs, Foreign,
                         ::testing::Values(std::pair{"zip", "zip -qr ../out.zip . && mv ../out.zip ../out"},
                                           std::pair{"7z", "7z a ../out.7z . && mv ../out.7z ../out"},
                                           std::pair{"cpio", "find . | cpio -o -H newc > ../out 2>/dev/null"}));

TEST(Extract, ROOT_ZipsWithHostileNamesStayInside) {
  if (!haveProgram("python3")) GTEST_SKIP() << "python3 is not installed";
  TempDir dir;
  shell(dir.path(),
        "python3 -c \"import zipfile; z=zipfile.ZipFile('up.zip','w'); z.writestr('../victim','x'); z.close(); "
        "z=zipfile.ZipFile('link.zip','w'); i=zipfile.ZipInfo('l'); i.create_system=3; "
        "i.external_attr=0o120777<<16; z.writestr(i,'" +
            dir.path() + "'); z.writestr('l/victim','x'); z.close()\"");
  dir.make("root");
  const Fd up = openFile(dir / "up.zip", O_RDONLY);
  expectError(Code::invalid, "leads out", [&] { extractForeign(up.get(), RootDir::open(dir / "root"), "/"); });
  const Fd link = openFile(dir / "link.zip", O_RDONLY);
  EXPECT_THROW(extractForeign(link.get(), RootDir::open(dir / "root"), "/"), Error);
  EXPECT_FALSE(exists(dir / "victim"));
  writeFile(dir / "text", "no archive at all");
  EXPECT_FALSE(looksLikeForeignArchive(openFile(dir / "text", O_RDONLY).get()));
}

}  // namespace
}  // namespace estiba::archive
