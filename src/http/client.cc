#include "http/client.h"

#include <sys/socket.h>

#include <functional>
#include <map>
#include <mutex>

#include "base/text.h"
#include "http/dial.h"
#include "http/parser.h"
#include "http/stream.h"

namespace estiba::http {
namespace {

constexpr size_t kHeadBuffer = 4U << 10;
constexpr size_t kBodyBuffer = 64U << 10;
constexpr int kMaxRedirects = 10;

bool mayRepeat(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE";
}

bool isRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

/// A connection between requests: nothing of a reply is left on it.
class ClientConnection {
 public:
  ClientConnection(std::unique_ptr<Stream> s, std::string k) : stream(std::move(s)), key(std::move(k)) {}
  std::unique_ptr<Stream> stream;
  std::string key;
  InputBuffer input;
  bool reused = false;
};

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  explicit Impl(ClientOptions given) : options(std::move(given)), dialer(options) {}

  const ClientOptions options;
  Dialer dialer;
  std::mutex mutex;
  std::multimap<std::string, std::unique_ptr<ClientConnection>> idle;

  Url urlOf(const std::string& text) const;
  Route routeTo(const Url& url) const;
  std::unique_ptr<ClientConnection> connect(const Route& route, bool fresh);
  void keep(std::unique_ptr<ClientConnection> connection);
  std::string headOf(const ClientRequest& request, const Route& route, const std::string& upgrade) const;
  ClientResponse exchange(const ClientRequest& request, const Url& url, const std::string& upgrade);
};

/// What a response holds while its body is read.
struct ClientResponse::State final : BodyReader {
  using StopCallback = std::stop_callback<std::function<void()>>;

  State(std::shared_ptr<Client::Impl> owner, std::unique_ptr<ClientConnection> c, const ClientRequest& request)
      : client(std::move(owner)),
        connection(std::move(c)),
        kind(kindOf(request)),
        parser(std::make_unique<MessageParser>(kind, client->options.maxHeaderBytes)),
        stop(request.stop) {
    const int fd = connection->stream->fd();
    onStop.emplace(stop, [fd] { ::shutdown(fd, SHUT_RDWR); });
  }

  static MessageParser::Kind kindOf(const ClientRequest& request) {
    return request.method == "HEAD" ? MessageParser::Kind::responseToHead : MessageParser::Kind::response;
  }

  enum class Sent { all, answeredEarly, failed };
  Sent send(const std::string& head, const ClientRequest& request);
  bool readHead();
  size_t read(char* data, size_t size) override;
  std::optional<uint64_t> length() const override { return parser->chunked() ? std::nullopt : parser->contentLength(); }
  /// The connection goes back to the client, or is closed.
  void finish();
  /// Turns what a cut connection throws into what was meant.
  template <class F>
  auto guarded(F&& call) {
    try {
      return call();
    } catch (const Error&) {
      reusable = false;
      if (stop.stop_requested()) fail(Code::cancelled, "the request was cancelled");
      throw;
    }
  }

  std::shared_ptr<Client::Impl> client;
  std::unique_ptr<ClientConnection> connection;
  const MessageParser::Kind kind;
  std::unique_ptr<MessageParser> parser;
  std::stop_token stop;
  std::optional<StopCallback> onStop;
  bool reusable = true;

