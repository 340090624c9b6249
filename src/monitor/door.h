#pragma once
// The socket in the run directory and the connections on it: lines in, lines out.

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/fd.h"
#include "monitor/event_loop.h"
#include "monitor/protocol.h"

namespace estiba::monitor {

/// One connection. Its requests come to the Door's handler; answers are queued, never waited for.
class Connection {
 public:
  explicit Connection(Fd socket) : socket_(std::move(socket)) {}

  int fd() const noexcept { return socket_.get(); }
  void answer(const Message& message);
  /// With a descriptor; throws SysError where the peer is gone.
  void answerWithFd(const Message& message, int fd);
  void answerError(const std::exception& error);

  bool isEngine = false;     ///< the descriptor that the monitor was started with
  bool waits = false;        ///< is told the container's end
  bool reaper = false;       ///< and is asked to reap
  std::string waitsForExec;  ///< is told this exec's end

 private:
  friend class Door;
  void queue(std::string_view bytes);
  bool flush();

  Fd socket_;
  std::string in_, out_;
  bool taken_ = false, broken_ = false;
};

class Door {
 public:
  using Handler = std::function<void(Connection&, Request&&)>;
  /// `handler` may call take(); what it throws is answered as an error. `closed`: the peer has gone.
  Door(EventLoop& loop, Handler handler, std::function<void(Connection&)> closed);
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  /// Listens on `dir`/monitor.sock, which may be longer than an address. Replaces a stale one.
  void listen(const std::string& dir);
  /// No more connections; the file is removed. Those that are open stay.
  void close();
  Connection& adopt(Fd socket);
  /// Its descriptor and what it sent after the request: it is a raw stream now. `connection` must not be used any more;
  /// outside of the handler, forget() it as well.
  std::pair<Fd, std::string> take(Connection& connection);
  void forget(const Connection& taken);
  std::list<Connection>& connections() noexcept { return connections_; }
  /// Sends queued answers and watches for room for the rest; after answers given outside of the handler.
  void flush(Connection& connection);
  bool allFlushed() const;
  /// Ends the connections that were told the container's end: it is released, they wait for nothing more.
  void endWaiters();

 private:
  using It = std::list<Connection>::iterator;
  void accept();
  void onReady(It it, uint32_t events);
  bool readLines(It it);
  void drop(It it);

  EventLoop& loop_;
  Handler handler_;
  std::function<void(Connection&)> closed_;
  Fd listener_, dir_;
  std::list<Connection> connections_;
};

}  // namespace estiba::monitor
