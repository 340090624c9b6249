#pragma once
// One attached client: what the container writes goes out to it, what it sends goes to standard input.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/detach_keys.h"
#include "base/fd.h"
#include "monitor/frame.h"
#include "monitor/log_reader.h"

namespace estiba::monitor {

struct StreamClientOptions {
  bool in = false, out = false, err = false;
  bool framed = true;                     ///< false: bare bytes (terminal)
  std::optional<std::string> detachKeys;  ///< bytes; nullopt: not looked for
  std::unique_ptr<LogReader> replay;      ///< what is sent first
};

/// Owns the connection and what could not be sent yet. Knows nothing of the event loop.
class StreamClient {
 public:
  /// `pending` is sent before everything else (the answer line); `early` is input that came with the request.
  StreamClient(Fd socket, StreamClientOptions options, std::string pending, std::string early);

  int fd() const noexcept { return socket_.get(); }
  bool wantsInput() const noexcept { return options_.in; }
  bool wants(StreamId stream) const noexcept { return stream == StreamId::err ? options_.err : options_.out; }

  /// Sends now what the socket takes, keeps the rest.
  void deliver(StreamId stream, std::string_view bytes);
  /// Sends what is kept. False: the peer is gone.
  bool flush();
  size_t queued() const noexcept { return queued_; }

  /// True while it reads the log: what comes meanwhile reaches it that way, deliver() is not for it.
  bool replaying() const noexcept { return options_.replay != nullptr; }
  /// Sends more of the log, up to a full queue. True once, when its end is reached: it is live from now on.
  bool pumpReplay();

  /// What of `input` goes to the container; sets detached() where the keys were found.
  std::string filterInput(std::string_view input);
  std::string takeEarlyInput() { return std::exchange(early_, {}); }
  bool filtersInput() const noexcept { return matcher_.has_value(); }
  bool detached() const noexcept { return detached_; }

  bool inputEnded = false;  ///< it has said so, or left
  bool gone = false;        ///< nothing can be sent any more
  bool closing = false;     ///< closed as soon as the queue is empty
  bool outWatched = false;

 private:
  void send(std::string_view header, std::string_view bytes);
  void keep(std::string_view bytes);

  Fd socket_;
  StreamClientOptions options_;
  std::optional<DetachMatcher> matcher_;
  std::deque<std::string> queue_;
  size_t headSent_ = 0, queued_ = 0;
  std::string early_;
  bool detached_ = false;
};

}  // namespace estiba::monitor
