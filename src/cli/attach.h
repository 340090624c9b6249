#pragma once
// A terminal, or pipes, joined to a container's streams.

#include <functional>
#include <future>
#include <string>
#include <thread>

#include "cli/session.h"

namespace estiba::cli {

struct Joined {
  bool tty = false;
  bool in = false, out = true, err = true;
  /// Tells the engine the terminal's size; called first and at every change. Empty: nobody cares.
  std::function<void(unsigned rows, unsigned columns)> resize;
  std::string detachKeys;  ///< with a terminal; empty: kDefaultDetachKeys
};

enum class Left {
  ended,    ///< the container's side has ended
  detached  ///< the user left by the detach keys; it goes on without us
};

/// Copies until one side leaves. With a terminal the local one is in raw mode meanwhile. Throws Error(invalid) for
/// detach keys that are none.
Left joinStreams(Session& session, http::Upgraded stream, const Joined& options);

/// Waits for a container's end in a thread of its own, from before its start on. Given up when it goes.
class ContainerEnd {
 public:
  /// `condition`: "next-exit", "removed", "not-running". The engine has been asked when this returns.
  ContainerEnd(Session& session, const std::string& id, const std::string& condition);
  /// The exit code; waits for it. Once. Throws what the engine answered.
  int code() { return code_.get_future().get(); }

 private:
  std::promise<int> code_;
  std::jthread thread_;
};

/// While it lives, signals that reach this process are handed to `forward` (SIGCHLD, SIGPIPE, SIGURG, SIGWINCH and the
/// terminal's stop signals apart).
class SignalForward {
 public:
  explicit SignalForward(std::function<void(int signal)> forward);
  ~SignalForward();
  SignalForward(const SignalForward&) = delete;
  SignalForward& operator=(const SignalForward&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace estiba::cli
