#include "monitor/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "monitor/door.h"
#include "monitor/sealed_exe.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/unix_socket.h"

namespace estiba::monitor {

namespace {

using Deadline = std::optional<std::chrono::nanoseconds>;

constexpr std::chrono::seconds kAnswerTime{30};

Deadline deadlineAfter(std::optional<std::chrono::milliseconds> timeout) {
  if (!timeout) return std::nullopt;
  return monotonic() + *timeout;
}

[[noreturn]] void gone(const std::string& runDir, std::string_view what) {
  fail(Code::unavailable, "the monitor of '{}' {}", runDir, what);
}

// Waits for `fd`. False: time is out or `stop` was asked.
bool waitReadable(int fd, const Deadline& deadline, const std::stop_token& stop) {
  Fd wake;
  if (stop.stop_possible()) wake = Fd(sys([] { return ::eventfd(0, EFD_CLOEXEC); }, "create eventfd"));
  const std::stop_callback callback(stop, [&] { ::eventfd_write(wake.get(), 1); });
  for (;;) {
    int timeout = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - monotonic()).count();
      timeout = static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
    }
    pollfd polls[] = {{fd, POLLIN, 0}, {wake.get(), POLLIN, 0}};
    const int n = ::poll(polls, wake ? 2 : 1, timeout);
    if (n < 0 && errno != EINTR) throw SysError(errno, "wait for a monitor");
    if (n > 0 && polls[0].revents != 0) return true;
    if (n == 0 || (n > 0 && polls[1].revents != 0)) return false;
  }
}

// One line, byte by byte at its end only: what follows it on the connection is a stream that is not ours to read.
// nullopt: end of stream before it was complete.
std::optional<std::string> readLine(int fd, Fd* passed) {
  std::string line;
  for (;;) {
    char peeked[4096];
    const ssize_t n = ::recv(fd, peeked, sizeof peeked, MSG_PEEK);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    const std::string_view seen(peeked, static_cast<size_t>(n));
    const size_t end = seen.find('\n');
    auto [bytes, fds] = receiveWithFds(fd, end == std::string_view::npos ? seen.size() : end + 1);
    if (passed != nullptr && !fds.empty()) *passed = std::move(fds[0]);
    line += bytes;
    if (line.ends_with('\n')) return line;
    if (line.size() > kMaxRequest) return std::nullopt;
  }
}

Message parseMessage(const std::string& line) {
  return parseJsonAs<Message>(line, "answer of a monitor");
}

// What an answer says went wrong, thrown.
void check(const Message& message) {
  if (message.failed) {
    const Failed& f = *message.failed;
    throw runtime::StageError(f.stage, f.errorNumber, f.detail, f.message);
  }
  if (!message.error) return;
  for (int c = 0; c <= static_cast<int>(Code::internal); ++c) {
    if (codeName(static_cast<Code>(c)) == message.error->code) {
      throw Error(static_cast<Code>(c), message.error->message);
    }
  }
  throw Error(Code::internal, message.error->message);
}

void sendRequest(int fd, const Request& request, const std::string& runDir) {
  try {
    sendWithFds(fd, dumpJsonOf(request) + "\n", {});
  } catch (const SysError&) {
    gone(runDir, "has gone away");
  }
}

// Monitors that this process has spawned and that nobody waits for: their zombies are collected now and then.
class Children {
 public:
  void add(pid_t pid) {
    const std::lock_guard lock(mutex_);
    collectLocked();
    pids_.push_back(pid);
  }
  void collect() {
    const std::lock_guard lock(mutex_);
    collectLocked();
  }

 private:
  void collectLocked() {
    std::erase_if(pids_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
  }
  std::mutex mutex_;
  std::vector<pid_t> pids_;
};

Children& children() {
  static Children all;
  return all;
}

}  // namespace

Monitor Monitor::spawn(const SpawnOptions& options) {
  auto [ours, theirs] = socketPair();
  const Fd null = openFile("/dev/null", O_RDWR);
  const Fd executable = sealedExecutable(options.binary);
  estiba::SpawnOptions process;
  process.path = options.binary;
  process.execFd = executable.get();
  process.args = options.command;
  process.args.push_back(options.runDir);
  process.args.push_back("3");
  process.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {theirs.get(), 3}};
  for (size_t i = 0; i < options.stdio.size(); ++i) {
    const int fd = options.stdio[i] >= 0 ? options.stdio[i] : null.get();
    if (options.stdio != std::array<int, 3>{-1, -1, -1}) {
      process.fds.emplace_back(fd, kInheritedStdio + static_cast<int>(i));
    }
  }
  process.newSession = true;
  Process started = Process::spawn(process);
  Monitor monitor(options.runDir);
  monitor.pid_ = started.pid();
  monitor.handshake_ = std::move(ours);
  children().add(started.pid());
  started.release();  // it outlives us
  return monitor;
}

