#include "monitor/supervisor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/error.h"
#include "base/log.h"
#include "runtime/stage_error.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/process.h"

namespace estiba::monitor {

namespace {

constexpr std::chrono::milliseconds kIdleAfter{200};
// An engine that promised to reap and hangs is not waited for longer: reaping twice does no harm, never does.
constexpr std::chrono::seconds kReaperPatience{30};

Fd lockPidFile(const std::string& runDir) {
  const std::string path = runDir + "/" + kPidFile;
  Fd file = openFile(path, O_RDWR | O_CREAT, 0600);
  // The one before us holds it until it has let go of everything.
  sys([&] { return ::flock(file.get(), LOCK_EX); }, "lock '{}'", path);
  sys([&] { return ::ftruncate(file.get(), 0); }, "truncate '{}'", path);
  writeAll(file.get(), std::to_string(::getpid()) + "\n", path);
  return file;
}

sigset_t handledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  return set;
}

Fd openSignals() {
  const sigset_t set = handledSignals();
  return Fd(sys([&] { return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK); }, "create signalfd"));
}

ExitStatus statusOf(const siginfo_t& info) {
  ExitStatus out;
  (info.si_code == CLD_EXITED ? out.code : out.signal) = info.si_status;
  return out;
}

}  // namespace

void becomeMonitor() {
  const sigset_t set = handledSignals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::umask(022);
  sys([] { return ::chdir("/"); }, "change to '/'");
}

Supervisor::Supervisor(std::string runDir, MonitorConfig config, Fd engine, std::unique_ptr<Launcher> launcher,
                       std::array<int, 3> stdio)
    : runDir_(std::move(runDir)),
      config_(std::move(config)),
      launcher_(std::move(launcher)),
      inherited_(stdio),
      signals_(openSignals()) {
  exit_.id = config_.id;
  door_ = std::make_unique<Door>(
      loop_, [this](Connection& c, Request&& r) { handle(c, std::move(r)); },
      [this](Connection& c) { connectionClosed(c); });
  execs_ = std::make_unique<Execs>(loop_, scratch_, *door_, *launcher_);
  execs_->onChange([this] { finishIfOver(); });
  Connection& connection = door_->adopt(std::move(engine));
  connection.isEngine = true;
  connection.waits = isStep();
  loop_.add(signals_.get(), EPOLLIN, [this](uint32_t) { onSignal(); });
  loop_.onIdle(kIdleAfter, [this] { trim(); });
}

Supervisor::~Supervisor() {
  loop_.remove(signals_.get());
  execs_.reset();
  stdio_.reset();
  door_.reset();
}

void Supervisor::run() {
  try {
    create();
  } catch (const std::exception& error) {
    fail(error, "monitor");
  }
  finishIfOver();
  loop_.run();
}

// --- to its start ---

void Supervisor::create() {
  if (!isStep()) {
    pidFile_ = lockPidFile(runDir_);
    ::unlink((runDir_ + "/" + kExitFile).c_str());  // an earlier run's
    door_->listen(runDir_);
    if (config_.log.driver == "json-file") {
      log_.emplace(config_.log);
    } else if (config_.log.driver != "none") {
      estiba::fail(Code::not_implemented, "log driver '{}'", config_.log.driver);
    }
  }
  const bool piped = !config_.tty && !config_.inheritStdio;
  stdio_ = std::make_unique<Stdio>(
      loop_, scratch_, StdioOptions{config_.tty, config_.stdinOpen, config_.stdinOnce, log_ ? &*log_ : nullptr});
  stdio_->onClientsGone([this] { finishIfOver(); });
  const pid_t pid = launcher_->create(piped ? stdio_->openPipes() : inherited_);
  for (int& fd : inherited_) {
    if (fd >= 0) Fd(std::exchange(fd, -1)).reset();  // the process has them; ours would keep the streams from ending
  }
  startTime_ = processStartTime(pid).value_or(0);
  initFd_ = Fd(sys([&] { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }, "open process {}", pid));
  exit_.pid = pid;
  state_ = State::created;
  for (Connection& connection : door_->connections()) {
    if (connection.isEngine) connection.answer({.created = Created{pid, startTime_}});
  }
}

void Supervisor::start(Connection& connection, bool reaper) {
  if (!connection.isEngine || state_ != State::created) estiba::fail(Code::conflict, "there is nothing to start");
  connection.reaper = reaper;
  connection.waits = connection.waits || reaper;
  try {
    if (config_.tty) stdio_->setConsole(launcher_->console());
    if (config_.consoleSize.size() == 2) stdio_->resize(config_.consoleSize[0], config_.consoleSize[1]);
    started(launcher_->start());
  } catch (const std::exception& error) {
    fail(error, "start");
  }
}

void Supervisor::started(std::vector<std::string> warnings) {
  state_ = State::running;
  exit_.startedAt = rfc3339Nano(now());
  stdio_->childStarted();
  for (Connection& connection : door_->connections()) {
    if (connection.isEngine) connection.answer({.started = Started{exit_.startedAt, std::move(warnings)}});
  }
  reapChildren();  // it may have ended before the loop looked
}

