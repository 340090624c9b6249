#pragma once
// The engine's side of a container's monitor.
//
//   Monitor m = Monitor::spawn({.runDir = run});
//   Created c = m.created();        // set the network up in /proc/<c.pid>/ns/net
//   Fd out = m.attach({...});       // before start(): not a byte is missed
//   m.start({.willReap = true});    // throws runtime::StageError
//   ExitRecord e = *m.wait({.reap = [&](const ExitRecord& e) { ...network down, --rm... }});
//
// Any thread may use a Monitor of its own (connect()); one object is not shared between threads, except that attach(),
// exec(), execWait(), resize(), signal(), state(), rootfs(), pause(), resume() and wait() each open a connection of
// their own and may be called from several threads at once.
// Where the monitor is gone: Error(unavailable) that says so. Then readExit() tells how the container ended.

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/fd.h"
#include "monitor/config.h"
#include "monitor/protocol.h"
#include "oci/runtime_spec.h"
#include "runtime/stage_error.h"

namespace estiba::monitor {

struct SpawnOptions {
  std::string runDir;  ///< absolute, exists, 0700; holds monitor.json and config.json
  /// What is executed: the caller's own binary, from a read-only place that nobody can write through (CVE-2019-5736).
  std::string binary = "/proc/self/exe";
  /// argv before RUN and the descriptor's number.
  std::vector<std::string> command = {"estiba", "monitor"};
  /// For MonitorConfig::inheritStdio: the container's own standard input, output and error. -1: /dev/null.
  std::array<int, 3> stdio = {-1, -1, -1};
};

struct StartOptions {
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
  /// This object's wait() will do the reaping, however soon the container ends. Until then the Monitor must live: when
  /// it goes, the monitor runs MonitorConfig::reap itself.
  bool willReap = false;
};

struct AttachOptions {
  bool in = false, out = true, err = true;
  bool logs = false;       ///< first what the log holds
  std::string detachKeys;  ///< with a terminal; empty: ctrl-p,ctrl-q
};

struct ExecOptions {
  std::string id;  ///< the caller's name for it, unique in this container
  oci::Process process;
  bool tty = false, in = false;
  bool detach = false;  ///< its streams are /dev/null; no stream to the caller
  std::string detachKeys;
  std::vector<uint32_t> consoleSize;  ///< {height, width}
};

struct ExecStarted {
  pid_t pid = 0;
  Fd stream;  ///< as attach(); empty where detached
};

struct ExecState {
  bool running = false;
  pid_t pid = 0;
  std::optional<int> exitCode;
};

struct ContainerState {
  std::string status;  ///< created, running, paused, exited
  pid_t pid = 0;
  uint64_t startTime = 0;
  std::string startedAt;
};

struct WaitOptions {
  std::optional<std::chrono::milliseconds> timeout;
  std::stop_token stop;
  /// Called once after the container's end, before the monitor lets go: what must happen then (network, --rm, restart
  /// bookkeeping). Where nobody reaps, the monitor runs MonitorConfig::reap itself; so it does when this throws. Not
  /// called where it had ended, and was reaped, before anybody promised to (StartOptions::willReap is in time always).
  std::function<void(const ExitRecord&)> reap;
};

class Monitor {
 public:
  /// Starts the monitor of `runDir`. Its errors come with created(). Throws SysError where it cannot be executed.
  static Monitor spawn(const SpawnOptions& options);
  /// The running monitor of `runDir`. Throws Error(unavailable) where there is none.
  static Monitor connect(const std::string& runDir);
  /// The same without asking whether it is there: the first call will tell.
  static Monitor at(const std::string& runDir);
  /// One that was started by other means; `handshake` is the engine's end of its connection.
  static Monitor adopt(const std::string& runDir, Fd handshake, pid_t pid);

  Monitor(Monitor&&) noexcept = default;
  Monitor& operator=(Monitor&&) noexcept = default;
  /// One that was spawned and not started ends: the monitor kills what it created and writes exit.json.
  ~Monitor() = default;

  /// Of a spawned one: waits until the container's first process and its namespaces exist.
  /// Throws runtime::StageError with the monitor's words, Error(deadline), Error(unavailable).
  Created created(std::chrono::milliseconds timeout = std::chrono::seconds(30));
  /// Lets it run; returns after its execve. Throws as created(); a StageError's exitCode() is Docker's (125, 126, 127).
  Started start(const StartOptions& options = {});
  /// The descriptor of the handshake, for who polls it: readable at the end of a started step.
  int handshakeFd() const noexcept { return handshake_.get(); }
  /// Of a started step: its end. As wait(), over the handshake's connection. nullopt: time is out or `stop` was asked.
  /// The step is killed when the Monitor goes before that.
  std::optional<ExitRecord> stepEnd(std::optional<std::chrono::milliseconds> timeout = {}, std::stop_token stop = {});
  pid_t pid() const noexcept { return pid_; }  ///< the monitor's own, 0 where it was not spawned here

  /// A stream as protocol.h describes it: write standard input (shutdown(SHUT_WR) is its end), read output. End of
  /// stream: the container has ended, all was delivered, or the detach keys came.
  Fd attach(const AttachOptions& options) const;
  ExecStarted exec(const ExecOptions& options) const;  ///< throws runtime::StageError where it cannot be started
  /// nullopt: time is out, or `stop` was asked. Throws Error(not_found) for an exec that is not known (any more).
  std::optional<int> execWait(const std::string& id, std::optional<std::chrono::milliseconds> timeout = {},
                              std::stop_token stop = {}) const;
  ExecState execState(const std::string& id) const;
  void resize(uint32_t height, uint32_t width, const std::string& execId = {}) const;
  void signal(int signal, const std::string& execId = {}) const;
  ContainerState state() const;
  /// Waits for the container's end; at once where it has ended. nullopt: time is out, or `stop` was asked.
  /// With `reap` it returns when the monitor has let go of everything. After start({.willReap = true}) one thread at a
  /// time.
  std::optional<ExitRecord> wait(const WaitOptions& options = {}) const;
  /// A detached clone of the root file system's mount (an O_PATH directory), without the container's other mounts.
  Fd rootfs() const;
  void pause() const;
  void resume() const;
  /// Waits until the monitor holds nothing of the container any more (mount, log, cgroup). False: time is out.
  bool waitGone(std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;

 private:
  explicit Monitor(std::string runDir) : runDir_(std::move(runDir)) {}
  Message ask(const Request& request, Fd* stream, Fd* passed,
              std::optional<std::chrono::milliseconds> timeout = std::chrono::seconds(30),
              const std::stop_token& stop = {}) const;

  /// The next message on the handshake's connection; nullopt: time is out or `stop` was asked.
  std::optional<Message> heard(std::optional<std::chrono::milliseconds> timeout, const std::stop_token& stop,
                               std::string_view during) const;
  void reaped(int connection) const;

  std::string runDir_;
  bool willReap_ = false;
  Fd handshake_;
  pid_t pid_ = 0;
};

/// RUN/exit.json; nullopt where the container has not ended (or its monitor was killed).
std::optional<ExitRecord> readExit(const std::string& runDir);
/// Whether a monitor holds this run directory (its lock on monitor.pid).
bool isHeld(const std::string& runDir);

}  // namespace estiba::monitor
