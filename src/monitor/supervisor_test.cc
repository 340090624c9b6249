#include "monitor/supervisor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/text.h"
#include "monitor/client.h"
#include "monitor/log_reader.h"
#include "sys/file.h"
#include "sys/unix_socket.h"

namespace estiba::monitor {
namespace {

using namespace std::chrono_literals;

// Plain processes: /bin/sh -c SCRIPT, started when its pipe is written to.
class FakeLauncher : public Launcher {
 public:
  FakeLauncher(std::string script, bool tty, bool failing) : script_(std::move(script)), tty_(tty), failing_(failing) {}
  ~FakeLauncher() override {
    if (pid_ > 0 && !started_) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
  }

  pid_t create(const std::array<int, 3>& stdio) override {
    auto [readEnd, writeEnd] = makePipe();
    std::string slave;
    if (tty_) slave = openMaster(master_);
    pid_ = child({"/bin/sh", "-c", script_}, stdio, slave, readEnd.get());
    go_ = std::move(writeEnd);
    return pid_;
  }
  Fd console() override { return std::move(master_); }
  std::vector<std::string> start() override {
    if (failing_)
      throw runtime::StageError("lookup", ENOENT, "nohay", "exec: \"nohay\": executable file not found in $PATH");
    started_ = true;
    if (::write(go_.get(), "x", 1) != 1) throw SysError(errno, "release");
    go_.reset();
    return {};
  }
  runtime::ExecProcess exec(const oci::Process& process, const std::array<int, 3>& stdio) override {
    if (process.args.at(0) == "nohay") throw runtime::StageError("lookup", ENOENT, "nohay", "exec: no nohay");
    if (process.args.at(0) == "hang") ::pause();
    runtime::ExecProcess out;
    std::string slave;
    if (process.terminal.value_or(false)) slave = openMaster(out.console);
    out.pid = child(process.args, stdio, slave, -1);
    return out;
  }
  uint64_t oomKills() override { return 0; }
  void killRest() override {}
  void freeze() override { ::kill(pid_, SIGSTOP); }
  void thaw() override { ::kill(pid_, SIGCONT); }
  Fd cloneRootfs() override { return openFile("/", O_PATH | O_DIRECTORY); }
  bool unmountIsSlow() const override { return slow; }
  void unmountRootfs() override {}
  void removeCgroup() override {}
  bool slow = false;

 private:
  static std::string openMaster(Fd& master) {
    master = Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ::grantpt(master.get()), ::unlockpt(master.get());
    return ::ptsname(master.get());
  }
  static pid_t child(const std::vector<std::string>& args, const std::array<int, 3>& stdio, const std::string& slave,
                     int go) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::setsid();
    char c;
    if (go >= 0 && ::read(go, &c, 1) != 1) ::_exit(1);
    int own[3];
    for (int i = 0; i < 3; ++i) {
      own[i] = !slave.empty()  ? ::open(slave.c_str(), O_RDWR)
               : stdio[i] >= 0 ? ::dup(stdio[i])
                               : ::open("/dev/null", O_RDWR);
    }
    for (int i = 0; i < 3; ++i) ::dup2(own[i], i);
    ::close_range(3, ~0U, 0);
    if (!slave.empty()) ::ioctl(0, TIOCSCTTY, 0);
    std::vector<char*> argv;
    for (const auto& a : args) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }

