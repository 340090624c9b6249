#pragma once
// A terminal, or pipes, joined to a container's streams.

#include <functional>
#include <string>

#include "cli/session.h"

namespace estiba::cli {

struct Joined {
  bool tty = false;
  bool in = false, out = true, err = true;
  /// Tells the engine the terminal's size; called first and at every change. Empty: nobody cares.
  std::function<void(unsigned rows, unsigned columns)> resize;
};

/// Copies until the container's side has ended. With a terminal the local one is in raw mode meanwhile.
void joinStreams(Session& session, http::Upgraded stream, const Joined& options);

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
