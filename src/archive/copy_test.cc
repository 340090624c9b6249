#include "archive/copy.h"

#include "archive/test_util.h"

namespace estiba::archive {
namespace {

class Copy : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_.make("src");
    dir_.make("dst");
  }
  Copied copy(const std::string& from, const std::string& to, const CopyOptions& options = {}) {
    return copyTree(RootDir::open(dir_ / "src"), from, RootDir::open(dir_ / "dst"), to, options);
  }
  TempDir dir_;
};

TEST_F(Copy, ROOT_KeepsEverything) {
  shell(dir_ / "src",
        "mkdir -p d/e; echo x > d/f; ln d/f d/e/hard; ln -s ../f d/e/link; mkfifo d/p; mknod d/n c 1 3; "
        "chown 3:4 d/f d/e; chmod 4755 d/f; setfattr -n user.a -v b d/f 2>/dev/null; : > d/empty; "
        "head -c 3000000 /dev/urandom > d/big; touch -h -d @1000.5 d/f d/e/link d/e; touch -d @2000 d; "
        "chmod 1711 d");
  ASSERT_EQ(::setxattr((dir_ / "src/d/f").c_str(), "user.k", "v", 1, 0), 0);
  const Copied got = copy("d", "/to");
  EXPECT_EQ(got.directories, 2U);
  EXPECT_EQ(got.files, 7U);
  EXPECT_EQ(got.bytes, 3'000'002);
  shell(dir_.path(), "diff -r --no-dereference src/d dst/to --exclude=p --exclude=n");
  EXPECT_EQ(lstatOf(dir_ / "dst/to/f").st_mode, S_IFREG | 04755U);
  EXPECT_EQ(lstatOf(dir_ / "dst/to/f").st_uid, 3U);
  EXPECT_EQ(lstatOf(dir_ / "dst/to/f").st_ino, lstatOf(dir_ / "dst/to/e/hard").st_ino);
  EXPECT_EQ(lstatOf(dir_ / "dst/to/f").st_mtim.tv_nsec, 500'000'000);
  EXPECT_EQ(lstatOf(dir_ / "dst/to/e/link").st_mtim.tv_sec, 1000);
  EXPECT_EQ(lstatOf(dir_ / "dst/to/e").st_mtim.tv_sec, 1000);
  EXPECT_EQ(lstatOf(dir_ / "dst/to").st_mtim.tv_sec, 2000);
  EXPECT_EQ(lstatOf(dir_ / "dst/to").st_mode, S_IFDIR | 01711U);
  EXPECT_EQ(lstatOf(dir_ / "dst/to/n").st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISFIFO(lstatOf(dir_ / "dst/to/p").st_mode));
  EXPECT_EQ(xattrOf(dir_ / "dst/to/f", "user.k"), "v");
}

TEST_F(Copy, ROOT_GivesOwnersAndModes) {
  shell(dir_ / "src", "mkdir d; echo x > d/f; ln -s f d/l");
  CopyOptions options;
  options.chown = {10, 20};
  options.chmod = [](mode_t, bool directory) { return directory ? 0750 : 0640; };
  options.preserveTimes = false;
  copy("d", "/new/parent/to", options);
  for (const char* name :
       {"dst/new", "dst/new/parent", "dst/new/parent/to", "dst/new/parent/to/f", "dst/new/parent/to/l"}) {
    EXPECT_EQ(lstatOf(dir_ / name).st_uid, 10U) << name;
    EXPECT_EQ(lstatOf(dir_ / name).st_gid, 20U) << name;
  }
  EXPECT_EQ(lstatOf(dir_ / "dst/new").st_mode & 07777, 0755U);
  EXPECT_EQ(lstatOf(dir_ / "dst/new/parent/to").st_mode & 07777, 0750U);
  EXPECT_EQ(lstatOf(dir_ / "dst/new/parent/to/f").st_mode & 07777, 0640U);
}

TEST_F(Copy, ROOT_FiltersAndMakesDirectoriesOnlyForWhatIsInside) {
  shell(dir_ / "src",
        "mkdir -p a/b none/x skip; echo 1 > a/b/keep; echo 2 > a/b/drop; echo 3 > none/x/drop; echo 4 > skip/keep");
  CopyOptions options;
  options.filter = [](const std::string& path, const struct stat& st) {
    if (path == "skip") return Pick::skip;
    if (S_ISDIR(st.st_mode)) return Pick::inside_only;
    return path.ends_with("keep") ? Pick::take : Pick::skip;
  };
  copy("/", "/to", options);
  EXPECT_EQ(readFile(dir_ / "dst/to/a/b/keep"), "1\n");
  EXPECT_EQ(listDir(dir_ / "dst/to"), std::vector<std::string>{"a"});
  EXPECT_EQ(listDir(dir_ / "dst/to/a/b"), std::vector<std::string>{"keep"});
}