  std::string script_;
  bool tty_, failing_, started_ = false;
  Fd go_, master_;
  pid_t pid_ = 0;
};

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    config_.id = "c1";
    config_.log.path = dir_ + "/c1-json.log";
  }
  ~SupervisorTest() override {
    if (monitorPid_ > 0) ::kill(monitorPid_, SIGKILL), ::waitpid(monitorPid_, nullptr, 0);
    removeTree(dir_);
  }

  // The monitor is a child of the test's.
  Monitor spawn(const std::string& script, bool failing = false, std::array<int, 3> stdio = {-1, -1, -1}) {
    auto [ours, theirs] = socketPair();
    ::fflush(nullptr);
    monitorPid_ = ::fork();
    if (monitorPid_ == 0) {
      ours.reset();
      becomeMonitor();
      auto launcher = std::make_unique<FakeLauncher>(script, config_.tty, failing);
      launcher->slow = slowUnmount_;
      Supervisor(dir_, config_, std::move(theirs), std::move(launcher), stdio).run();
      ::_exit(0);
    }
    theirs.reset();
    return Monitor::adopt(dir_, std::move(ours), monitorPid_);
  }
  Monitor running(const std::string& script) {
    Monitor m = spawn(script);
    m.created();
    m.start();
    return m;
  }
  // Its exit code; fails where it does not end in time.
  int monitorEnds() {
    const Fd pidFd(static_cast<int>(::syscall(SYS_pidfd_open, monitorPid_, 0)));
    pollfd p{pidFd.get(), POLLIN, 0};
    if (::poll(&p, 1, 10000) != 1) return -1;
    int status = 0;
    ::waitpid(std::exchange(monitorPid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  static std::string readAllOf(int fd) { return readAll(fd, "stream", 1U << 30); }
  // Frames taken apart: {stdout, stderr}.
  static std::pair<std::string, std::string> unframe(const std::string& bytes) {
    std::pair<std::string, std::string> out;
    for (size_t i = 0; i + 8 <= bytes.size();) {
      const auto at = [&](size_t k) { return static_cast<unsigned char>(bytes[i + k]); };
      const size_t n = at(4) << 24 | at(5) << 16 | at(6) << 8 | at(7);
      EXPECT_LE(i + 8 + n, bytes.size());
      (at(0) == 1 ? out.first : out.second).append(bytes, i + 8, n);
      i += 8 + n;
    }
    return out;
  }
  static oci::Process command(std::vector<std::string> args) {
    oci::Process p;
    p.args = std::move(args);
    return p;
  }

  char template_[32] = "/tmp/estiba-mon-XXXXXX";
  std::string dir_ = ::mkdtemp(template_);
  MonitorConfig config_;
  pid_t monitorPid_ = 0;
  bool slowUnmount_ = false;
};

TEST_F(SupervisorTest, RunsAttachesLogsAndTellsTheEnd) {
  Monitor m = spawn("echo out; echo err >&2; exit 7");
  const Created created = m.created();
  EXPECT_GT(created.pid, 0);
  EXPECT_GT(created.startTime, 0U);
  EXPECT_EQ(m.state().status, "created");
  EXPECT_TRUE(isHeld(dir_));
  const Fd stream = m.attach({});
  m.start({.willReap = true});
  EXPECT_EQ(unframe(readAllOf(stream.get())), std::make_pair(std::string("out\n"), std::string("err\n")));
  ExitRecord seen;
  const auto exited = m.wait({.timeout = 5s, .reap = [&](const ExitRecord& e) { seen = e; }});
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->exitCode, 7);
  EXPECT_EQ(seen.exitCode, 7);
  EXPECT_EQ(monitorEnds(), 0);
  const auto record = readExit(dir_);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->exitCode, 7);
  EXPECT_EQ(record->pid, created.pid);
  EXPECT_TRUE(parseRfc3339(record->startedAt));
  EXPECT_TRUE(parseRfc3339(record->finishedAt));
  LogReader reader(config_.log.path, {});
  std::map<std::string, std::string> logged;
  while (auto e = reader.next()) logged[e->stream] += e->line;
  EXPECT_EQ(logged, (std::map<std::string, std::string>{{"stdout", "out\n"}, {"stderr", "err\n"}}));
  EXPECT_FALSE(exists(dir_ + "/monitor.sock"));
  EXPECT_FALSE(isHeld(dir_));
  EXPECT_THROW(Monitor::connect(dir_), Error);
}

TEST_F(SupervisorTest, ASignalIsAnExitCodeOf128AndMore) {
  Monitor m = running("sleep 100");
  m.signal(SIGKILL);
  const auto exited = m.wait({.timeout = 5s});
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->exitCode, 137);
  EXPECT_EQ(exited->signal, 9);
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, AFailedStartComesBackInItsOwnWords) {
  Monitor m = spawn("true", true);
  m.created();
  try {
    m.start();
    FAIL();
  } catch (const runtime::StageError& e) {
    EXPECT_EQ(e.stage(), "lookup");
    EXPECT_EQ(e.err(), ENOENT);
    EXPECT_STREQ(e.what(), "exec: \"nohay\": executable file not found in $PATH");
  }
  EXPECT_EQ(monitorEnds(), 0);
  const auto record = readExit(dir_);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->stage, "lookup");
  EXPECT_EQ(record->startedAt, "");
}

