#pragma once
// The client's side of HTTP/1.1: keep-alive connections, streaming both ways, upgrades, TLS, proxies.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "http/message.h"
#include "http/tls.h"
#include "http/url.h"

namespace estiba::http {

struct ClientOptions {
  /// Where set, every connection comes from here (a socketpair's end, a unix socket, ssh's pipe pair) whatever the
  /// URL's host is. Where unset, TCP to the URL's host, TLS for https, proxies as the environment says.
  std::function<Fd()> dial;
  TlsOptions tls;
  bool tlsOverDial = false;  ///< with `dial`: speak TLS over what it returned; set tls.serverName, or use absolute URLs
  bool useProxy = true;
  std::chrono::milliseconds connectTimeout{30'000};  ///< TCP and TLS together, each address
  std::chrono::milliseconds headerTimeout{0};        ///< from the request's end to the reply's header; 0: none
  std::chrono::milliseconds readTimeout{0};          ///< for each wait for a body's bytes; 0: none
  std::string userAgent;                             ///< sent unless the request has its own
  size_t maxHeaderBytes = 1U << 20;
  size_t maxIdle = 8;  ///< connections kept for reuse, per host
};

/// Gives the next 1..size bytes of an upload; 0 at its end.
using Source = std::function<size_t(char* data, size_t size)>;

struct ClientRequest {
  std::string method = "GET";
  std::string url;  ///< absolute, or a target ("/v1.48/info") where the client has a dialler
  Headers headers;  ///< Host, Content-Length, Transfer-Encoding are set by the client
  std::string body;
  Source source;                       ///< instead of `body`: chunked, or sourceSize bytes
  std::optional<uint64_t> sourceSize;  ///< the source's exact length
  std::vector<int> passFds;            ///< sent with the header's first byte (SCM_RIGHTS): unix sockets only
  bool followRedirects = false;        ///< GET and HEAD; up to 10; credentials do not follow to another host
  std::stop_token stop;                ///< cuts the connection: Error(cancelled)
};

class Client;

/// A reply: its header, and its body as it arrives. The connection goes back to the client when the body has been read
/// to its end; destroyed before that, it is closed.
class ClientResponse {
 public:
  int status = 0;
  std::string reason;
  Headers headers;
  std::string url;  ///< the one that answered in the end (redirects)

  BodyReader& body();
  bool ok() const noexcept { return status >= 200 && status < 300; }

  ClientResponse(ClientResponse&&) noexcept;
  ClientResponse& operator=(ClientResponse&&) noexcept;
  ~ClientResponse();

 private:
  friend class Client;
  struct State;
  explicit ClientResponse(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What upgrade() brought.
struct Upgraded {
  Fd fd;              ///< as in Hijacked: under TLS one end of a pair
  std::string early;  ///< bytes that came right behind the reply's header
  int status = 0;     ///< 101, or 200 for the raw streams of old engines
  Headers headers;
};

/// Requests from any thread at the same time, each on a connection of its own out of a pool.
class Client {
 public:
  explicit Client(ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Sends and returns when the reply's header is there, whatever its status. Throws Error: unavailable (no connection,
  /// or it broke), deadline, cancelled, invalid (not HTTP). A request on a kept connection that had died is sent once
  /// more where nothing was answered and its body can be sent again.
  ClientResponse request(const ClientRequest& request);

  /// Sends with "Connection: Upgrade" and "Upgrade: `protocol`" (Docker: "tcp", "h2c"). Any other answer than 101 (or
  /// 200 with a raw or multiplexed stream's content type) is handed to `onRefused`, which is to throw; where it does
  /// not, Error(internal) is thrown.
  Upgraded upgrade(const ClientRequest& request, const std::string& protocol,
                   const std::function<void(ClientResponse&)>& onRefused);

 private:
  friend class ClientResponse;
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared: responses return their connection, and may outlive the client
};

/// Connected sockets, blocking, CLOEXEC. Throw Error(unavailable) or SysError that names the address.
Fd connectUnix(const std::string& path);
Fd connectTcp(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);

}  // namespace estiba::http
