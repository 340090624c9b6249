#include "sys/overlay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba {
namespace {

class OverlayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    dir_ = "/tmp/estiba-overlay-test-" + randomHex(16);
    for (const char* name : {"upper", "work", "scratch"}) makeDirs(dir_ + "/" + name);
  }
  void TearDown() override {
    if (dir_.empty()) return;
    removeTree(dir_);
    EXPECT_EQ(readFile("/proc/self/mountinfo").find(dir_), std::string::npos) << "a mount is left";
  }
  std::string layer(const std::string& name) {
    makeDir(dir_ + "/" + name);
    return dir_ + "/" + name;
  }
  OverlayStack writable() {
    OverlayStack stack;
    stack.lowers = {layer("base")};
    stack.upper = dir_ + "/upper";
    stack.work = dir_ + "/work";
    return stack;
  }
  static std::string at(const Fd& mount) { return fmt::format("/proc/self/fd/{}", mount.get()); }
  Fd mounted(const OverlayStack& stack) {
    return mountOverlay(stack, [&] { return dir_ + "/scratch"; });
  }
  static int errorOfWriting(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return fd ? 0 : errno;
  }

  std::string dir_;
};

TEST_F(OverlayTest, ROOT_120LayersByContextAndByPage) {
  OverlayStack stack;
  for (int i = 0; i < 120; ++i) {
    stack.lowers.push_back(layer(fmt::format("l{}-{}", i, std::string(40, 'x'))));
    writeFile(fmt::format("{}/f{}", stack.lowers.back(), i), std::to_string(i));
    writeFile(stack.lowers.back() + "/same", std::to_string(i));
  }
  stack.upper = dir_ + "/upper";
  stack.work = dir_ + "/work";
  stack.volatile_ = true;
  const std::string here = std::filesystem::current_path();
  for (const bool byPage : {false, true}) {
    const Fd mount = byPage ? mountOverlayByPage(stack, dir_ + "/scratch") : mounted(stack);
    EXPECT_TRUE(exists(at(mount) + "/f0") && exists(at(mount) + "/f119"));
    EXPECT_EQ(readFile(at(mount) + "/same"), "0");
    const std::string made = byPage ? "/page" : "/context";
    writeFile(at(mount) + made, "x");
    EXPECT_TRUE(exists(dir_ + "/upper" + made));
    removeTree(dir_ + "/work/work/incompat");
  }
  EXPECT_EQ(std::filesystem::current_path(), here);
}

TEST_F(OverlayTest, ROOT_WithoutAnUpperDirectoryNothingIsWritten) {
  OverlayStack one;
  one.lowers = {layer("a")};
  OverlayStack two = one;
  two.lowers.push_back(layer("b"));
  for (const auto& stack : {one, two}) {
    EXPECT_EQ(errorOfWriting(at(mounted(stack)) + "/x"), EROFS);
    if (stack.lowers.size() == 2) {
      EXPECT_EQ(errorOfWriting(at(mountOverlayByPage(stack, dir_ + "/scratch")) + "/x"), EROFS);
    }
  }
  OverlayStack readonly = writable();
  readonly.readonly = true;
  EXPECT_EQ(errorOfWriting(at(mounted(readonly)) + "/x"), EROFS);
}

TEST_F(OverlayTest, ROOT_AVolatileDirectoryIsUsedTwice) {
  OverlayStack stack = writable();
  stack.volatile_ = true;
  for (const char* name : {"/1", "/2"}) writeFile(at(mounted(stack)) + name, "x");
  EXPECT_TRUE(exists(dir_ + "/upper/1") && exists(dir_ + "/upper/2"));
}

TEST_F(OverlayTest, ROOT_AMissingLayerIsAnErrorThatNamesIt) {
  OverlayStack stack;
  stack.lowers = {layer("a"), dir_ + "/nolayer"};
  try {
    mounted(stack);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("nolayer"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace estiba
