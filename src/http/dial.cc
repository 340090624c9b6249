#include "http/dial.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "base/clock.h"
#include "base/text.h"
#include "http/parser.h"

namespace estiba::http {
namespace {

// 0 or an errno.
int connectOne(const Fd& socket, const addrinfo& address, milliseconds timeout) {
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!waitFor(socket.get(), POLLOUT, timeout)) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

Fd connectUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) fail(Code::invalid, "socket path '{}' is too long", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd socket(sys([] { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }, "make a socket"));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  throw SysError(errno, fmt::format("connect to '{}'", path));
}

Fd connectTcp(const std::string& host, uint16_t port, std::chrono::milliseconds timeout) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) fail(Code::unavailable, "lookup {}: {}", host, toLower(::gai_strerror(error)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &::freeaddrinfo);
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    Fd socket(sys([&] { return ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); },
                  "make a socket"));
    error = connectOne(socket, *address, timeout);
    if (error != 0) continue;
    const int flags = ::fcntl(socket.get(), F_GETFL);
    ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK);
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return socket;
  }
  if (error == ETIMEDOUT) fail(Code::deadline, "connect to {}:{}: timeout", host, port);
  throw SysError(error, fmt::format("connect to {}:{}", host, port));
}

std::string Route::key() const {
  return url.scheme + "://" + url.host + ":" + std::to_string(url.effectivePort()) +
         (proxy ? " by " + proxy->hostPort() : "");
}

std::string basicAuth(const Url& url) {
  return url.user.empty() ? "" : "Basic " + base64Encode(url.user + ":" + url.password);
}

const TlsClientContext& Dialer::tls() {
  const std::lock_guard lock(mutex_);
  if (!tls_) tls_ = std::make_unique<TlsClientContext>(options_.tls);
  return *tls_;
}

std::unique_ptr<Stream> Dialer::dial(const Route& route) {
  if (options_.dial) {
    Fd socket = options_.dial();
    if (!options_.tlsOverDial) return plainStream(std::move(socket), false);
    return tlsClientStream(std::move(socket), tls(), route.url.host, options_.connectTimeout);
  }
  const bool secure = route.url.scheme == "https";
  if (!secure && route.url.scheme != "http") {
    fail(Code::not_implemented, "URL scheme '{}' of '{}'", route.url.scheme, route.url.str());
  }
  if (route.proxy) {
    if (route.proxy->scheme != "http") {
      fail(Code::not_implemented, "proxy scheme '{}' of '{}'", route.proxy->scheme, route.proxy->str());
    }
    Fd socket = connectTcp(route.proxy->host, route.proxy->effectivePort(), options_.connectTimeout);
    return secure ? tunnel(std::move(socket), route) : plainStream(std::move(socket), false);
  }
  Fd socket = connectTcp(route.url.host, route.url.effectivePort(), options_.connectTimeout);
  if (!secure) return plainStream(std::move(socket), false);
  return tlsClientStream(std::move(socket), tls(), route.url.host, options_.connectTimeout);
}

std::unique_ptr<Stream> Dialer::tunnel(Fd socket, const Route& route) {
  Url target = route.url;
  target.port = target.effectivePort();
  std::string text = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", target.hostPort());
  if (const auto auth = basicAuth(*route.proxy); !auth.empty()) text += "Proxy-Authorization: " + auth + "\r\n";
  auto stream = plainStream(std::move(socket), false);
  stream->write(text + "\r\n");
  MessageParser parser(MessageParser::Kind::responseToHead, options_.maxHeaderBytes);
  InputBuffer input;
  while (!parser.headDone()) {
    if (!input.fill(*stream, options_.maxHeaderBytes, 4096, options_.connectTimeout)) {
      fail(Code::unavailable, "proxy {} closed the connection", route.proxy->hostPort());
    }
    input.consume(parser.feedHead(input.bytes()));
  }
  const auto& head = parser.head();
  if (head.status / 100 != 2) {
    fail(Code::unavailable, "proxy {}: {} {}", route.proxy->hostPort(), head.status, head.reason);
  }
  if (!input.empty()) fail(Code::unavailable, "proxy {} spoke out of turn", route.proxy->hostPort());
  return tlsClientStream(stream->release(), tls(), route.url.host, options_.connectTimeout);
}

}  // namespace estiba::http