TEST_F(SupervisorTest, AFailedStartKeepsNobodyWhoWantsToReapWaiting) {
  Monitor m = spawn("true", /*failing=*/true);
  m.created();
  const Fd waiter = connectIn(dir_, kSocketFile);
  sendWithFds(waiter.get(), "{\"op\":\"wait\",\"reaper\":true}\n", {});
  // Answered in order: when this one is, the other was heard.
  Monitor::at(dir_).state();
  EXPECT_THROW(m.start(), runtime::StageError);
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, AnEngineThatGoesBeforeTheStartLeavesACleanEnd) {
  pid_t pid = 0;
  {
    Monitor m = spawn("sleep 100");
    pid = static_cast<pid_t>(m.created().pid);
  }
  EXPECT_EQ(monitorEnds(), 0);
  EXPECT_EQ(::kill(pid, 0), -1);
  const auto record = readExit(dir_);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->exitCode, 125);
  EXPECT_NE(record->error, "");
}

TEST_F(SupervisorTest, AnEngineThatGoesAtOnceLeavesACleanEnd) {
  { Monitor m = spawn("sleep 100"); }
  EXPECT_EQ(monitorEnds(), 0);
  EXPECT_TRUE(readExit(dir_));
}

TEST_F(SupervisorTest, AnEngineThatGoesAfterTheStartLeavesItRunning) {
  { running("sleep 0.3; echo done; exit 3"); }
  Monitor again = Monitor::connect(dir_);
  EXPECT_EQ(again.state().status, "running");
  EXPECT_EQ(again.wait({.timeout = 5s})->exitCode, 3);
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, StandardInputOf50MBArrivesWholeAndEnds) {
  config_.stdinOpen = config_.stdinOnce = true;
  config_.log.driver = "none";
  Monitor m = spawn("sha256sum; wc -c </dev/null");
  m.created();
  const Fd stream = m.attach({.in = true});
  m.start();
  std::string big(50'000'000, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 2654435761U >> 13);
  std::thread writer([&] {
    writeAll(stream.get(), big, "stdin");
    ::shutdown(stream.get(), SHUT_WR);
  });
  const std::string out = unframe(readAllOf(stream.get())).first;
  writer.join();
  writeFile(dir_ + "/big", big);
  FILE* p = ::popen(("sha256sum <" + dir_ + "/big").c_str(), "r");
  char expected[65] = {};
  ASSERT_EQ(::fread(expected, 1, 64, p), 64U);
  ::pclose(p);
  EXPECT_EQ(out.substr(0, 64), expected);
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 0);
}

TEST_F(SupervisorTest, InputReachesAProcessThatReadsSlowlyThoughItsSenderHasGone) {
  config_.stdinOpen = config_.stdinOnce = true;
  Monitor m = spawn("sleep 0.3; wc -c");
  m.created();
  Fd stream = m.attach({.in = true});
  m.start();
  ::fcntl(stream.get(), F_SETFL, O_NONBLOCK);
  size_t sent = 0;
  const std::string block(65536, 'x');
  for (pollfd p{stream.get(), POLLOUT, 0}; ::poll(&p, 1, 100) == 1;) {
    const ssize_t n = ::write(stream.get(), block.data(), block.size());
    if (n > 0) sent += static_cast<size_t>(n);
    if (sent > 10'000'000) break;
  }
  EXPECT_GT(sent, 1'000'000U);
  stream.reset();
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 0);
  LogReader reader(config_.log.path, {});
  EXPECT_EQ(reader.next()->line, fmt::format("{}\n", sent));
}

