// The whole of it, as root: a monitor of its own process, the runtime, a busybox on an overlay.
#include "monitor/monitor.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "monitor/client.h"
#include "monitor/log_reader.h"
#include "monitor/rootfs.h"
#include "monitor/sealed_exe.h"
#include "runtime/test_bundle.h"
#include "sys/mount.h"
#include "sys/ns.h"

namespace estiba::monitor {
namespace {

using namespace std::chrono_literals;

class MonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!exists("/bin/busybox")) GTEST_SKIP() << "needs a static busybox";
    mountsBefore_ = readFile("/proc/self/mountinfo");
    dir_ = "/tmp/estiba-monitor-test-" + randomHex(30);  // as long as a real one: longer than a socket's address
    run_ = dir_ + "/containers/" + randomHex(16);
    makeDirs(run_, 0700);
    makeLayer("base");
    makeDirs(dir_ + "/base/bin");
    std::filesystem::copy_file("/bin/busybox", dir_ + "/base/bin/busybox");
    for (const char* tool : {"sh", "cat", "echo", "sleep", "stat", "head", "tail", "wc", "touch", "ls", "mkdir",
                             "mount", "stty", "true", "sync"}) {
      std::filesystem::create_symlink("busybox", dir_ + "/base/bin/" + tool);
    }
    makeLayer("upper"), makeLayer("work");
    config_.id = randomHex(8);
    config_.cgroupPath = "/estiba-test/" + config_.id;
    config_.cacheDir = dir_ + "/cache";
    makeDir(config_.cacheDir, 0700);
    config_.rootfs = {.lowers = {dir_ + "/base"}, .upper = dir_ + "/upper", .work = dir_ + "/work"};
    config_.log.path = dir_ + "/c-json.log";
    spec_ = runtime::dockerLikeSpec();
    spec_.linux_->namespaces.push_back({"network", std::nullopt});
  }
  void TearDown() override {
    if (dir_.empty()) return;
    removeTree(dir_);
    for (const auto& hierarchy : cgroupHierarchies()) {
      EXPECT_FALSE(exists(hierarchy.mountPoint + config_.cgroupPath)) << "a cgroup is left: " << hierarchy.mountPoint;
      ::rmdir((hierarchy.mountPoint + "/estiba-test").c_str());
    }
    EXPECT_EQ(readFile("/proc/self/mountinfo"), mountsBefore_) << "a mount is left";
  }
  std::string makeLayer(const std::string& name) {
    makeDir(dir_ + "/" + name);
    return dir_ + "/" + name;
  }
  Monitor spawn(const std::string& script, std::array<int, 3> stdio = {-1, -1, -1}) {
    spec_.process->args = {"/bin/sh", "-c", script};
    spec_.process->terminal = config_.tty;
    writeFile(run_ + "/" + kBundleFile, dumpJsonOf(spec_));
    writeFile(run_ + "/" + kConfigFile, dumpJsonOf(config_));
    return Monitor::spawn({.runDir = run_, .command = {"monitor_test", "--as-monitor"}, .stdio = stdio});
  }
  Monitor running(const std::string& script) {
    Monitor m = spawn(script);
    m.created();
    m.start({.willReap = true});
    return m;
  }
  ExitRecord end(Monitor& m) {
    auto e = m.wait({.timeout = 10s, .reap = [](const ExitRecord&) {}});
    return e ? *e : ExitRecord{.exitCode = -1};
  }
  std::string logged() const {
    std::string out;
    LogReader reader(config_.log.path, {});
    while (auto e = reader.next()) out += e->line;
    return out;
  }
  static bool alive(pid_t pid) { return ::kill(pid, 0) == 0; }
  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 500; ++i) {
      if (condition()) return true;
      ::usleep(10000);
    }
    return false;
  }

  std::string dir_, run_, mountsBefore_;
  MonitorConfig config_;
  oci::RuntimeSpec spec_;
};

TEST_F(MonitorTest, ROOT_RunsAContainerOnAnOverlay) {
  Monitor m = spawn("echo $$; echo x > /made; ls /; exit 5");
  EXPECT_GT(m.created().pid, 0);
  m.start({.willReap = true});
  EXPECT_EQ(end(m).exitCode, 5);
  EXPECT_TRUE(logged().starts_with("1\nbin\n")) << logged();
  EXPECT_EQ(readFile(dir_ + "/upper/made"), "x\n");
  EXPECT_FALSE(exists(dir_ + "/base/made"));
  EXPECT_TRUE(eventually([&] { return !alive(m.pid()) || m.waitGone(); }));
}

