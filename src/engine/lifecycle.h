#pragma once
// The life of containers: start, stop, kill, pause, wait, and what follows an end.

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "apitypes/container.h"
#include "container/record.h"
#include "engine/containers.h"
#include "engine/context.h"
#include "engine/launcher.h"

namespace estiba::engine {

enum class Changed { no, yes };
enum class WaitFor { not_running, next_exit, removed };

struct AttachOptions {
  bool stream = true;
  bool stdinOpen = false, stdoutOpen = false, stderrOpen = false;
  bool logs = false;
  std::string detachKeys;
};

class Lifecycle {
 public:
  Lifecycle(Context& context, Containers& containers);

  /// Throws Error with docker's words where the process cannot be started; the container is `created` or `exited` then,
  /// with the code and the error in its record.
  Changed start(const std::string& ref);
  Changed stop(const std::string& ref, std::optional<int64_t> timeoutSeconds, const std::string& signal);
  void restart(const std::string& ref, std::optional<int64_t> timeoutSeconds, const std::string& signal);
  void kill(const std::string& ref, const std::string& signal);
  void pause(const std::string& ref);
  void unpause(const std::string& ref);
  void remove(const std::string& ref, const RemoveOptions& options);
  /// Blocks until the condition holds; `goneFd` (readable when the client has left) ends it with Error(cancelled).
  apitypes::WaitResponse wait(const std::string& ref, WaitFor condition, int goneFd,
                              const std::function<void()>& registered);
  /// A stream to the container's standard streams: docker's frames, or raw bytes with a terminal. For one that is not
  /// up yet it blocks until it starts (`registered` is called first: the reply's header can go out).
  Fd attach(const std::string& ref, const AttachOptions& options, int goneFd, const std::function<void()>& registered);
  void resize(const std::string& ref, int height, int width);
  /// Readable when nothing will be written to this container's log any more: its monitor has ended.
  Fd endFd(const container::Record& record);

  /// False where its engine was killed half-way, or its monitor was: settle() has something to do, unless an engine is
  /// just at it.
  bool isSettled(const container::Record& record) const;
  /// Brings it to a state of which it can go on; what a living engine is still at is left alone
  /// after so long.
  void settle(const std::string& id, std::chrono::milliseconds patience = {});
  /// What must happen after its process has ended: rows, addresses, restart or removal. Idempotent, any engine.
  void reap(const std::string& id);

 private:
  struct Waiters;
  void launch(const container::Record& record);
  void signalAndWait(const container::Record& record, int signal, std::chrono::milliseconds timeout);
  void waitGone(const std::string& id);
  void finished(const container::Record& record);
  bool tryReap(const std::string& id) noexcept;
  void settleStart(const container::Record& record);
  /// The record, settled.
  container::Record current(const std::string& ref);
  container::Record refresh(const std::string& id) { return ctx_.records.get(id); }

  Context& ctx_;
  Containers& containers_;
  Launcher launcher_;
  std::unique_ptr<Waiters, void (*)(Waiters*)> waiters_;
};

/// "KILL", "SIGKILL", "9" -> 9. Throws Error(invalid) "invalid signal: X".
int signalNumber(const std::string& name);

}  // namespace estiba::engine