TEST_F(SupervisorTest, InputThatStaysOpenOutlivesTheClientThatEndsItsOwn) {
  config_.stdinOpen = true;
  Monitor m = running("while read l; do echo \"eco $l\"; [ \"$l\" = fin ] && exit 6; done; exit 1");
  const Fd first = m.attach({.in = true});
  writeAll(first.get(), "hola\n", "stdin");
  char header[8 + 9];
  for (size_t got = 0; got < sizeof header;)
    got += static_cast<size_t>(::read(first.get(), header + got, sizeof header - got));
  EXPECT_EQ(std::string(header + 8, 9), "eco hola\n");
  ::shutdown(first.get(), SHUT_WR);
  EXPECT_EQ(readAllOf(first.get()), "");
  const Fd second = m.attach({.in = true});
  writeAll(second.get(), "fin\n", "stdin");
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 6);
}

TEST_F(SupervisorTest, ASlowClientLosesNothingAndNobodyElseDoes) {
  config_.log.maxSize = 0;
  Monitor m = spawn("i=0; while [ $i -lt 300 ]; do head -c 100000 /dev/zero | tr '\\0' 'a'; echo; i=$((i+1)); done");
  m.created();
  const Fd slow = m.attach({});
  const Fd fast = m.attach({});
  m.start();
  std::string fromFast;
  std::thread reader([&] { fromFast = unframe(readAllOf(fast.get())).first; });
  ::usleep(300000);
  const std::string fromSlow = unframe(readAllOf(slow.get())).first;
  reader.join();
  EXPECT_EQ(fromSlow.size(), 300U * 100001U);
  EXPECT_EQ(fromFast, fromSlow);
  m.wait({.timeout = 5s});
  EXPECT_EQ(monitorEnds(), 0);
  uint64_t logged = 0;
  LogReader log(config_.log.path, {});
  while (auto e = log.next()) logged += e->line.size();
  EXPECT_EQ(logged, fromSlow.size());
}

TEST_F(SupervisorTest, AClientThatNeverReadsNeitherHidesTheEndNorKeepsTheLogFromIt) {
  Monitor m = spawn("head -c 900000 /dev/zero | tr '\\0' 'a'; echo; exit 4");
  m.created();
  const Fd stuck = m.attach({});
  m.start();
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 4);
  uint64_t logged = 0;
  LogReader log(config_.log.path, {});
  while (auto e = log.next()) logged += e->line.size();
  EXPECT_EQ(logged, 900001U);
  EXPECT_EQ(unframe(readAllOf(stuck.get())).first.size(), 900001U);  // kept for it all the same
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, AClientThatLeavesLetsTheOutputGoOn) {
  Monitor m = spawn("head -c 20000000 /dev/zero | tr '\\0' a; exit 2");
  m.created();
  Fd stuck = m.attach({});
  m.start();
  ::usleep(100000);
  EXPECT_EQ(m.state().status, "running");
  stuck.reset();
  EXPECT_EQ(m.wait({.timeout = 10s})->exitCode, 2);
}

TEST_F(SupervisorTest, AttachWithLogsSendsTheLogAndThenWhatComes) {
  config_.stdinOpen = true;
  Monitor m = running("echo one; echo two; printf part; read l; echo ' end'; echo three");
  ::usleep(100000);
  const Fd stream = m.attach({.in = true, .logs = true});
  ::usleep(20000);
  writeAll(stream.get(), "\n", "stdin");
  EXPECT_EQ(unframe(readAllOf(stream.get())).first, "one\ntwo\npart end\nthree\n");
}

TEST_F(SupervisorTest, OnlyTheStreamsThatWereAskedForAreSent) {
  Monitor m = spawn("echo out; echo err >&2");
  m.created();
  const Fd out = m.attach({.out = true, .err = false});
  const Fd err = m.attach({.out = false, .err = true});
  m.start();
  EXPECT_EQ(unframe(readAllOf(out.get())), std::make_pair(std::string("out\n"), std::string()));
  EXPECT_EQ(unframe(readAllOf(err.get())), std::make_pair(std::string(), std::string("err\n")));
}

