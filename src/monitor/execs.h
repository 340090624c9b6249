#pragma once
// More processes in the running container.

#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "monitor/door.h"
#include "monitor/launcher.h"
#include "monitor/stdio.h"
#include "sys/process.h"

namespace estiba::monitor {

/// All execs of one container. Each is started by a short-lived child of the monitor, which joins the namespaces: a
/// container that makes joining it hang hangs that child, not the monitor. The process itself becomes the monitor's
/// child when that one ends (the monitor is a subreaper). Exit codes of the last kKept are remembered.
class Execs {
 public:
  static constexpr size_t kKept = 256;

  Execs(EventLoop& loop, Scratch& scratch, Door& door, Launcher& launcher)
      : loop_(loop), scratch_(scratch), door_(door), launcher_(launcher) {}
  ~Execs();
  Execs(const Execs&) = delete;
  Execs& operator=(const Execs&) = delete;

  /// The answer comes when it runs. Throws Error(conflict) where the ID is known, Error(invalid).
  void start(Connection& connection, Request&& request);
  /// Answers now or when it has ended. Throws Error(not_found).
  void wait(Connection& connection, const std::string& id);
  OkAnswer state(const std::string& id) const;
  void resize(const std::string& id, uint32_t height, uint32_t width);
  void signal(const std::string& id, int signal);

  /// Reads what the starting children have said; before their ends are reaped.
  void collect();
  /// A child of the monitor has ended; false where it is none of ours.
  bool reaped(pid_t pid, const ExitStatus& status);
  /// The connection of one that is being started has gone.
  void forget(const Connection& connection);
  bool busy() const noexcept { return !running_.empty(); }
  /// The container has ended: those that start will not.
  void abandon();
  /// Called whenever one is over.
  void onChange(std::function<void()> callback) { changed_ = std::move(callback); }

 private:
  struct Exec {
    std::string id;
    pid_t pid = 0, starter = 0;
    Fd report;                    // from the starter, until it has spoken
    Connection* asker = nullptr;  // until it is answered
    StreamClientOptions stream;
    std::unique_ptr<Stdio> stdio;  // null: detached
    std::vector<uint32_t> consoleSize;
    bool detach = false, tty = false;
    std::optional<int> exitCode;
    bool drained = false;
  };
  struct Ended {
    std::string id;
    int64_t pid;
    int exitCode;
  };
  using It = std::list<Exec>::iterator;

  Exec* find(const std::string& id);
  const Exec* find(const std::string& id) const;
  const Ended* findEnded(const std::string& id) const;
  void launch(Exec& exec, const oci::Process& process, const std::array<int, 3>& stdio);
  void onReport(It it);
  void begun(Exec& exec, Message&& message, std::vector<Fd> passed);
  void failed(It it, Message&& message);
  void ended(It it);
  void sweepSoon();

  EventLoop& loop_;
  Scratch& scratch_;
  Door& door_;
  Launcher& launcher_;
  std::list<Exec> running_;
  std::deque<Ended> ended_;
  std::function<void()> changed_;
  uint64_t sweep_ = 0;
};

/// What a StageError (or any other) says, for the engine.
Failed failureOf(const std::exception& error, const char* stage);

}  // namespace estiba::monitor
