#include "http/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

namespace estiba::http {
namespace {

constexpr uint64_t kDrainLimit = 256U << 10;
constexpr size_t kHeadBuffer = 4U << 10;
constexpr size_t kBodyBuffer = 64U << 10;

class ServerBody final : public BodyReader {
 public:
  explicit ServerBody(ServerConnection& connection) : connection_(connection) {}
  size_t read(char* data, size_t size) override { return connection_.readBody(data, size); }
  std::optional<uint64_t> length() const override { return connection_.bodyLength(); }

 private:
  ServerConnection& connection_;
};

Response defaultError(const std::exception& error) {
  const auto* known = dynamic_cast<const Error*>(&error);
  const bool theirs = known != nullptr && known->code() == Code::invalid;
  return Response::text(theirs ? 400 : 500, std::string(error.what()) + "\n");
}

// The path of a target in origin-form, or in absolute-form as proxies send it.
std::string_view originForm(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() < scheme.size() || !equalsNoCase(target.substr(0, scheme.size()), scheme)) continue;
    const size_t slash = target.find_first_of("/?", scheme.size());
    if (slash == std::string_view::npos) return "/";
    if (target[slash] == '/') return target.substr(slash);
  }
  if (target.empty() || target[0] != '/') fail(Code::invalid, "invalid request target {}", quoted(target));
  return target;
}

void checkHead(const MessageHead& head, bool chunked) {
  size_t hosts = 0;
  for (const auto& [name, value] : head.headers) hosts += equalsNoCase(name, "Host") ? 1 : 0;
  if (hosts > 1) fail(Code::invalid, "too many Host headers");
  if (hosts == 0 && head.minorVersion >= 1) fail(Code::invalid, "missing required Host header");
  // A length that we do not know would make the body's bytes the next request.
  if (head.headers.has("Transfer-Encoding") && !chunked) fail(Code::invalid, "unsupported transfer encoding");
}

}  // namespace

ServerConnection::ServerConnection(std::unique_ptr<Stream> stream, const Handler& handler, const ServerOptions& options,
                                   std::stop_token stop)
    : stream_(std::move(stream)), handler_(handler), options_(options), stop_(std::move(stop)) {
  const int fd = stream_->fd();
  // Wakes a read and makes gone() true, without a descriptor of its own for every connection.
  onStop_.emplace(stop_, [fd] { ::shutdown(fd, SHUT_RD); });
}

void ServerConnection::run() {
  while (!stop_.stop_requested() && serveOne()) {
  }
}

bool ServerConnection::readHead() {
  using std::chrono::ceil;
  parser_ = std::make_unique<MessageParser>(MessageParser::Kind::request, options_.maxHeaderBytes);
  std::optional<std::chrono::nanoseconds> end;
  for (;;) {
    // Empty lines before a request are to be ignored (RFC 9112, 2.2).
    while (!end && input_.bytes().starts_with("\r\n")) input_.consume(2);
    if (!input_.empty() && input_.bytes() != "\r") {
      if (!end) end = monotonic() + options_.headerTimeout;
      input_.consume(parser_->feedHead(input_.bytes()));
      if (parser_->headDone()) return true;
    }
    milliseconds wait = options_.idleTimeout;
    if (end && options_.headerTimeout.count() > 0) {
      wait = std::max(ceil<milliseconds>(*end - monotonic()), milliseconds(1));
    } else if (end) {
      wait = milliseconds(0);
    }
    if (!input_.fill(*stream_, options_.maxHeaderBytes, kHeadBuffer, wait)) return false;
    if (end && options_.headerTimeout.count() > 0 && monotonic() > *end) fail(Code::deadline, "timeout in a header");
  }
}

bool ServerConnection::serveOne() {
  try {
    if (!readHead()) return false;
    checkHead(parser_->head(), parser_->chunked());
  } catch (const Error& e) {
    if (e.code() == Code::invalid) refuse(e);
    return false;
  }
  const MessageHead& head = parser_->head();
  expectContinue_ = head.headers.hasToken("Expect", "100-continue") && !parser_->done();
  close_ = !parser_->keepAlive();
  for (Fd& fd : stream_->takeFds()) fds_.push_back(std::move(fd));

  ServerBody body(*this);
  ResponseWriter writer(*this);
  try {
    Request request = makeRequest();
    request.body = &body;
    handle(request, writer);
  } catch (const std::exception& e) {
    close_ = true;
    log::debug("connection: {}", e.what());
  }
  if (writer.hijacked()) return false;
  if (close_ && parser_->done()) return false;
  const bool rest = close_ || expectContinue_ || !drainBody(kDrainLimit);
  if (rest) linger();
  return !rest;
}

