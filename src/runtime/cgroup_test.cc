#include "runtime/cgroup.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/sysmacros.h>

#include "runtime/cgroup_limits.h"
#include "runtime/test_bundle.h"

namespace estiba::runtime {
namespace {

using ::testing::HasSubstr;

class CgroupTest : public RuntimeTest {
 protected:
  std::string valueOf(const CgroupSet& set, const char* controller, const char* file) {
    for (const auto& group : set.groups()) {
      if (group.has(controller)) return readCgroupFile(group.dir, file).value_or("(missing)");
    }
    return "(no controller)";
  }
  bool v1(const char* controller) {
    for (const auto& h : cgroupHierarchies()) {
      if (!h.v2 && h.has(controller)) return true;
    }
    return false;
  }
};

TEST_F(CgroupTest, ROOT_LimitsReachTheKernel) {
  if (!v1("memory") || !v1("cpu") || !v1("pids") || !v1("cpuset")) GTEST_SKIP() << "needs cgroup v1";
  oci::LinuxResources& r = *config().resources;
  r.memory = oci::LinuxMemory{};
  r.memory->limit = 64 << 20;
  r.memory->swap = 128 << 20;
  r.memory->reservation = 32 << 20;
  r.pids = oci::LinuxPids{33};
  r.cpu = oci::LinuxCpu{};
  r.cpu->shares = 512;
  r.cpu->quota = 50000;
  r.cpu->period = 100000;
  r.cpu->cpus = "0";
  std::vector<std::string> warnings;
  CgroupSet set = CgroupSet::create(cgroupPath_, r, warnings);
  EXPECT_EQ(valueOf(set, "memory", "memory.limit_in_bytes"), "67108864");
  EXPECT_EQ(valueOf(set, "memory", "memory.memsw.limit_in_bytes"), "134217728");
  EXPECT_EQ(valueOf(set, "memory", "memory.soft_limit_in_bytes"), "33554432");
  EXPECT_EQ(valueOf(set, "pids", "pids.max"), "33");
  EXPECT_EQ(valueOf(set, "cpu", "cpu.shares"), "512");
  EXPECT_EQ(valueOf(set, "cpu", "cpu.cfs_quota_us"), "50000");
  EXPECT_EQ(valueOf(set, "cpuset", "cpuset.cpus"), "0");
  oci::LinuxResources more;
  more.memory = oci::LinuxMemory{};
  more.memory->limit = 256 << 20;
  more.memory->swap = 512 << 20;
  set.update(more, warnings);
  EXPECT_EQ(valueOf(set, "memory", "memory.limit_in_bytes"), "268435456");
  more.memory->limit = 32 << 20;
  more.memory->swap = 32 << 20;
  set.update(more, warnings);
  EXPECT_EQ(valueOf(set, "memory", "memory.memsw.limit_in_bytes"), "33554432");
  EXPECT_TRUE(warnings.empty()) << warnings[0];
  set.remove();
}

TEST_F(CgroupTest, ROOT_SetThatWasNotKeptIsRemoved) {
  std::vector<std::string> warnings;
  std::string dir;
  {
    const CgroupSet set = CgroupSet::create(cgroupPath_, {}, warnings);
    dir = set.groups().at(0).dir;
    EXPECT_TRUE(exists(dir));
  }
  EXPECT_FALSE(exists(dir));
}

TEST_F(CgroupTest, ROOT_PathsThatLeadElsewhereAreRefused) {
  std::vector<std::string> warnings;
  for (const char* path : {"", "/", "relative", "/a/../b", "/a//b", "/a/./b"}) {
    EXPECT_THROW(CgroupSet::create(path, {}, warnings), Error) << path;
  }
}

TEST_F(CgroupTest, ROOT_FailedLimitLeavesNothing) {
  oci::LinuxResources& r = *config().resources;
  r.cpu = oci::LinuxCpu{};
  r.cpu->cpus = "4096-5000";
  shell("true");
  EXPECT_EQ(failure().stage(), "cgroup");
}

TEST_F(CgroupTest, ROOT_PidsLimitHolds) {
  config().resources->pids = oci::LinuxPids{4};
  const RunResult r = runShell("for i in 1 2 3 4 5 6; do sleep 1 & done; echo tried");
  EXPECT_THAT(r.err, HasSubstr("can't fork"));
}

TEST_F(CgroupTest, ROOT_OomKillIsCounted) {
  config().resources->memory = oci::LinuxMemory{};
  config().resources->memory->limit = 16 << 20;
  config().resources->memory->swap = 16 << 20;
  shell("sleep 0.2; exec dd if=/dev/zero of=/dev/null bs=200M count=1");
  Init init = Init::create(options());
  init.start();
  const Fd events = init.cgroup().oomEvents();
  ASSERT_TRUE(events);
  EXPECT_EQ(init.cgroup().oomKills(), 0U);
  EXPECT_EQ(reap(init.pid()).signal, SIGKILL);
  EXPECT_GE(init.cgroup().oomKills(), 1U);
  pollfd wait{events.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 1000), 1);
  init.cgroup().remove();
}

TEST_F(CgroupTest, ROOT_FreezesThawsAndKills) {
  shell("while :; do echo x; sleep 0.01; done");
  auto [read, write] = makePipe();
  Init init = Init::create(options(write.get()));
  init.start();
  CgroupSet& set = init.cgroup();
  EXPECT_FALSE(set.frozen());
  set.freeze();
  EXPECT_TRUE(set.frozen());
  set.thaw();
  EXPECT_FALSE(set.frozen());
  set.freeze();
  EXPECT_THAT(set.pids(), ::testing::Contains(init.pid()));
  set.killAll();
  EXPECT_EQ(reap(init.pid()).signal, SIGKILL);
  set.remove();
}

TEST_F(CgroupTest, ROOT_StatsTellWhatWasUsed) {
  shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; sleep 100");
  config().resources->pids = oci::LinuxPids{50};
  auto [read, write] = makePipe();
  Init init = Init::create(options(write.get()));
  write.reset();
  init.start();
  char buffer[16];
  ASSERT_EQ(::read(read.get(), buffer, sizeof buffer), 5);
  const CgroupStats stats = init.cgroup().stats();
  EXPECT_GT(stats.cpu.totalNs, 1000000U);
  EXPECT_GT(stats.memory.usage, 0U);
  EXPECT_EQ(stats.memory.limit, UINT64_MAX);
  EXPECT_GE(stats.pids.current, 1U);
  EXPECT_EQ(stats.pids.limit, 50U);
  init.cgroup().killAll();
  reap(init.pid());
  init.cgroup().remove();
}

TEST_F(CgroupTest, ROOT_DevicesAreDeniedButForTheDefaultOnes) {
  const RunResult r = runShell("echo x > /dev/null && echo null; mknod /tmp/vda b 254 0; head -c 1 /tmp/vda");
  EXPECT_EQ(r.out, "null\n");
  EXPECT_THAT(r.err, HasSubstr("/tmp/vda: Operation not permitted"));
}

TEST_F(CgroupTest, ROOT_DeviceProgramDecidesInV2) {
  std::string unified;
  for (const auto& h : cgroupHierarchies()) {
    if (h.v2) unified = h.mountPoint;
  }
  if (unified.empty()) GTEST_SKIP() << "needs cgroup v2";
  // v1's devices are left open, so that only the program can refuse.
  config().resources->devices.clear();
  shell("read x; mknod /tmp/vda b 254 0; head -c 1 /tmp/vda; head -c 2 /dev/zero | wc -c; head -c 1 /dev/kmsg");
  config().devices = {{"/dev/kmsg", "c", 1, 11, 0666U, {}, {}}};
  auto [inRead, inWrite] = makePipe();
  auto [read, write] = makePipe();
  CreateOptions o = options(write.get(), write.get());
  o.stdio[0] = inRead.get();
  Init init = Init::create(o);
  write.reset();
  init.start();
  for (const auto& group : init.cgroup().groups()) {
    if (group.v2) attachDeviceProgram(group.dir, {{false, {}, {}, {}, "rwm"}, {true, "c", 1, 11, "w"}});
  }
  writeAll(inWrite.get(), "\n", "stdin");
  const std::string out = readAll(read.get(), "out");
  reap(init.pid());
  init.cgroup().remove();
  EXPECT_THAT(out, HasSubstr("/tmp/vda: Operation not permitted"));
  EXPECT_THAT(out, HasSubstr("/dev/kmsg: Operation not permitted"));
  EXPECT_THAT(out, HasSubstr("2\n"));
}

TEST_F(CgroupTest, ROOT_ContainerSeesItsOwnGroupsReadOnly) {
  const RunResult r = runShell(
      "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/*/*test* 2>/dev/null; touch /sys/fs/cgroup/x; "
      "mkdir /sys/fs/cgroup/pids/x /sys/fs/cgroup/unified/y; cat /sys/fs/cgroup/pids/pids.current");
  for (const auto& line : split(r.out, '\n')) EXPECT_THAT(line, ::testing::Not(HasSubstr("estiba")));
  EXPECT_THAT(r.err, HasSubstr("touch: /sys/fs/cgroup/x: Read-only file system"));
}

TEST(Cgroup, SharesBecomeWeights) {
  EXPECT_EQ(cpuWeightOf(2), 1U);
  EXPECT_EQ(cpuWeightOf(1024), 100U);
  EXPECT_EQ(cpuWeightOf(262144), 10000U);
  EXPECT_EQ(ioWeightOf(10), 1U);
  EXPECT_EQ(ioWeightOf(1000), 10000U);
}

}  // namespace
}  // namespace estiba::runtime
