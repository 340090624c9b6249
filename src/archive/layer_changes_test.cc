#include "archive/layer.h"
#include "archive/test_util.h"

namespace estiba::archive {
namespace {

/// A real overlay mount, so that the kernel itself makes the upper directory.
class LayerChanges : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"top", "bottom", "upper", "work", "merged"}) dir_.make(name);
  }
  void TearDown() override {
    if (mounted_) shell(dir_.path(), "umount merged");
  }
  void mount() {
    shell(dir_.path(),
          "mount -t overlay none -o lowerdir=top:bottom,upperdir=upper,workdir=work,redirect_dir=off,"
          "metacopy=off merged");
    mounted_ = true;
  }
  std::vector<std::string> changes() {
    const Fd top = openDir(dir_ / "top");
    const Fd bottom = openDir(dir_ / "bottom");
    std::vector<std::string> out;
    for (const auto& c : layerChanges(openDir(dir_ / "upper").get(), {top.get(), bottom.get()})) {
      out.push_back(std::string(1, changeLetter(c.kind)) + " " + c.path);
    }
    return out;
  }
  using Lines = std::vector<std::string>;

  TempDir dir_;
  bool mounted_ = false;
};

TEST_F(LayerChanges, ROOT_TellsAddedChangedAndDeletedAsDockerDoes) {
  shell(dir_ / "bottom", "mkdir -p etc/apt usr/bin; echo a > etc/apt/list; echo b > etc/passwd; echo c > usr/bin/x");
  shell(dir_ / "top", "mkdir -p etc; echo t > etc/top");
  mount();
  EXPECT_EQ(changes(), Lines{});
  shell(dir_ / "merged",
        "echo more >> etc/passwd; rm etc/top; mkdir -p new/sub; echo n > new/sub/f; rm -r etc/apt; "
        "chmod 700 usr/bin");
  EXPECT_EQ(changes(), (Lines{"C /etc", "D /etc/apt", "C /etc/passwd", "D /etc/top", "A /new", "A /new/sub",
                              "A /new/sub/f", "C /usr", "C /usr/bin"}));
}

TEST_F(LayerChanges, ROOT_SaysNothingOfWhatIsAsBefore) {
  shell(dir_ / "bottom", "mkdir -p d; echo a > d/f");
  mount();
  shell(dir_ / "merged", "touch -d @5 d/g; rm d/g; chown 1 d/f; chown 0 d/f");  // copied up, yet the same
  EXPECT_EQ(changes(), Lines{});
}

TEST_F(LayerChanges, ROOT_AnOpaqueDirectoryDeletesWhatItHides) {
  shell(dir_ / "bottom", "mkdir -p d/sub; echo a > d/f; echo b > d/g; echo c > d/sub/x");
  shell(dir_ / "top", "mkdir d; mknod d/g c 0 0; echo t > d/t");
  mount();
  shell(dir_ / "merged", "rm -r d; mkdir d; echo new > d/f; echo h > d/h");
  EXPECT_EQ(changes(), (Lines{"C /d", "C /d/f", "A /d/h", "D /d/sub", "D /d/t"}));
}

TEST_F(LayerChanges, ROOT_AFileInADirectorysPlaceIsAChange) {
  shell(dir_ / "bottom", "mkdir -p d/sub; echo a > d/f; echo b > g");
  mount();
  shell(dir_ / "merged", "rm -r d; echo file > d; rm g; mkdir g; echo x > g/x");
  EXPECT_EQ(changes(), (Lines{"C /d", "C /g", "A /g/x"}));
}

TEST_F(LayerChanges, ROOT_CountsCapabilities) {
  shell(dir_ / "bottom", "echo a > f; touch -d @1000 f");
  mount();
  shell(dir_ / "merged", "chown 0 f");
  const std::string caps("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  ASSERT_EQ(::setxattr((dir_ / "merged/f").c_str(), "security.capability", caps.data(), caps.size(), 0), 0);
  EXPECT_EQ(changes(), (Lines{"C /f"}));
}

TEST_F(LayerChanges, ROOT_WhatIsCommittedLooksTheSameFromTheImage) {
  shell(dir_ / "bottom", "mkdir -p d/sub; echo a > d/f; echo b > g");
  mount();
  shell(dir_ / "merged", "rm -r d; mkdir d; echo x > d/x; rm g; ln d/x y");
  StringSink tar;
  packLayer(openDir(dir_ / "upper").get(), &tar);
  StringSource from(tar.bytes);
  unpackLayer(from, openDir(dir_.make("image")).get());
  dir_.make("view");
  shell(dir_.path(), "mount -t overlay none -o lowerdir=image:top:bottom view; diff -r merged view; umount view");
}

}  // namespace
}  // namespace estiba::archive