TEST_F(SupervisorTest, ATerminalHasItsSizeAndBareBytes) {
  config_.tty = config_.stdinOpen = config_.stdinOnce = true;
  config_.consoleSize = {33, 77};
  Monitor m = spawn("stty size; read l; stty size; echo got $l");
  m.created();
  const Fd stream = m.attach({.in = true});
  m.start();
  char buffer[64];
  ASSERT_EQ(::read(stream.get(), buffer, sizeof buffer), 7);
  EXPECT_EQ(std::string(buffer, 7), "33 77\r\n");
  m.resize(10, 20);
  writeAll(stream.get(), "hey\n", "stdin");
  EXPECT_EQ(readAllOf(stream.get()), "hey\r\n10 20\r\ngot hey\r\n");
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 0);
}

TEST_F(SupervisorTest, DetachKeysLeaveTheContainerRunning) {
  config_.tty = config_.stdinOpen = config_.stdinOnce = true;
  Monitor m = running("read l; exit 9");
  const Fd stream = m.attach({.in = true});
  writeAll(stream.get(), "ab\x10\x11", "stdin");
  readAllOf(stream.get());  // ends
  EXPECT_EQ(m.state().status, "running");
  const Fd other = m.attach({.in = true, .detachKeys = "ctrl-x"});
  writeAll(other.get(), "\x10\x11\n", "stdin");
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 9);
  EXPECT_THROW(m.attach({.detachKeys = "nonsense"}), Error);
}

TEST_F(SupervisorTest, SeveralExecsAtATimeEachWithItsStreamsAndCode) {
  Monitor m = running("sleep 100");
  std::vector<ExecStarted> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(m.exec({.id = fmt::format("e{}", i),
                          .process = command({"/bin/sh", "-c", fmt::format("cat; echo e{} >&2; exit {}", i, i)}),
                          .in = true}));
    EXPECT_GT(all.back().pid, 0);
  }
  EXPECT_TRUE(m.execState("e0").running);
  for (int i = 4; i >= 0; --i) {
    const Fd& stream = all[static_cast<size_t>(i)].stream;
    writeAll(stream.get(), fmt::format("in{}", i), "stdin");
    ::shutdown(stream.get(), SHUT_WR);
    EXPECT_EQ(unframe(readAllOf(stream.get())), std::make_pair(fmt::format("in{}", i), fmt::format("e{}\n", i)));
    EXPECT_EQ(m.execWait(fmt::format("e{}", i), 5s), i);
    EXPECT_EQ(m.execState(fmt::format("e{}", i)).exitCode, i);
  }
  EXPECT_THROW(m.execWait("other"), Error);
  EXPECT_THROW(m.exec({.id = "e0", .process = command({"/bin/true"})}), Error);
  m.signal(SIGKILL);
  m.wait({.timeout = 5s});
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, ExecsFailInTheirOwnWordsAndDetachedOnesHaveNoStream) {
  Monitor m = running("sleep 100");
  EXPECT_THROW(m.exec({.id = "a", .process = command({"nohay"})}), runtime::StageError);
  const auto detached = m.exec({.id = "b", .process = command({"/bin/sh", "-c", "echo x; exit 5"}), .detach = true});
  EXPECT_FALSE(detached.stream);
  EXPECT_EQ(m.execWait("b", 5s), 5);
}

TEST_F(SupervisorTest, AnExecOnATerminal) {
  Monitor m = running("sleep 100");
  const auto e = m.exec({.id = "t",
                         .process = command({"/bin/sh", "-c", "stty size; test -t 0"}),
                         .tty = true,
                         .in = true,
                         .consoleSize = {5, 6}});
  EXPECT_EQ(readAllOf(e.stream.get()).substr(0, 5), "5 6\r\n");
  EXPECT_EQ(m.execWait("t", 5s), 0);
}

TEST_F(SupervisorTest, AnExecThatLeavesADaemonBehindEnds) {
  Monitor m = running("sleep 3");
  const auto begin = std::chrono::steady_clock::now();
  const auto e = m.exec({.id = "d", .process = command({"/bin/sh", "-c", "echo up; (sleep 2; :) & exit 0"})});
  EXPECT_EQ(unframe(readAllOf(e.stream.get())).first, "up\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  EXPECT_EQ(m.execWait("d", 5s), 0);
}

TEST_F(SupervisorTest, AnExecThatHangsWhileItJoinsHangsNobodyElse) {
  Monitor m = running("sleep 0.5");
  std::thread hanging([&] { EXPECT_THROW(m.exec({.id = "h", .process = command({"hang"})}), Error); });
  ::usleep(50000);
  EXPECT_EQ(m.state().status, "running");
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 0);
  hanging.join();
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, ExitCodesOfManyShortExecsAreRight) {
  Monitor m = running("sleep 100");
  for (int i = 0; i < 60; ++i) {
    m.exec({.id = fmt::format("x{}", i), .process = command({"/bin/sh", "-c", fmt::format("exit {}", i)})});
    ASSERT_EQ(m.execWait(fmt::format("x{}", i), 5s), i);
  }
}