// It never ran, and will not.
void Supervisor::fail(const std::exception& error, const char* stage) {
  const Failed failed = failureOf(error, stage);
  exit_.exitCode = failed.exitCode;
  exit_.error = failed.message;
  exit_.stage = failed.stage;
  exit_.errorNumber = failed.errorNumber;
  exit_.detail = failed.detail;
  exit_.startedAt.clear();
  for (Connection& connection : door_->connections()) {
    if (!connection.isEngine) continue;
    connection.answer({.failed = failed});
    connection.waits = connection.reaper = false;
  }
  launcher_.reset();  // before the streams: it kills what holds their other ends
  if (stdio_) stdio_->processEnded([] {});
  exit_.finishedAt = rfc3339Nano(now());
  reapDone_ = true;  // the engine knows; nothing of a container that never ran needs reaping here
  ended();
}

// --- requests ---

void Supervisor::handle(Connection& connection, Request&& request) {
  const std::string& op = request.op;
  if (op == "start") return start(connection, request.reaper);
  if (op == "wait") return handleWait(connection, request.reaper);
  if (op == "reaped") return reapedBy(connection.reaper);
  if (op == "execWait") return execs_->wait(connection, request.id);
  if (op == "execState") return connection.answer({.ok = execs_->state(request.id)});
  if (op == "state") return connection.answer({.ok = state()});
  if (op == "attach") return attach(connection, request);
  if (op == "exec") {
    requireRunning();
    return execs_->start(connection, std::move(request));
  }
  if (op == "resize") {
    if (!request.exec.empty()) {
      execs_->resize(request.exec, request.h, request.w);
    } else if (state_ == State::created) {
      config_.consoleSize = {request.h, request.w};
    } else {
      requireRunning();
      stdio_->resize(request.h, request.w);
    }
  } else if (op == "signal") {
    request.exec.empty() ? signal(request.signal) : execs_->signal(request.exec, request.signal);
  } else if (op == "pause" || op == "resume") {
    requireRunning();
    op == "pause" ? launcher_->freeze() : launcher_->thaw();
    paused_ = op == "pause";
  } else if (op == "rootfs") {
    if (state_ == State::ended) requireRunning();
    return connection.answerWithFd({.ok = OkAnswer{}}, launcher_->cloneRootfs().get());
  } else {
    estiba::fail(Code::not_implemented, "request '{}'", op);
  }
  connection.answer({.ok = OkAnswer{}});
}

void Supervisor::requireRunning() const {
  if (state_ != State::running) estiba::fail(Code::conflict, "container {} is not running", config_.id);
}

void Supervisor::handleWait(Connection& connection, bool reaper) {
  connection.waits = true;
  connection.reaper = connection.reaper || (reaper && !reapDone_);
  if (state_ != State::ended) return;
  connection.answer({.exited = exit_});
  if (connection.reaper) awaitReaper();
}

void Supervisor::attach(Connection& connection, const Request& request) {
  if (state_ == State::ended || state_ == State::creating) requireRunning();
  StreamClientOptions options{.in = request.stdin_ && config_.stdinOpen,
                              .out = request.stdout_,
                              .err = request.stderr_,
                              .framed = !config_.tty};
  const std::string keys = request.detachKeys.empty() ? kDefaultDetachKeys : request.detachKeys;
  if (config_.tty) options.detachKeys = parseDetachKeys(keys);
  if (request.logs && log_) {
    options.replay = std::make_unique<LogReader>(
        config_.log.path, LogReadOptions{.stdout_ = request.stdout_, .stderr_ = request.stderr_});
  }
  auto [fd, early] = door_->take(connection);
  stdio_->attach(std::make_unique<StreamClient>(std::move(fd), std::move(options),
                                                dumpJsonOf(Message{.ok = OkAnswer{}}) + "\n", std::move(early)));
}

void Supervisor::signal(int signal) {
  requireRunning();
  sys([&] { return static_cast<int>(::syscall(SYS_pidfd_send_signal, initFd_.get(), signal, nullptr, 0)); },
      "send signal {} to container {}", signal, config_.id);
}

OkAnswer Supervisor::state() const {
  OkAnswer out;
  switch (state_) {
    case State::creating:
    case State::created:
      out.status = "created";
      break;
    case State::running:
      out.status = paused_ ? "paused" : "running";
      break;
    case State::draining:
    case State::ended:
      out.status = "exited";
      break;
  }
  out.pid = exit_.pid;
  out.startTime = startTime_;
  out.startedAt = exit_.startedAt;
  return out;
}