Request ServerConnection::makeRequest() {
  const MessageHead& head = parser_->head();
  Request request;
  request.method = head.method;
  request.target = head.target;
  request.headers = head.headers;
  request.minorVersion = head.minorVersion;
  request.fds = std::exchange(fds_, {});
  return request;
}

void ServerConnection::handle(Request& request, ResponseWriter& writer) {
  try {
    std::string_view target = originForm(request.target);
    target = target.substr(0, target.find('#'));
    const size_t mark = target.find('?');
    request.path = urlDecode(target.substr(0, mark), false);
    if (request.path.find('\0') != std::string::npos) fail(Code::invalid, "invalid request target: NUL in the path");
    if (mark != std::string_view::npos) request.query = Query::parse(target.substr(mark + 1));
    handler_(request, writer);
    if (writer.hijacked()) return;
    if (!writer.started()) writer.send(200, {}, "");
    writer.finish();
  } catch (const std::exception& e) {
    answerError(writer, e);
  }
}

void ServerConnection::answerError(ResponseWriter& writer, const std::exception& error) {
  if (writer.hijacked()) {
    log::debug("hijacked connection: {}", error.what());
    return;
  }
  if (writer.started()) {
    log::debug("reply broken off: {}", error.what());
    close_ = true;  // without its last chunk: the client is to notice
    return;
  }
  writer.send(options_.onError ? options_.onError(error) : defaultError(error));
}

void ServerConnection::refuse(const std::exception& error) {
  close_ = true;
  try {
    ResponseWriter writer(*this);
    answerError(writer, error);
    linger();
  } catch (const std::exception& e) {
    log::debug("connection: {}", e.what());
  }
}

// Bytes that nobody read make the kernel reset the connection, and the reply with it: half-close, and read for a while.
void ServerConnection::linger() {
  try {
    ::shutdown(stream_->fd(), SHUT_WR);
    const auto end = monotonic() + std::chrono::seconds(1);
    char buffer[4096];
    for (auto left = end - monotonic(); left.count() > 0; left = end - monotonic()) {
      if (stream_->read(buffer, sizeof buffer, std::chrono::ceil<milliseconds>(left)) == 0) return;
    }
  } catch (const Error&) {  // it is over in any case
  }
}

bool ServerConnection::willClose() const {
  return close_ || expectContinue_ || stop_.stop_requested();
}

size_t ServerConnection::readBody(char* data, size_t size) {
  if (parser_->done() || size == 0) return 0;
  if (std::exchange(expectContinue_, false) && input_.empty()) stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
  for (;;) {
    if (!input_.empty()) {
      const auto step = parser_->feedBody(input_.bytes(), data, size);
      input_.consume(step.consumed);
      if (step.produced > 0) return step.produced;
    }
    if (parser_->done()) return 0;
    if (!input_.fill(*stream_, 4 * kBodyBuffer, kBodyBuffer, options_.bodyTimeout)) {
      close_ = true;
      fail(Code::unavailable, "the client went away in the middle of a request body");
    }
    for (Fd& fd : stream_->takeFds()) Fd dropped(std::move(fd));  // they belong to a header, not here
  }
}

bool ServerConnection::drainBody(uint64_t limit) {
  char buffer[16384];
  try {
    for (uint64_t seen = 0; !parser_->done();) {
      const size_t n = readBody(buffer, sizeof buffer);
      seen += n;
      if (seen > limit) return false;
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

Hijacked ServerConnection::giveAway() {
  onStop_.reset();
  Hijacked out;
  out.early = input_.bytes();
  out.fd = stream_->release();
  return out;
}

void serveConnection(Fd connection, const Handler& handler, const ServerOptions& options, std::stop_token stop) {
  try {
    const int on = 1;  // fails on a unix socket, where there is nothing to switch
    ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto stream = options.tls ? tlsServerStream(std::move(connection), *options.tls, options.headerTimeout)
                              : plainStream(std::move(connection), true);
    ServerConnection(std::move(stream), handler, options, std::move(stop)).run();
  } catch (const std::exception& e) {
    log::debug("connection: {}", e.what());
  }
}

}  // namespace estiba::http