Monitor Monitor::adopt(const std::string& runDir, Fd handshake, pid_t pid) {
  Monitor monitor(runDir);
  monitor.handshake_ = std::move(handshake);
  monitor.pid_ = pid;
  return monitor;
}

Monitor Monitor::at(const std::string& runDir) {
  return Monitor(runDir);
}

Monitor Monitor::connect(const std::string& runDir) {
  Monitor monitor(runDir);
  monitor.state();
  return monitor;
}

std::optional<Message> Monitor::heard(std::optional<std::chrono::milliseconds> timeout, const std::stop_token& stop,
                                      std::string_view during) const {
  if (!waitReadable(handshake_.get(), deadlineAfter(timeout), stop)) return std::nullopt;
  const auto line = readLine(handshake_.get(), nullptr);
  if (!line) gone(runDir_, fmt::format("died during '{}'", during));
  Message message = parseMessage(*line);
  check(message);
  return message;
}

Created Monitor::created(std::chrono::milliseconds timeout) {
  const auto message = heard(timeout, {}, "create");
  if (!message) fail(Code::deadline, "the monitor of '{}' has not created the container in time", runDir_);
  if (!message->created) fail(Code::internal, "the monitor of '{}' said something unexpected", runDir_);
  return *message->created;
}

Started Monitor::start(const StartOptions& options) {
  sendRequest(handshake_.get(), {.op = "start", .reaper = options.willReap}, runDir_);
  const auto message = heard(options.timeout, {}, "start");
  if (!message) fail(Code::deadline, "the monitor of '{}' has not started the container in time", runDir_);
  if (!message->started) fail(Code::internal, "the monitor of '{}' said something unexpected", runDir_);
  willReap_ = options.willReap;
  return *message->started;
}

std::optional<ExitRecord> Monitor::stepEnd(std::optional<std::chrono::milliseconds> timeout, std::stop_token stop) {
  const auto message = heard(timeout, stop, "step");
  children().collect();
  return message ? message->exited : std::nullopt;
}

Message Monitor::ask(const Request& request, Fd* stream, Fd* passed, std::optional<std::chrono::milliseconds> timeout,
                     const std::stop_token& stop) const {
  Fd socket;
  try {
    socket = connectIn(runDir_, kSocketFile);
  } catch (const SysError& e) {
    if (e.err() != ENOENT && e.err() != ECONNREFUSED && e.err() != ENOTDIR) throw;
    gone(runDir_, "is not running");
  }
  sendRequest(socket.get(), request, runDir_);
  if (!waitReadable(socket.get(), deadlineAfter(timeout), stop)) {
    if (stop.stop_requested()) fail(Code::cancelled, "waiting for the monitor of '{}' was cancelled", runDir_);
    fail(Code::deadline, "the monitor of '{}' has not answered '{}' in time", runDir_, request.op);
  }
  const auto line = readLine(socket.get(), passed);
  if (!line) gone(runDir_, fmt::format("went away during '{}'", request.op));
  Message message = parseMessage(*line);
  check(message);
  if (stream != nullptr) *stream = std::move(socket);
  return message;
}

Fd Monitor::attach(const AttachOptions& o) const {
  Fd stream;
  ask({.op = "attach", .stdin_ = o.in, .stdout_ = o.out, .stderr_ = o.err, .logs = o.logs, .detachKeys = o.detachKeys},
      &stream, nullptr);
  return stream;
}

ExecStarted Monitor::exec(const ExecOptions& o) const {
  ExecStarted out;
  const Message answer = ask({.op = "exec",
                              .stdin_ = o.in,
                              .detach = o.detach,
                              .tty = o.tty,
                              .detachKeys = o.detachKeys,
                              .id = o.id,
                              .consoleSize = o.consoleSize,
                              .process = o.process},
                             o.detach ? nullptr : &out.stream, nullptr, std::chrono::minutes(2));
  out.pid = static_cast<pid_t>(answer.ok.value_or(OkAnswer{}).pid.value_or(0));
  return out;
}

