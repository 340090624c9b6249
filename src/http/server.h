#pragma once
// The server's side of HTTP/1.1 over sockets: blocking, one thread per connection.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "http/message.h"
#include "http/tls.h"

namespace estiba::http {

class ServerConnection;

/// The connection itself, taken over by a handler.
struct Hijacked {
  Fd fd;              ///< the socket, blocking; under TLS one end of a pair behind which our thread en- and decrypts
  std::string early;  ///< bytes that the client had sent after its request: to be treated as read first
};

/// How a handler answers: exactly one of send(), stream(), hijack(). One thread at a time.
/// What writes throws Error(cancelled) where the client has gone.
class ResponseWriter {
 public:
  ResponseWriter(const ResponseWriter&) = delete;
  ResponseWriter& operator=(const ResponseWriter&) = delete;

  /// Headers that go out with whatever is answered (and may be set before an exception): Api-Version, Server …
  Headers& headers() noexcept { return common_; }

  /// Status line, headers and body in one write. Content-Length is added.
  void send(int status, const Headers& headers, std::string_view body);
  void send(const Response& response) { send(response.status, response.headers, response.body); }
  void sendJson(int status, const json::value& value);

  /// Begins a chunked reply (for HTTP/1.0: one that ends with the connection). The header goes out at once.
  void stream(int status, const Headers& headers);
  /// One chunk, sent at once.
  void write(std::string_view bytes);
  /// Ends the stream; the server calls it after the handler. A handler that throws after stream() leaves the stream
  /// without its end, so that the client notices.
  void finish();

  /// Sends the header alone ("101 UPGRADED" with Connection and Upgrade, where `status` is 101) and hands the
  /// connection over. What is left of the request's body is read and dropped before.
  Hijacked hijack(int status, const Headers& headers);

  bool started() const noexcept { return state_ != State::fresh; }
  bool hijacked() const noexcept { return state_ == State::hijacked; }

  /// Whether the client has hung up or the server is to stop: asks the kernel, does not wait.
  bool gone() const noexcept;
  /// The same to wait on: poll(2) for POLLRDHUP, together with what else the handler waits for.
  int goneFd() const noexcept;
  /// The same as a token, for calls that take one. The first call starts a thread that ends with the request.
  std::stop_token goneToken();

  /// Who is at the other end of a unix socket; nullopt for TCP.
  struct Peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
  };
  std::optional<Peer> peer() const noexcept;

 private:
  friend class ServerConnection;
  enum class State { fresh, streaming, done, hijacked };
  explicit ResponseWriter(ServerConnection& connection) noexcept;
  ~ResponseWriter();
  std::string head(int status, const Headers& headers) const;

  struct GoneWatch;
  ServerConnection& connection_;
  Headers common_;
  State state_ = State::fresh;
  bool chunked_ = false;
  bool bodyless_ = false;
  std::unique_ptr<GoneWatch> watch_;
};

using Handler = std::function<void(Request&, ResponseWriter&)>;

struct ServerOptions {
  size_t maxHeaderBytes = 256U << 10;
  std::chrono::milliseconds headerTimeout{30'000};  ///< from a request's first byte to its header's end; 0: none
  std::chrono::milliseconds idleTimeout{0};         ///< between requests; 0: none
  std::chrono::milliseconds bodyTimeout{0};         ///< for each wait for a body's bytes; 0: none
  /// What is thrown by a handler (or found wrong with a request: Error(invalid)) as a reply.
  /// Default: text/plain with the message, 400 for invalid and 500 for the rest.
  std::function<Response(const std::exception&)> onError;
  std::shared_ptr<const TlsServerContext> tls;  ///< unset: plain
  size_t maxConnections = 4096;                 ///< Server only: more wait in the listen queue
};

/// Serves one connection until the peer closes it, an error, a hijack, or `stop`. On `stop` idle connections end at
/// once; a handler that runs sees gone() and may still answer. Does not throw. Any thread.
void serveConnection(Fd connection, const Handler& handler, const ServerOptions& options = {},
                     std::stop_token stop = {});

/// Accepts on a listening socket; a thread (1 MiB of stack, of which an idle one touches some KiB) per connection.
class Server {
 public:
  Server(Fd listener, Handler handler, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Until `stop`; returns when every connection has ended (running handlers see gone()).
  void run(std::stop_token stop);
  size_t connections() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A listening unix socket. A socket file left over by a dead process is replaced; one that answers is Error(conflict).
/// Its directory must be there.
Fd listenUnix(const std::string& path, mode_t mode, gid_t group);
/// A listening TCP socket on a numeric address or name; port 0: any.
Fd listenTcp(const std::string& host, uint16_t port);
/// The port that a TCP socket is bound to.
uint16_t boundPort(const Fd& socket);

}  // namespace estiba::http
