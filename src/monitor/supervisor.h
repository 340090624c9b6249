#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "monitor/config.h"
#include "monitor/door.h"
#include "monitor/event_loop.h"
#include "monitor/execs.h"
#include "monitor/launcher.h"
#include "monitor/log.h"
#include "monitor/scratch.h"
#include "monitor/stdio.h"

namespace estiba::monitor {

/// What a process must be before it may run a Supervisor: signals blocked, SIGPIPE ignored, a child subreaper, in "/".
void becomeMonitor();

/// One container's life, from its creation to the last trace of it:
///   creating -> created (waits for `start`) -> running -> draining (the process is gone, its output is not) -> ended
///   (exit.json is written, waiters are told) -> released (nothing of the container is left) -> run() returns.
/// Where the engine goes away before `start`, or a start fails, it goes to `ended` at once.
class Supervisor {
 public:
  /// `engine`: the connected descriptor; `stdio`: for MonitorConfig::inheritStdio, else ignored.
  Supervisor(std::string runDir, MonitorConfig config, Fd engine, std::unique_ptr<Launcher> launcher,
             std::array<int, 3> stdio = {-1, -1, -1});
  ~Supervisor();

  /// Returns when everything is over. After becomeMonitor().
  void run();

 private:
  enum class State { creating, created, running, draining, ended };

  void create();
  void start(Connection& connection, bool reaper);
  void started(std::vector<std::string> warnings);
  void fail(const std::exception& error, const char* stage);

  void handle(Connection& connection, Request&& request);
  void handleWait(Connection& connection, bool reaper);
  void attach(Connection& connection, const Request& request);
  void signal(int signal);
  void connectionClosed(Connection& connection);
  OkAnswer state() const;
  void requireRunning() const;

  void onSignal();
  void reapChildren();
  void initEnded(const ExitStatus& status);
  void ended();
  void writeExit();
  void unmount() noexcept;
  void removeCgroup() noexcept;
  void release();
  void releaseInChild();
  void awaitReaper();
  void reapedBy(bool engine);
  void finishIfOver();
  void unlock() noexcept;
  bool isStep() const noexcept { return config_.mode == kModeStep; }
  void trim();

  std::string runDir_;
  MonitorConfig config_;
  std::unique_ptr<Launcher> launcher_;
  std::array<int, 3> inherited_;
  Fd pidFile_, signals_, initFd_;
  EventLoop loop_;
  Scratch scratch_;
  std::optional<JsonFileLog> log_;
  std::unique_ptr<Stdio> stdio_;
  std::unique_ptr<Door> door_;
  std::unique_ptr<Execs> execs_;
  State state_ = State::creating;
  bool paused_ = false, released_ = false, reaping_ = false, reapDone_ = false;
  pid_t releaser_ = 0;
  uint64_t startTime_ = 0;
  ExitRecord exit_;
};

}  // namespace estiba::monitor