TEST_F(SupervisorTest, GarbageAndHangUpsAreSurvived) {
  Monitor m = running("sleep 100");
  for (const std::string bad :
       {"garbage\n", "{}\n", "[]\n", "{\"op\":5}\n", "{\"op\":\"exec\"}\n", "{\"op\":\"no\"}\n", "{\"op\":\"start\"}\n",
        "{\"op\":\"exec\",\"process\":{}}\n", "\n", "{\"op\":\"wait\""}) {
    const Fd socket = connectIn(dir_, kSocketFile);
    writeAll(socket.get(), bad, "socket");
    if (bad.ends_with('\n')) {
      pollfd p{socket.get(), POLLIN, 0};
      EXPECT_EQ(::poll(&p, 1, 3000), 1) << bad;
    }
  }
  const Fd endless = connectIn(dir_, kSocketFile);
  std::string block(1 << 20, 'x');
  ::signal(SIGPIPE, SIG_IGN);
  ssize_t n = 0;
  for (int i = 0; i < 16 && n >= 0; ++i) n = ::send(endless.get(), block.data(), block.size(), MSG_NOSIGNAL);
  EXPECT_LT(n, 0);  // it hangs up on a request without end
  EXPECT_EQ(m.state().status, "running");
}

TEST_F(SupervisorTest, TwoHundredConnectionsAtOnce) {
  Monitor m = running("sleep 100");
  std::vector<Fd> idle, attached;
  for (int i = 0; i < 200; ++i) idle.push_back(connectIn(dir_, kSocketFile));
  for (int i = 0; i < 50; ++i) attached.push_back(m.attach({}));
  EXPECT_EQ(m.state().status, "running");
  idle.clear();
  attached.clear();
  m.signal(SIGKILL);
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 137);
  EXPECT_EQ(monitorEnds(), 0);
}

TEST_F(SupervisorTest, ThousandAttachesLeaveNoDescriptors) {
  Monitor m = running("while :; do echo x; sleep 0.01; done");
  const auto count = [&] { return listDir(fmt::format("/proc/{}/fd", monitorPid_)).size(); };
  m.state();
  const size_t before = count();
  for (int i = 0; i < 1000; ++i) m.attach({});
  for (int i = 0; i < 100 && count() > before + 1; ++i) ::usleep(20000);
  EXPECT_LE(count(), before + 1);
}

TEST_F(SupervisorTest, SigtermForwardsTheStopSignal) {
  config_.stopSignal = SIGUSR1;
  Monitor m = running("trap 'exit 11' USR1; echo ready; while :; do sleep 0.05; done");
  const Fd out = m.attach({.logs = true});
  for (std::string seen; seen.find("ready") == std::string::npos;) {  // the trap is set from here on
    char buffer[256];
    const ssize_t n = ::read(out.get(), buffer, sizeof buffer);
    ASSERT_GT(n, 0);
    seen.append(buffer, static_cast<size_t>(n));
  }
  ::kill(monitorPid_, SIGTERM);
  EXPECT_EQ(m.wait({.timeout = 5s})->exitCode, 11);
}

TEST_F(SupervisorTest, WithoutAReaperTheReapCommandRuns) {
  config_.reap = {"/bin/sh", "-c",
                  "cat " + dir_ + "/exit.json > " + dir_ + "/reaped; test ! -e " + dir_ +
                      "/monitor.sock && echo gone >> " + dir_ + "/reaped"};
  running("exit 3");
  EXPECT_EQ(monitorEnds(), 0);
  for (int i = 0;
       i < 200 && readFile(dir_ + "/exit.json").size() + 5 != tryReadFile(dir_ + "/reaped").value_or("").size(); ++i)
    ::usleep(10000);
  EXPECT_EQ(readFile(dir_ + "/reaped"), readFile(dir_ + "/exit.json") + "gone\n");
}

