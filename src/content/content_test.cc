#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/kill_point.h"
#include "base/text.h"
#include "content/store.h"
#include "sys/file.h"

namespace estiba::content {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ContentTest : public ::testing::Test {
 protected:
  ContentTest() {
    pool_.get()->migrate({kSchema, {"test", {"CREATE TABLE uses (digest TEXT REFERENCES blob (digest)) STRICT"}}});
  }
  ~ContentTest() override { std::filesystem::remove_all(root_); }

  static std::string makeRoot() {
    std::string path = ::testing::TempDir() + "content-" + randomHex(6);
    makeDirs(path);
    return path;
  }
  std::string file(const oci::Digest& d) const { return root_ + "/content/sha256/" + std::string(d.hex()); }
  void refer(const oci::Digest& d) { pool_.get()->prepare("INSERT INTO uses VALUES (?)").bind(d.str()).run(); }

  std::string root_ = makeRoot();
  db::Pool pool_{root_ + "/db"};
  Store store_{pool_, root_};
};

TEST_F(ContentTest, KeepsBytesByTheirDigest) {
  Lease lease;
  const auto digest = store_.put("{}", "config", lease);
  EXPECT_EQ(digest, oci::Digest::of("{}"));
  EXPECT_EQ(store_.get(digest), "{}");
  EXPECT_EQ(store_.put("{}", "config", lease), digest);
  EXPECT_THAT(store_.list(), SizeIs(1));
  EXPECT_EQ(store_.tryGet(oci::Digest::of("x")), std::nullopt);
  EXPECT_THROW(store_.get(oci::Digest::of("x")), Error);
}

TEST_F(ContentTest, NeverHandsOutDamagedBytes) {
  Lease lease;
  const auto digest = store_.put("good", "config", lease);
  writeFile(file(digest), "evil");
  EXPECT_THROW(store_.get(digest), Error);
  EXPECT_THAT(store_.check(), SizeIs(1));
}

TEST_F(ContentTest, CollectsWhatNeitherARowNorALeaseKeeps) {
  auto lease = std::make_unique<Lease>();
  const auto held = store_.put("held", "config", *lease);
  oci::Digest referred, loose;
  {
    Lease shortLease;
    referred = store_.put("referred", "config", shortLease);
    refer(referred);
    loose = store_.put("loose", "config", shortLease);
  }
  const auto gone = store_.collect();
  ASSERT_THAT(gone, SizeIs(1));
  EXPECT_EQ(gone[0].digest, loose);
  EXPECT_FALSE(exists(file(loose)));
  lease.reset();
  EXPECT_THAT(store_.collect(), SizeIs(1));
  EXPECT_EQ(store_.get(referred), "referred");
  EXPECT_THAT(store_.check(), IsEmpty());
  Lease again;
  EXPECT_FALSE(store_.hold(loose, again));
  EXPECT_TRUE(store_.hold(referred, again));
}

TEST_F(ContentTest, AKilledWriterLeavesNothingBehind) {
  for (const char* point : {"content.put.renamed", "content.collect.committed"}) {
    const pid_t child = ::fork();
    if (child == 0) {
      static const char* wanted;
      wanted = point;
      killHook = [](const char* name) {
        if (std::strcmp(name, wanted) == 0) ::raise(SIGKILL);
      };
      db::Pool pool(root_ + "/db");
      Store store(pool, root_);
      {
        Lease lease;
        store.put("half", "config", lease);
      }
      store.collect();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << point;
    EXPECT_THAT(store_.check(), SizeIs(1)) << point;
    store_.recover();
    EXPECT_THAT(store_.check(), IsEmpty()) << point;
    EXPECT_THAT(listDir(root_ + "/content/sha256"), IsEmpty()) << point;
    Lease lease;
    EXPECT_EQ(store_.get(store_.put("half", "config", lease)), "half");
    lease.drop();
    store_.collect();
  }
}

TEST_F(ContentTest, ATornFileWithoutARowIsWrittenAnew) {
  const auto digest = oci::Digest::of("whole");
  writeFile(file(digest), "who");
  Lease lease;
  EXPECT_EQ(store_.put("whole", "config", lease), digest);
  EXPECT_EQ(store_.get(digest), "whole");
}

}  // namespace
}  // namespace estiba::content