void Supervisor::connectionClosed(Connection& connection) {
  execs_->forget(connection);
  if (connection.isEngine && state_ == State::created) {
    connection.isEngine = false;
    fail(Error(Code::cancelled, "the engine went away before the start"), "monitor");
  } else if (connection.isEngine && isStep() && state_ == State::running) {
    ::syscall(SYS_pidfd_send_signal, initFd_.get(), SIGKILL, nullptr, 0);  // nobody will ask for a build step's result
  }
  if (connection.reaper && state_ == State::ended) {
    connection.reaper = false;
    reapedBy(false);
  }
  // The connection is still in the list: looked at again when it is gone.
  loop_.after(std::chrono::milliseconds(0), [this] { finishIfOver(); });
}

// --- signals, children ---

void Supervisor::onSignal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT) continue;
    if (state_ == State::running) {
      ::syscall(SYS_pidfd_send_signal, initFd_.get(), config_.stopSignal, nullptr, 0);
    } else if (state_ == State::created) {
      fail(Error(Code::cancelled, "the monitor was told to end before the start"), "monitor");
    }
  }
  if (state_ != State::created) reapChildren();  // until its start the launcher looks after it
}

void Supervisor::reapChildren() {
  execs_->collect();
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
    if (info.si_pid == exit_.pid && state_ == State::running) {
      initEnded(statusOf(info));
    } else if (info.si_pid == releaser_) {
      releaser_ = 0;
      released_ = true;
      finishIfOver();
    } else {
      execs_->reaped(info.si_pid, statusOf(info));
    }
  }
}

void Supervisor::initEnded(const ExitStatus& status) {
  state_ = State::draining;
  exit_.finishedAt = rfc3339Nano(now());
  exit_.exitCode = status.shellCode();
  exit_.signal = status.signal;
  try {
    exit_.oomKilled = launcher_->oomKills() > 0;
    launcher_->killRest();
  } catch (const std::exception& error) {
    log::warn("container {}: {}", config_.id, error.what());
  }
  execs_->abandon();
  stdio_->processEnded([this] { ended(); });
}

// --- after its end ---

void Supervisor::ended() {
  state_ = State::ended;
  const bool slow = launcher_ && launcher_->unmountIsSlow();
  if (launcher_ && !slow) unmount();  // who is told may use the upper directory
  writeExit();
  for (Connection& connection : door_->connections()) {
    if (!connection.waits) continue;
    connection.answer({.exited = exit_});
    door_->flush(connection);
    if (connection.reaper && !reapDone_) awaitReaper();
  }
  slow ? releaseInChild() : release();
}

void Supervisor::writeExit() {
  if (isStep()) return;  // its result goes to the engine, or nowhere
  try {
    // Not synced: after a crash of the host no container runs, and the engine knows that by the boot, not by this file.
    writeFileAtomic(runDir_ + "/" + kExitFile, dumpJsonOf(exit_) + "\n", 0600, /*durable=*/false);
  } catch (const std::exception& error) {
    log::error("container {}: {}", config_.id, error.what());
  }
}

void Supervisor::unmount() noexcept {
  try {
    launcher_->unmountRootfs();
  } catch (const std::exception& error) {
    log::warn("container {}: {}", config_.id, error.what());
  }
}

void Supervisor::removeCgroup() noexcept {
  try {
    launcher_->removeCgroup();
  } catch (const std::exception& error) {
    log::warn("container {}: {}", config_.id, error.what());
  }
}

void Supervisor::release() {
  if (launcher_) removeCgroup();
  released_ = true;
  finishIfOver();
}

// Clients are served meanwhile.
void Supervisor::releaseInChild() {
  const Cloned child = cloneProcess(0);
  if (child.pid == 0) {
    unmount();
    removeCgroup();
    ::_exit(0);
  }
  releaser_ = child.pid;
}

void Supervisor::awaitReaper() {
  if (std::exchange(reaping_, true)) return;
  loop_.after(kReaperPatience, [this] { reapedBy(false); });
}

void Supervisor::reapedBy(bool engine) {
  if (state_ != State::ended) return;
  reaping_ = false;
  reapDone_ = reapDone_ || engine;  // otherwise our own `reap` follows
  finishIfOver();
}

void Supervisor::finishIfOver() {
  if (state_ != State::ended || !released_ || reaping_) return;
  door_->close();
  if (!reapDone_ && !isStep() && !config_.reap.empty()) {
    reapDone_ = true;
    unlock();
    try {
      Process::spawn({.path = config_.reap[0], .args = config_.reap, .newSession = true}).release();
    } catch (const std::exception& error) {
      log::error("container {}: {}", config_.id, error.what());
    }
  }
  reapDone_ = true;
  unlock();
  door_->endWaiters();
  if ((stdio_ && stdio_->clientCount() > 0) || execs_->busy() || !door_->allFlushed()) return;
  loop_.stop();
}

// Before the file is closed: who watches that finds it unlocked.
void Supervisor::unlock() noexcept {
  if (pidFile_) ::flock(pidFile_.get(), LOCK_UN);
  pidFile_.reset();
}

void Supervisor::trim() {
  scratch_.release();
  if (log_) log_->trim();
}

}  // namespace estiba::monitor