TEST_F(SupervisorTest, AReaperThatDiesIsReplacedByTheReapCommand) {
  config_.reap = {"/bin/sh", "-c", "echo yes > " + dir_ + "/reaped"};
  Monitor m = running("sleep 0.1");
  EXPECT_THROW(m.wait({.timeout = 5s, .reap = [](const ExitRecord&) { throw std::runtime_error("dies"); }}),
               std::runtime_error);
  EXPECT_EQ(monitorEnds(), 0);
  for (int i = 0; i < 200 && tryReadFile(dir_ + "/reaped").value_or("").empty(); ++i) ::usleep(10000);
  EXPECT_EQ(readFile(dir_ + "/reaped"), "yes\n");
}

TEST_F(SupervisorTest, AReaperThatReapsSavesTheReapCommand) {
  config_.reap = {"/bin/sh", "-c", "echo yes > " + dir_ + "/reaped"};
  slowUnmount_ = true;
  Monitor m = running("sleep 0.1");
  bool called = false;
  m.wait({.timeout = 5s, .reap = [&](const ExitRecord&) { called = true; }});
  EXPECT_TRUE(called);
  EXPECT_FALSE(isHeld(dir_));
  EXPECT_EQ(monitorEnds(), 0);
  EXPECT_FALSE(exists(dir_ + "/reaped"));
}

TEST_F(SupervisorTest, WaitTimesOutAndIsCancelled) {
  Monitor m = running("sleep 100");
  EXPECT_EQ(m.wait({.timeout = 30ms}), std::nullopt);
  std::stop_source stop;
  std::thread later([&] { ::usleep(30000), stop.request_stop(); });
  EXPECT_EQ(m.wait({.stop = stop.get_token()}), std::nullopt);
  later.join();
  EXPECT_EQ(m.state().status, "running");
}

TEST_F(SupervisorTest, AKilledMonitorIsSaidToBeGone) {
  Monitor m = running("sleep 0.5");
  std::thread killer([&] { ::usleep(50000), ::kill(monitorPid_, SIGKILL); });
  try {
    m.wait({.timeout = 5s});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unavailable) << e.what();
  }
  killer.join();
  EXPECT_TRUE(m.waitGone());
  EXPECT_THROW(m.state(), Error);
}

TEST_F(SupervisorTest, PauseAndResume) {
  Monitor m = running("sleep 100");
  m.pause();
  EXPECT_EQ(m.state().status, "paused");
  m.resume();
  EXPECT_EQ(m.state().status, "running");
  EXPECT_TRUE(m.rootfs());
}

TEST_F(SupervisorTest, AStepWritesToTheEnginesOwnDescriptorsAndEndsWithIt) {
  config_.mode = kModeStep;
  config_.inheritStdio = true;
  auto [readEnd, writeEnd] = makePipe();
  Monitor m = spawn("echo step; exit 12", false, {-1, ::dup(writeEnd.get()), ::dup(writeEnd.get())});
  writeEnd.reset();
  m.created();
  m.start();
  const auto end = m.stepEnd(5s);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exitCode, 12);
  EXPECT_EQ(monitorEnds(), 0);
  EXPECT_FALSE(exists(dir_ + "/exit.json"));
  EXPECT_FALSE(exists(dir_ + "/monitor.sock"));
}

TEST_F(SupervisorTest, AStepDiesWithItsEngine) {
  config_.mode = kModeStep;
  pid_t pid = 0;
  {
    Monitor m = spawn("sleep 100");
    pid = static_cast<pid_t>(m.created().pid);
    m.start();
  }
  EXPECT_EQ(monitorEnds(), 0);
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(SupervisorTest, ALogThatCannotBeOpenedIsAnErrorBeforeTheStart) {
  config_.log.path = dir_ + "/none/x.log";
  Monitor m = spawn("true");
  EXPECT_THROW(m.created(), runtime::StageError);
  EXPECT_EQ(monitorEnds(), 0);
}

}  // namespace
}  // namespace estiba::monitor