std::optional<int> Monitor::execWait(const std::string& id, std::optional<std::chrono::milliseconds> timeout,
                                     std::stop_token stop) const {
  try {
    const Message answer = ask({.op = "execWait", .id = id}, nullptr, nullptr, timeout, stop);
    return answer.ok.value_or(OkAnswer{}).exitCode;
  } catch (const Error& e) {
    if (e.code() == Code::deadline || e.code() == Code::cancelled) return std::nullopt;
    throw;
  }
}

ExecState Monitor::execState(const std::string& id) const {
  const OkAnswer ok = ask({.op = "execState", .id = id}, nullptr, nullptr, kAnswerTime).ok.value_or(OkAnswer{});
  return {ok.running.value_or(false), static_cast<pid_t>(ok.pid.value_or(0)), ok.exitCode};
}

void Monitor::resize(uint32_t height, uint32_t width, const std::string& execId) const {
  ask({.op = "resize", .exec = execId, .h = height, .w = width}, nullptr, nullptr);
}

void Monitor::signal(int signal, const std::string& execId) const {
  ask({.op = "signal", .exec = execId, .signal = signal}, nullptr, nullptr);
}

ContainerState Monitor::state() const {
  const OkAnswer ok = ask({.op = "state"}, nullptr, nullptr).ok.value_or(OkAnswer{});
  return {ok.status.value_or(""), static_cast<pid_t>(ok.pid.value_or(0)), ok.startTime.value_or(0),
          ok.startedAt.value_or("")};
}

std::optional<ExitRecord> Monitor::wait(const WaitOptions& o) const {
  std::optional<Message> message;
  Fd connection;
  try {
    if (willReap_) {
      message = heard(o.timeout, o.stop, "wait");
    } else {
      message = ask({.op = "wait", .reaper = static_cast<bool>(o.reap)}, &connection, nullptr, o.timeout, o.stop);
    }
  } catch (const Error& e) {
    if (e.code() == Code::deadline || e.code() == Code::cancelled) return std::nullopt;
    const auto exited = e.code() == Code::unavailable ? readExit(runDir_) : std::nullopt;
    if (!exited) throw;
    return exited;  // it had ended before, and was reaped
  }
  if (!message) return std::nullopt;
  if (!message->exited) fail(Code::internal, "the monitor of '{}' said something unexpected", runDir_);
  if (o.reap) {
    o.reap(*message->exited);
    reaped(willReap_ ? handshake_.get() : connection.get());
  }
  children().collect();
  return message->exited;
}

void Monitor::reaped(int connection) const {
  try {
    sendRequest(connection, {.op = "reaped"}, runDir_);
    waitReadable(connection, deadlineAfter(kAnswerTime), {});  // its end: everything is released
  } catch (const Error&) {                                     // it was killed meanwhile: there is nobody left to tell
  }
}

Fd Monitor::rootfs() const {
  Fd passed;
  ask({.op = "rootfs"}, nullptr, &passed);
  if (!passed) fail(Code::internal, "the monitor of '{}' passed no root file system", runDir_);
  return passed;
}

void Monitor::pause() const {
  ask({.op = "pause"}, nullptr, nullptr);
}
void Monitor::resume() const {
  ask({.op = "resume"}, nullptr, nullptr);
}

bool Monitor::waitGone(std::chrono::milliseconds timeout) const {
  const auto deadline = monotonic() + timeout;
  while (isHeld(runDir_)) {
    const auto pid = parseUint(trim(tryReadFile(runDir_ + "/" + kPidFile, 64).value_or("")));
    const Fd process(pid ? static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)) : -1);
    if (monotonic() >= deadline) return false;
    // It may release everything and live on for a client that reads slowly: looked at now and then. (Not inotify: to
    // close one costs a grace period.)
    const auto slice = std::min(deadline, monotonic() + std::chrono::milliseconds(20));
    if (process) {
      waitReadable(process.get(), slice, {});
    } else {
      ::poll(nullptr, 0, 1);
    }
  }
  return true;
}

std::optional<ExitRecord> readExit(const std::string& runDir) {
  const std::string path = runDir + "/" + kExitFile;
  const auto text = tryReadFile(path, 1 << 20);
  if (!text) return std::nullopt;
  return parseJsonAs<ExitRecord>(*text, path);
}

bool isHeld(const std::string& runDir) {
  const auto file = tryOpen(runDir + "/" + kPidFile, O_RDONLY);
  return file && ::flock(file->get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace estiba::monitor
