#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <ctime>
#include <thread>

#include "http/connection.h"
#include "http/server.h"

namespace estiba::http {
namespace {

std::string httpDate() {
  const std::time_t seconds = std::time(nullptr);
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[t.tm_wday], t.tm_mday, kMonths[t.tm_mon],
                     t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

bool mayHaveBody(int status) {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace

/// Polls for the client's hang-up on a thread of its own until the request is over.
struct ResponseWriter::GoneWatch {
  explicit GoneWatch(int fd)
      : end(sys([] { return ::eventfd(0, EFD_CLOEXEC); }, "make an eventfd")), thread([this, fd] { watch(fd); }) {}
  ~GoneWatch() {
    const uint64_t one = 1;
    (void)!::write(end.get(), &one, sizeof one);
    thread.join();
  }
  void watch(int fd) {
    pollfd fds[2] = {{fd, POLLRDHUP, 0}, {end.get(), POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    if (fds[0].revents != 0) gone.request_stop();
  }
  Fd end;
  std::stop_source gone;
  std::thread thread;
};

ResponseWriter::ResponseWriter(ServerConnection& connection) noexcept : connection_(connection) {}
ResponseWriter::~ResponseWriter() = default;

std::string ResponseWriter::head(int status, const Headers& headers) const {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", status, statusText(status));
  for (const auto& field : common_) {
    if (!headers.has(field.first)) Headers{field}.appendTo(out);
  }
  headers.appendTo(out);
  if (!headers.has("Date")) out.append("Date: ").append(httpDate()).append("\r\n");
  return out;
}

void ResponseWriter::send(int status, const Headers& headers, std::string_view body) {
  if (state_ != State::fresh) fail(Code::internal, "a request was answered twice");
  std::string text = head(status, headers);
  if (mayHaveBody(status) && !headers.has("Content-Length")) {
    fmt::format_to(std::back_inserter(text), "Content-Length: {}\r\n", body.size());
  }
  if (connection_.willClose()) {
    connection_.closeAfter();
    text += "Connection: close\r\n";
  } else if (connection_.head().minorVersion == 0) {
    text += "Connection: keep-alive\r\n";
  }
  text += "\r\n";
  if (!mayHaveBody(status) || connection_.head().method == "HEAD") body = {};
  state_ = State::done;
  connection_.stream().write(text, body);
}

void ResponseWriter::sendJson(int status, const json::value& value) {
  send(Response::json(status, value));
}

void ResponseWriter::stream(int status, const Headers& headers) {
  if (state_ != State::fresh) fail(Code::internal, "a request was answered twice");
  if (headers.has("Content-Length")) fail(Code::internal, "a stream has no Content-Length");
  chunked_ = connection_.head().minorVersion >= 1;
  bodyless_ = !mayHaveBody(status) || connection_.head().method == "HEAD";
  if (!chunked_) connection_.closeAfter();
  std::string text = head(status, headers);
  if (connection_.willClose()) {
    connection_.closeAfter();
    text += "Connection: close\r\n";
  }
  if (chunked_ && mayHaveBody(status)) text += "Transfer-Encoding: chunked\r\n";
  text += "\r\n";
  state_ = State::streaming;
  connection_.stream().write(text);
}

void ResponseWriter::write(std::string_view bytes) {
  if (state_ != State::streaming) fail(Code::internal, "a reply was written to that is no stream");
  if (bytes.empty() || bodyless_) return;
  if (!chunked_) return connection_.stream().write(bytes);
  if (bytes.size() > 4096) {
    connection_.stream().write(fmt::format("{:x}\r\n", bytes.size()), bytes);
    return connection_.stream().write("\r\n");
  }
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk.append(bytes).append("\r\n");
  connection_.stream().write(chunk);
}

void ResponseWriter::finish() {
  if (state_ != State::streaming) return;
  state_ = State::done;
  if (chunked_ && !bodyless_) connection_.stream().write("0\r\n\r\n");
}

Hijacked ResponseWriter::hijack(int status, const Headers& headers) {
  if (state_ != State::fresh) fail(Code::internal, "a request was answered twice");
  if (!connection_.drainBody(1U << 20)) fail(Code::invalid, "the request's body is too large for an upgrade");
  std::string text = head(status, headers);
  if (status == 101) {
    if (!headers.has("Connection")) text += "Connection: Upgrade\r\n";
    if (!headers.has("Upgrade")) text += "Upgrade: tcp\r\n";
  }
  text += "\r\n";
  watch_.reset();
  state_ = State::hijacked;
  connection_.stream().write(text);
  return connection_.giveAway();
}

bool ResponseWriter::gone() const noexcept {
  if (state_ == State::hijacked) return false;
  pollfd p{connection_.stream().fd(), POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0;
}

int ResponseWriter::goneFd() const noexcept {
  return state_ == State::hijacked ? -1 : connection_.stream().fd();
}

std::stop_token ResponseWriter::goneToken() {
  if (state_ == State::hijacked) return {};
  if (!watch_) watch_ = std::make_unique<GoneWatch>(connection_.stream().fd());
  return watch_->gone.get_token();
}

std::optional<ResponseWriter::Peer> ResponseWriter::peer() const noexcept {
  ucred who{};
  socklen_t size = sizeof who;
  if (state_ == State::hijacked) return std::nullopt;
  if (::getsockopt(connection_.stream().fd(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return std::nullopt;
  if (who.pid == 0 && who.uid == static_cast<uid_t>(-1)) return std::nullopt;
  return Peer{who.pid, who.uid, who.gid};
}

}  // namespace estiba::http