TEST_F(Copy, ROOT_MergesDirectoriesAndReplacesFiles) {
  shell(dir_ / "src", "mkdir d; echo new > d/f; echo g > d/g");
  shell(dir_ / "dst", "mkdir d; chmod 700 d; echo old > d/f; echo kept > d/kept; ln -s f d/g");
  CopyOptions options;
  options.updateExistingDirs = false;
  copy("d", "d", options);
  EXPECT_EQ(readFile(dir_ / "dst/d/f"), "new\n");
  EXPECT_EQ(readFile(dir_ / "dst/d/kept"), "kept\n");
  EXPECT_TRUE(S_ISREG(lstatOf(dir_ / "dst/d/g").st_mode));
  EXPECT_EQ(lstatOf(dir_ / "dst/d").st_mode & 07777, 0700U);
}

TEST_F(Copy, ROOT_SaysAsDockerWhatIsInTheWay) {
  shell(dir_ / "src", "mkdir -p d/x; echo f > f");
  shell(dir_ / "dst", "mkdir -p d f/full; echo file > d/x; : > f/full/y");
  expectError(Code::invalid, "cannot copy to non-directory: /d/x", [&] { copy("d", "d"); });
  expectError(Code::invalid, "cannot replace to directory /f with file", [&] { copy("f", "f"); });
  CopyOptions options;
  options.replace = true;
  copy("d", "d", options);
  copy("f", "f", options);
  EXPECT_TRUE(S_ISDIR(lstatOf(dir_ / "dst/d/x").st_mode));
  EXPECT_EQ(readFile(dir_ / "dst/f"), "f\n");
}

TEST_F(Copy, ROOT_LinksStayInsideTheirRoots) {
  shell(dir_.path(),
        "mkdir outside; echo secret > outside/s; ln -s ../outside src/up; ln -s /real src/in; mkdir src/real; "
        "echo r > src/real/f; ln -s /lib dst/link; mkdir dst/lib; ln -s ../../outside dst/out; "
        "ln -s /there dst/dangling");
  expectError(Code::not_found, "'up/s' is not there", [&] { copy("up/s", "x"); });
  copy("in", "link");
  EXPECT_EQ(readFile(dir_ / "dst/lib/f"), "r\n");
  EXPECT_EQ(readLink(dir_ / "dst/link"), "/lib");
  copy("real/f", "out/f");
  EXPECT_EQ(listDir(dir_ / "outside"), std::vector<std::string>{"s"});
  copy("real/f", "dangling");
  EXPECT_EQ(readFile(dir_ / "dst/there"), "r\n");
}

TEST_F(Copy, ROOT_HolesStayHoles) {
  shell(dir_ / "src", "truncate -s 40M s; printf x | dd of=s bs=1 seek=20000000 conv=notrunc 2>/dev/null");
  copy("s", "s");
  EXPECT_EQ(lstatOf(dir_ / "dst/s").st_size, 40 << 20);
  EXPECT_LT(lstatOf(dir_ / "dst/s").st_blocks, 100);
  shell(dir_.path(), "cmp src/s dst/s");
}

TEST_F(Copy, ROOT_CopiesTheRootItself) {
  shell(dir_ / "src", "mkdir a; echo x > a/f; ln a/f hard; chmod 711 .");
  copy("/", "/");
  EXPECT_EQ(readFile(dir_ / "dst/a/f"), "x\n");
  EXPECT_EQ(lstatOf(dir_ / "dst/a/f").st_ino, lstatOf(dir_ / "dst/hard").st_ino);
  EXPECT_EQ(lstatOf(dir_ / "dst").st_mode & 07777, 0711U);
}

TEST_F(Copy, ROOT_AFullDiskNamesTheFile) {
  shell(dir_.path(),
        "mkdir small; mount -t tmpfs -o size=200k none small; head -c 1500000 /dev/urandom > src/big; "
        "head -c 300000 /dev/urandom > src/middle");
  for (const char* name : {"big", "middle"}) {
    try {
      copyTree(RootDir::open(dir_ / "src"), name, RootDir::open(dir_ / "small"), name);
      ADD_FAILURE() << "no error";
    } catch (const SysError& e) {
      EXPECT_EQ(e.err(), ENOSPC);
      EXPECT_THAT(e.what(), ::testing::HasSubstr(std::string("write '/") + name));
    }
  }
  shell(dir_.path(), "umount small");
}

}  // namespace
}  // namespace estiba::archive
