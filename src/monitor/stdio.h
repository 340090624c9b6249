#pragma once
// The standard streams of one process (a container's first, or an exec's) between it, its log and its clients.

#include <array>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "monitor/event_loop.h"
#include "monitor/log.h"
#include "monitor/scratch.h"
#include "monitor/stream_client.h"

namespace estiba::monitor {

struct StdioOptions {
  bool tty = false;
  bool stdinOpen = false;
  bool closesStdin = false;    ///< a client's end of input is the process's (not with a terminal)
  JsonFileLog* log = nullptr;  ///< not owned; null: none
};

/// Every byte of output goes to the log first, then to each client. A client that does not read holds the process back
/// (nothing is lost, as Docker does it); one that leaves lets it go on. Input that the process does not take holds its
/// sender back. Runs on the loop's thread.
class Stdio {
 public:
  Stdio(EventLoop& loop, Scratch& scratch, StdioOptions options);
  ~Stdio();
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;

  /// Without a terminal: makes the pipes. What the process gets as 0, 1, 2 (-1: /dev/null); closed by childStarted().
  std::array<int, 3> openPipes();
  void childStarted();
  /// With a terminal: its master.
  void setConsole(Fd master);
  void resize(uint32_t height, uint32_t width);

  void attach(std::unique_ptr<StreamClient> client);
  size_t clientCount() const noexcept { return clients_.size(); }

  /// The process has ended. What it wrote is read; where others still hold its streams open, they have until 200 ms of
  /// silence, 2 s in all. Then the log's last lines are written, clients are closed as they have taken everything, and
  /// `drained` is called once.
  void processEnded(std::function<void()> drained);
  /// Whenever the last client has gone.
  void onClientsGone(std::function<void()> callback) { clientsGone_ = std::move(callback); }

 private:
  struct Source {
    Fd fd;
    StreamId stream;
  };
  using ClientIt = std::list<std::unique_ptr<StreamClient>>::iterator;

  void watchSource(Source& source);
  void onSource(Source& source, uint32_t events);
  /// One read; false: nothing there now, or the end.
  bool readSource(Source& source);
  void endSource(Source& source);
  void deliver(StreamId stream, std::string_view bytes);
  bool congested() const;
  void updateSources();

  void onClient(ClientIt it, uint32_t events);
  void readClient(StreamClient& client);
  void inputEnded(StreamClient& client);
  void flushClient(StreamClient& client);
  void updateClient(StreamClient& client);
  void updateClients();
  bool settle(ClientIt it);

  int stdinFd() const noexcept;
  void writeStdin(std::string_view bytes);
  void flushStdin();
  void closeStdin();

  void linger();
  void finish();

  EventLoop& loop_;
  Scratch& scratch_;
  StdioOptions options_;
  std::vector<Fd> childEnds_;
  std::list<Source> sources_;
  Fd stdin_;
  std::string stdinPending_;
  bool stdinEnding_ = false, stdinWatched_ = false;
  std::list<std::unique_ptr<StreamClient>> clients_;
  std::function<void()> drained_, clientsGone_;
  bool begun_ = false, ended_ = false, finished_ = false;
  uint64_t bytesRead_ = 0, lingerSeen_ = 0;
  int silentTicks_ = 0, ticks_ = 0;
  uint64_t lingerTimer_ = 0;
};

}  // namespace estiba::monitor
