#include "engine/presence.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/file.h"

namespace estiba::engine {

namespace {

// Each Presence has its own descriptor, and so its own locks, as a process has.
class PresenceTest : public ::testing::Test {
 protected:
  PresenceTest() {
    if (::mkdtemp(dir_) == nullptr) throw SysError(errno, "make a temporary directory");
    enter();  // the first one ever recovers: nobody knows what was before
    recovered_ = 0;
  }
  ~PresenceTest() override { removeTree(dir_); }

  std::string path() const { return std::string(dir_) + "/engines"; }
  void enter() {
    Presence presence(path());
    presence.begin([this] { ++recovered_; });
  }
  void die() {
    const pid_t child = ::fork();
    if (child == 0) {
      Presence presence(path());
      const auto work = presence.begin([] {});
      ::_exit(0);  // no destructor runs, as after kill -9
    }
    ::waitpid(child, nullptr, 0);
  }

  char dir_[32] = "/tmp/estiba-presence-XXXXXX";
  int recovered_ = 0;
};

}  // namespace

TEST_F(PresenceTest, RecoversOnceAfterADeathAtWork) {
  die();
  enter();
  EXPECT_EQ(recovered_, 1);
  enter();
  EXPECT_EQ(recovered_, 1);
}

TEST_F(PresenceTest, NobodyRecoversAfterACleanEnd) {
  enter();
  enter();
  EXPECT_EQ(recovered_, 0);
}

TEST_F(PresenceTest, TheLivingAreNoGraves) {
  Presence alive(path());
  const auto work = alive.begin([this] { ++recovered_; });
  enter();
  EXPECT_EQ(recovered_, 0);
}

TEST_F(PresenceTest, ManyGravesAreOneRecovery) {
  {
    Presence alive(path());
    const auto work = alive.begin([] {});
    die();
    die();
  }
  enter();
  EXPECT_EQ(recovered_, 1);
  enter();
  EXPECT_EQ(recovered_, 1);
}

TEST_F(PresenceTest, ARecoveryThatFailsIsTriedAgain) {
  die();
  {
    Presence presence(path());
    presence.begin([] { fail(Code::internal, "no"); });
  }
  enter();
  EXPECT_EQ(recovered_, 1);
}

TEST_F(PresenceTest, WhatCouldNotBeUndoneIsRecovered) {
  {
    Presence presence(path());
    const auto work = presence.begin([this] { ++recovered_; });
    presence.leaveUnclean();
  }
  enter();
  EXPECT_EQ(recovered_, 1);
}

TEST_F(PresenceTest, WhoOnlyJoinsLeavesTheGraveToOthers) {
  die();
  {
    Presence presence(path());
    const auto work = presence.join();
  }
  enter();
  EXPECT_EQ(recovered_, 1);
}

TEST_F(PresenceTest, ARecoveryMayJoin) {
  die();
  Presence presence(path());
  bool done = false;
  presence.begin([&] {
    const auto work = presence.join();
    done = true;
  });
  EXPECT_TRUE(done);
}

TEST_F(PresenceTest, AnotherBootRecovers) {
  std::string bytes = readFile(path());
  bytes[0] = bytes[0] == 'x' ? 'y' : 'x';
  writeFile(path(), bytes);
  enter();
  enter();
  EXPECT_EQ(recovered_, 1);
}

}  // namespace estiba::engine