TEST_F(MonitorTest, ROOT_TheBinaryIsOnAReadOnlyMountThatNobodyElseHas) {
  Monitor m = running("sleep 100");
  struct statvfs st {};
  ASSERT_EQ(::statvfs(fmt::format("/proc/{}/exe", m.pid()).c_str(), &st), 0);
  EXPECT_TRUE(st.f_flag & ST_RDONLY);
  EXPECT_EQ(::open(fmt::format("/proc/{}/exe", m.pid()).c_str(), O_WRONLY | O_CLOEXEC), -1);
  EXPECT_EQ(readFile(fmt::format("/proc/{}/mountinfo", m.pid())).find("monitor_test"), std::string::npos);
  m.signal(SIGKILL);
  EXPECT_EQ(end(m).exitCode, 137);
}

TEST_F(MonitorTest, SealedCopiesCannotBeWritten) {
  const Fd copy = sealedCopy("/proc/self/exe");
  EXPECT_EQ(::pwrite(copy.get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(copy.get(), 0), -1);
  const Fd again(::open(fmt::format("/proc/self/fd/{}", copy.get()).c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(::pwrite(again.get(), "x", 1, 0), -1);
}

TEST_F(MonitorTest, ROOT_ExecsJoinTheContainer) {
  Monitor m = running("echo secret > /tmpfile; sleep 100");
  oci::Process process = *spec_.process;
  process.args = {"/bin/sh", "-c",
                  "until cat /tmpfile 2>/dev/null; do sleep 0.01; done; cat /proc/1/cmdline | head -c 7; exit 9"};
  const ExecStarted e = m.exec({.id = "e", .process = process});
  const std::string out = readAll(e.stream.get(), "exec");
  EXPECT_NE(out.find("secret\n"), std::string::npos) << out;
  EXPECT_NE(out.find("sleep"), std::string::npos) << out;  // the container's first process
  EXPECT_EQ(m.execWait("e", 5s), 9);
  process.args = {"nohay"};
  try {
    m.exec({.id = "f", .process = process});
    FAIL();
  } catch (const runtime::StageError& error) {
    EXPECT_EQ(error.exitCode(), 127);
    EXPECT_NE(std::string(error.what()).find("nohay"), std::string::npos) << error.what();
  }
  process.args = {"/bin/sh", "-c", "stty size"};
  const ExecStarted tty = m.exec({.id = "t", .process = process, .tty = true, .consoleSize = {11, 22}});
  EXPECT_EQ(readAll(tty.stream.get(), "exec"), "11 22\r\n");
  process.args = {"/bin/sleep", "1000"};
  m.exec({.id = "d", .process = process, .detach = true});
  m.signal(SIGKILL);  // takes the exec along
  EXPECT_EQ(end(m).exitCode, 137);
}

TEST_F(MonitorTest, ROOT_ATerminal) {
  config_.tty = config_.stdinOpen = config_.stdinOnce = true;
  config_.consoleSize = {40, 100};
  Monitor m = spawn("stty size; read l; echo \"got $l\"; exit 3");
  m.created();
  const Fd stream = m.attach({.in = true});
  writeAll(stream.get(), "early\n", "stdin");
  m.start({.willReap = true});
  const std::string out = readAll(stream.get(), "tty");
  EXPECT_NE(out.find("40 100\r\n"), std::string::npos) << out;
  EXPECT_NE(out.find("got early\r\n"), std::string::npos) << out;
  EXPECT_EQ(end(m).exitCode, 3);
}

TEST_F(MonitorTest, ROOT_AMissingCommandIs127AndLeavesNothing) {
  Monitor first = running("true");
  end(first);
  spec_.process->args = {"nohay"};
  writeFile(run_ + "/" + kBundleFile, dumpJsonOf(spec_));
  Monitor second = Monitor::spawn({.runDir = run_, .command = {"monitor_test", "--as-monitor"}});
  try {
    second.created();
    second.start();
    FAIL();
  } catch (const runtime::StageError& e) {
    EXPECT_EQ(e.exitCode(), 127);
    EXPECT_STREQ(e.what(), "exec: \"nohay\": executable file not found in $PATH");
  }
  second.waitGone();
  const auto record = readExit(run_);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->exitCode, 127);
  EXPECT_EQ(record->startedAt, "");
}

TEST_F(MonitorTest, ROOT_TreesAreMountedForBindsAndLinksInThemStayInside) {
  const std::string tree = makeLayer("tree");
  makeDirs(tree + "/real/sub"), makeDirs(tree + "/etc");
  writeFile(tree + "/real/sub/f", "inside\n");
  writeFile(tree + "/etc/hostname", "of the tree\n");
  std::filesystem::create_symlink("/real", tree + "/link");
  std::filesystem::create_symlink("../../../../etc/hostname", tree + "/out");
  makeLayer("treeUpper"), makeLayer("treeWork");
  config_.trees = {{{.lowers = {tree}}, "link/sub"},
                   {{.lowers = {tree}, .upper = dir_ + "/treeUpper", .work = dir_ + "/treeWork"}, "/"},
                   {{.readonly = true, .bind = tree}, "/out"}};
  for (int i = 0; i < 3; ++i) {
    spec_.mounts.push_back({.destination = fmt::format("/m{}", i),
                            .type = "bind",
                            .source = fmt::format("{}/{}/{}", run_, kTreesDir, i),
                            .options = {"rbind"}});
  }
  Monitor m = running("cat /m0/f; cat /m1/real/sub/f; cat /m2; echo x > /m0/x; echo x > /m1/x && echo written; : > /m2");
  EXPECT_NE(end(m).exitCode, 0);
  EXPECT_TRUE(logged().starts_with("inside\ninside\nof the tree\n")) << logged();
  EXPECT_NE(logged().find("\nwritten\n"), std::string::npos) << logged();
  EXPECT_TRUE(exists(dir_ + "/treeUpper/x"));
  EXPECT_FALSE(exists(tree + "/x") || exists(tree + "/real/sub/x"));
  EXPECT_EQ(readFile(tree + "/etc/hostname"), "of the tree\n");
}

TEST_F(MonitorTest, ROOT_AMissingLayerIsAnErrorThatNamesIt) {
  config_.rootfs.lowers.push_back(dir_ + "/nolayer");
  Monitor m = spawn("true");
  try {
    m.created();
    FAIL();
  } catch (const runtime::StageError& e) {
    EXPECT_NE(std::string(e.what()).find("nolayer"), std::string::npos) << e.what();
  }
  m.waitGone();
}

TEST_F(MonitorTest, ROOT_TheOomKillerIsTold) {
  spec_.linux_->resources->memory = oci::LinuxMemory{.limit = 20 << 20, .swap = 20 << 20};
  Monitor m = running("head -c 100000000 /dev/zero | tail | wc -c; sleep 0.1; exit 1");
  EXPECT_TRUE(end(m).oomKilled);
}

TEST_F(MonitorTest, ROOT_PauseStopsTheContainerAndRootfsIsPassed) {
  Monitor m = running("i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.01; done");
  EXPECT_TRUE(eventually([&] { return exists(dir_ + "/upper/count"); }));
  m.pause();
  EXPECT_EQ(m.state().status, "paused");
  const std::string before = readFile(dir_ + "/upper/count");
  ::usleep(100000);
  EXPECT_EQ(readFile(dir_ + "/upper/count"), before);
  m.resume();
  EXPECT_TRUE(eventually([&] { return readFile(dir_ + "/upper/count") != before; }));
  const Fd root = m.rootfs();
  EXPECT_TRUE(exists(fmt::format("/proc/self/fd/{}/bin/busybox", root.get())));
  m.signal(SIGKILL);
  end(m);
}

TEST_F(MonitorTest, ROOT_AStepIsUnmountedWhenItsEndIsTold) {
  config_.mode = kModeStep;
  config_.inheritStdio = true;
  config_.rootfs.volatile_ = true;
  auto [readEnd, writeEnd] = makePipe();
  Monitor m = spawn("echo one; echo two >&2; touch /made; sleep 1000 & exit 3", {-1, writeEnd.get(), writeEnd.get()});
  writeEnd.reset();
  m.created();
  m.start();
  EXPECT_EQ(readAll(readEnd.get(), "step"), "one\ntwo\n");
  const auto e = m.stepEnd(5s);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->exitCode, 3);
  EXPECT_TRUE(exists(dir_ + "/upper/made"));
  ASSERT_EQ(::rename((dir_ + "/upper").c_str(), (dir_ + "/layer").c_str()), 0);
  EXPECT_TRUE(eventually([&] {
    const auto hierarchies = cgroupHierarchies();
    return std::none_of(hierarchies.begin(), hierarchies.end(),
                        [&](const auto& h) { return exists(h.mountPoint + config_.cgroupPath); });
  }));
}

TEST_F(MonitorTest, ROOT_AVolatileContainerCanBeStartedAgain) {
  config_.rootfs.volatile_ = true;
  for (int i = 0; i < 2; ++i) {
    Monitor m = running("echo x >> /made; wc -l < /made");
    EXPECT_EQ(end(m).exitCode, 0);
  }
  EXPECT_EQ(logged(), "1\n2\n");
}

TEST_F(MonitorTest, ROOT_ReadOnlyRootsRefuseWrites) {
  const Cloned child = cloneProcess(0);
  if (child.pid == 0) {
    try {
      enterPrivateMounts();
      makeDir(dir_ + "/t1"), makeDir(dir_ + "/t2");
      mountRootfs({.lowers = {dir_ + "/base"}}, dir_ + "/t1");
      mountRootfs({.lowers = {dir_ + "/base"}, .upper = dir_ + "/upper", .work = dir_ + "/work", .readonly = true},
                  dir_ + "/t2");
      const bool first = ::open((dir_ + "/t1/x").c_str(), O_WRONLY | O_CREAT, 0600) == -1 && errno == EROFS;
      const bool second = ::open((dir_ + "/t2/x").c_str(), O_WRONLY | O_CREAT, 0600) == -1 && errno == EROFS;
      ::_exit(first && second && exists(dir_ + "/t2/bin/busybox") ? 0 : 1);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(2);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child.pid, &status, 0), child.pid);
  EXPECT_EQ(status, 0);
}

// An engine that dies at `stage` of the handshake; afterwards nothing runs, or all of it does.
TEST_F(MonitorTest, ROOT_AnEngineKilledInTheHandshakeLeavesACleanEndOrARunningContainer) {
  for (int stage = 0; stage < 3; ++stage) {
    const Cloned engine = cloneProcess(0);
    if (engine.pid == 0) {
      try {
        Monitor m = spawn("sleep 0.3; exit 4");
        if (stage > 0) m.created();
        if (stage > 1) m.start();
      } catch (...) {
        ::_exit(1);
      }
      ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(engine.pid, nullptr, 0);
    ASSERT_TRUE(eventually([&] { return readExit(run_).has_value() && !isHeld(run_); })) << stage;
    EXPECT_EQ(readExit(run_)->exitCode, stage > 1 ? 4 : 125) << stage;
    EXPECT_EQ(readExit(run_)->error.empty(), stage > 1) << stage;
    ::unlink((run_ + "/" + kExitFile).c_str());
    removeTree(dir_ + "/work/work");
  }
}

TEST_F(MonitorTest, ROOT_WhatAContainerMountsInASharedVolumeReachesTheHostAndNothingElseDoes) {
  makeDir(dir_ + "/vol");
  const Cloned host = cloneProcess(0);  // a host of its own, with a shared mount
  if (host.pid == 0) {
    try {
      sys([] { return ::unshare(CLONE_NEWNS); }, "unshare");
      setPropagation("/", MS_PRIVATE | MS_REC);
      sys([&] { return ::mount("t", (dir_ + "/vol").c_str(), "tmpfs", 0, nullptr); }, "mount");
      setPropagation("/", MS_SHARED | MS_REC);
      const std::string before = readFile("/proc/self/mountinfo");
      spec_.mounts.push_back(runtime::mountOf("/vol", "bind", dir_ + "/vol", {"rbind", "rshared"}));
      spec_.process->capabilities->bounding.push_back("CAP_SYS_ADMIN");
      spec_.process->capabilities->permitted.push_back("CAP_SYS_ADMIN");
      spec_.process->capabilities->effective.push_back("CAP_SYS_ADMIN");
      spec_.linux_->seccomp.reset();
      Monitor m = running("mkdir /vol/sub && mount -t tmpfs x /vol/sub && touch /vol/sub/file; sleep 100");
      const bool seen = eventually([&] { return exists(dir_ + "/vol/sub/file"); });
      unmount(dir_ + "/vol/sub");
      const bool alone = readFile("/proc/self/mountinfo") == before;
      m.signal(SIGKILL);
      end(m);
      ::_exit(seen && alone ? 0 : seen ? 3 : 1);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(2);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(host.pid, &status, 0), host.pid);
  EXPECT_EQ(status, 0) << logged();
}

TEST_F(MonitorTest, ROOT_AKilledMonitorLeavesNoMountOnTheHost) {
  Monitor m = running("sleep 100");
  const pid_t init = m.state().pid;
  ::kill(m.pid(), SIGKILL);
  EXPECT_TRUE(m.waitGone());
  EXPECT_EQ(readFile("/proc/self/mountinfo"), mountsBefore_);
  EXPECT_FALSE(readExit(run_));
  ::kill(init, SIGKILL);  // what an engine's recovery does
  ::waitpid(m.pid(), nullptr, 0);
  auto left = runtime::CgroupSet::open(config_.cgroupPath);
  left.remove();
}

}  // namespace
}  // namespace estiba::monitor

// The test is its own monitor.
int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--as-monitor") == 0) return estiba::monitor::monitorMain(argc - 1, argv + 1);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