 private:
  bool sendSource(const ClientRequest& request);
};

ClientResponse::State::Sent ClientResponse::State::send(const std::string& head, const ClientRequest& request) {
  try {
    connection->stream->write(head, request.source ? std::string_view() : request.body, request.passFds);
  } catch (const Error& e) {
    if (e.code() != Code::cancelled) throw;
    return Sent::failed;
  }
  if (!request.source) return Sent::all;
  try {
    if (sendSource(request)) return Sent::all;
  } catch (const Error& e) {
    if (e.code() != Code::cancelled || stop.stop_requested()) throw;
  }
  reusable = false;  // the upload is incomplete: what the peer has to say is its last word
  return Sent::answeredEarly;
}

bool ClientResponse::State::sendSource(const ClientRequest& request) {
  // Room for the chunk's size in front and its end behind: a chunk is one write.
  constexpr size_t kFront = 16;
  std::string buffer(kFront + kBodyBuffer + 2, '\0');
  uint64_t left = request.sourceSize.value_or(0);
  for (;;) {
    const size_t n = request.source(buffer.data() + kFront, kBodyBuffer);
    if (request.sourceSize) {
      if (n > left || (n == 0 && left > 0)) fail(Code::invalid, "an upload is not as long as was said");
      left -= n;
      if (n == 0) return true;
      if (!connection->stream->writeUnlessAnswered({buffer.data() + kFront, n})) return false;
      continue;
    }
    if (n == 0) return connection->stream->writeUnlessAnswered("0\r\n\r\n");
    const std::string size = fmt::format("{:x}\r\n", n);
    char* const start = buffer.data() + kFront - size.size();
    size.copy(start, size.size());
    buffer[kFront + n] = '\r';
    buffer[kFront + n + 1] = '\n';
    if (!connection->stream->writeUnlessAnswered({start, size.size() + n + 2})) return false;
  }
}

// False where the peer ended without a byte of reply.
bool ClientResponse::State::readHead() {
  const auto limit = client->options.maxHeaderBytes;
  const auto timeout = client->options.headerTimeout;
  bool any = false;
  for (;;) {
    if (!connection->input.empty()) {
      any = true;
      connection->input.consume(parser->feedHead(connection->input.bytes()));
      if (parser->headDone()) {
        const int status = parser->head().status;
        if (status >= 200 || status == 101) return true;
        parser = std::make_unique<MessageParser>(kind, limit);  // "100 Continue" and its like: the reply is to come
        continue;
      }
    }
    try {
      if (connection->input.fill(*connection->stream, limit, kHeadBuffer, timeout)) continue;
    } catch (const Error& e) {
      if (e.code() != Code::unavailable || any) throw;
    }
    if (any) fail(Code::unavailable, "the connection ended in the middle of a reply");
    return false;
  }
}

size_t ClientResponse::State::read(char* data, size_t size) {
  if (!connection || size == 0) return 0;
  return guarded([&]() -> size_t {
    for (;;) {
      if (!parser->done() && !connection->input.empty()) {
        const auto step = parser->feedBody(connection->input.bytes(), data, size);
        connection->input.consume(step.consumed);
        if (step.produced > 0) return step.produced;
      }
      if (parser->done()) {
        finish();
        return 0;
      }
      const auto timeout = client->options.readTimeout;
      if (!connection->input.fill(*connection->stream, 4 * kBodyBuffer, kBodyBuffer, timeout)) {
        reusable = false;
        parser->endOfInput();
      }
    }
  });
}

void ClientResponse::State::finish() {
  onStop.reset();  // from here on a stop must not cut what may be another's connection
  if (reusable && parser->keepAlive() && connection->input.empty()) {
    client->keep(std::move(connection));
  } else {
    connection.reset();
  }
}

ClientResponse::ClientResponse(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClientResponse::ClientResponse(ClientResponse&&) noexcept = default;
ClientResponse& ClientResponse::operator=(ClientResponse&&) noexcept = default;
ClientResponse::~ClientResponse() = default;

BodyReader& ClientResponse::body() {
  return *state_;
}

Url Client::Impl::urlOf(const std::string& text) const {
  if (!text.starts_with('/')) return Url::parse(text);
  if (!options.dial) fail(Code::invalid, "invalid URL {}: no host", quoted(text));
  return Url::parse("http://docker" + text);
}

Route Client::Impl::routeTo(const Url& url) const {
  Route route{url, std::nullopt};
  if (!options.dial && options.useProxy) route.proxy = proxyFor(url);
  return route;
}

std::unique_ptr<ClientConnection> Client::Impl::connect(const Route& route, bool fresh) {
  const std::string key = options.dial ? std::string() : route.key();
  while (!fresh) {
    std::unique_ptr<ClientConnection> kept;
    {
      const std::lock_guard lock(mutex);
      const auto it = idle.find(key);
      if (it == idle.end()) break;
      kept = std::move(it->second);
      idle.erase(it);
    }
    if (kept->stream->readable()) continue;  // closed by the peer meanwhile
    kept->reused = true;
    return kept;
  }
  return std::make_unique<ClientConnection>(dialer.dial(route), key);
}

void Client::Impl::keep(std::unique_ptr<ClientConnection> connection) {
  const std::lock_guard lock(mutex);
  const std::string key = connection->key;
  if (idle.count(key) < options.maxIdle) idle.emplace(key, std::move(connection));
}

std::string Client::Impl::headOf(const ClientRequest& request, const Route& route, const std::string& upgrade) const {
  const bool byProxy = route.proxy && route.url.scheme == "http";
  std::string target = route.url.target();
  if (byProxy) target = route.url.scheme + "://" + route.url.hostPort() + target;
  for (const char c : request.method + target) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') fail(Code::invalid, "invalid request to '{}'", target);
  }
  Headers headers = request.headers;
  for (const char* name : {"Content-Length", "Transfer-Encoding", "Connection", "Upgrade"}) headers.remove(name);
  if (!headers.has("User-Agent") && !options.userAgent.empty()) headers.add("User-Agent", options.userAgent);
  if (const auto auth = basicAuth(route.url); !auth.empty() && !headers.has("Authorization")) {
    headers.add("Authorization", auth);
  }
  if (byProxy && !route.proxy->user.empty()) headers.set("Proxy-Authorization", basicAuth(*route.proxy));
  if (!upgrade.empty()) {
    headers.add("Connection", "Upgrade");
    headers.add("Upgrade", upgrade);
  }
  const bool needsLength = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (request.source && !request.sourceSize) {
    headers.add("Transfer-Encoding", "chunked");
  } else if (request.source || !request.body.empty() || needsLength) {
    headers.add("Content-Length", std::to_string(request.source ? *request.sourceSize : request.body.size()));
  }
  std::string out = request.method + " " + target + " HTTP/1.1\r\n";
  if (!headers.has("Host")) out += "Host: " + route.url.hostPort() + "\r\n";
  headers.appendTo(out);
  return out + "\r\n";
}

ClientResponse Client::Impl::exchange(const ClientRequest& request, const Url& url, const std::string& upgrade) {
  const Route route = routeTo(url);
  const std::string head = headOf(request, route, upgrade);
  for (bool fresh = false;; fresh = true) {
    if (request.stop.stop_requested()) fail(Code::cancelled, "the request was cancelled");
    auto state = std::make_unique<ClientResponse::State>(shared_from_this(), connect(route, fresh), request);
    ClientResponse::State& s = *state;
    const bool reused = s.connection->reused;
    const auto [sent, answered] = s.guarded([&] {
      const auto how = s.send(head, request);
      return std::pair(how, s.readHead());
    });
    if (answered) {
      MessageHead& got = s.parser->head();
      ClientResponse response(std::move(state));
      response.status = got.status;
      response.reason = std::move(got.reason);
      response.headers = std::move(got.headers);
      response.url = url.str();
      if (s.parser->done() && upgrade.empty()) s.finish();
      return response;
    }
    if (request.stop.stop_requested()) fail(Code::cancelled, "the request was cancelled");
    // A kept connection may have been closed just when we wrote: that is no answer, and nobody read the request.
    const bool unread = sent == ClientResponse::State::Sent::failed;
    if (reused && !request.source && (unread || mayRepeat(request.method))) continue;
    fail(Code::unavailable, "{} {}: the connection was closed without a reply", request.method, url.str());
  }
}

Client::Client(ClientOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
Client::~Client() = default;

ClientResponse Client::request(const ClientRequest& request) {
  Url url = impl_->urlOf(request.url);
  ClientResponse response = impl_->exchange(request, url, "");
  if (!request.followRedirects || (request.method != "GET" && request.method != "HEAD")) return response;
  ClientRequest next = request;
  for (int hops = 0; isRedirect(response.status); ++hops) {
    const std::string* location = response.headers.find("Location");
    if (location == nullptr) return response;
    if (hops == kMaxRedirects) fail(Code::unavailable, "'{}': stopped after {} redirects", request.url, kMaxRedirects);
    const Url to = url.resolve(*location);
    const bool sameHost = to.host == url.host && to.effectivePort() == url.effectivePort() && to.scheme == url.scheme;
    if (!sameHost) {
      for (const char* name : {"Authorization", "Cookie", "Proxy-Authorization", "Host"}) next.headers.remove(name);
    }
    if (response.body().length().value_or(0) <= kBodyBuffer) response.body().readAll(4 * kBodyBuffer);
    url = to;
    response = impl_->exchange(next, url, "");
  }
  return response;
}

Upgraded Client::upgrade(const ClientRequest& request, const std::string& protocol,
                         const std::function<void(ClientResponse&)>& onRefused) {
  ClientResponse response = impl_->exchange(request, impl_->urlOf(request.url), protocol);
  const std::string type = response.headers.get("Content-Type");
  const bool raw = response.status == 200 && !response.headers.has("Content-Length") &&
                   !response.headers.has("Transfer-Encoding") && startsWith(type, "application/vnd.docker.");
  if (response.status != 101 && !raw) {
    onRefused(response);
    fail(Code::internal, "{} {}: no upgrade but status {}", request.method, request.url, response.status);
  }
  auto& state = *response.state_;
  state.onStop.reset();
  Upgraded out;
  out.early = state.connection->input.bytes();
  out.fd = state.connection->stream->release();
  out.status = response.status;
  out.headers = std::move(response.headers);
  return out;
}

}  // namespace estiba::http
