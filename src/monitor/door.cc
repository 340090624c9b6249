#include "monitor/door.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/unix_socket.h"

namespace estiba::monitor {

namespace {

constexpr size_t kMaxConnections = 1000;
constexpr size_t kReadAtOnce = 16 * 1024;

std::string lineOf(const Message& message) {
  return dumpJsonOf(message) + "\n";
}

}  // namespace

void Connection::queue(std::string_view bytes) {
  if (!broken_) out_ += bytes;
}

bool Connection::flush() {
  while (!out_.empty()) {
    const ssize_t n = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) {
      broken_ = true;
      out_.clear();
      return false;
    }
    out_.erase(0, static_cast<size_t>(n));
  }
  out_.shrink_to_fit();
  return true;
}

void Connection::answer(const Message& message) {
  queue(lineOf(message));
  flush();
}

void Connection::answerWithFd(const Message& message, int fd) {
  sendWithFds(socket_.get(), lineOf(message), {fd});
}

void Connection::answerError(const std::exception& error) {
  ErrorAnswer answered{std::string(codeName(Code::internal)), error.what()};
  if (const auto* known = dynamic_cast<const Error*>(&error)) answered.code = codeName(known->code());
  answer({.error = std::move(answered)});
}

Door::Door(EventLoop& loop, Handler handler, std::function<void(Connection&)> closed)
    : loop_(loop), handler_(std::move(handler)), closed_(std::move(closed)) {}

Door::~Door() {
  close();
  for (auto& connection : connections_) loop_.remove(connection.fd());
}

void Door::listen(const std::string& dir) {
  dir_ = openFile(dir, O_PATH | O_DIRECTORY);
  listener_ = listenIn(dir_.get(), kSocketFile);
  loop_.add(listener_.get(), EPOLLIN, [this](uint32_t) { accept(); });
}

void Door::close() {
  if (!listener_) return;
  ::unlinkat(dir_.get(), kSocketFile, 0);
  loop_.remove(listener_.get());
  listener_.reset();
}

void Door::accept() {
  for (;;) {
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (connections_.size() < kMaxConnections) adopt(std::move(socket));
  }
}

Connection& Door::adopt(Fd socket) {
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  connections_.emplace_back(std::move(socket));
  const It it = std::prev(connections_.end());
  loop_.add(it->fd(), EPOLLIN, [this, it](uint32_t events) { onReady(it, events); });
  return *it;
}

std::pair<Fd, std::string> Door::take(Connection& connection) {
  loop_.remove(connection.fd());
  connection.taken_ = true;
  return {std::move(connection.socket_), std::move(connection.in_)};
}

void Door::forget(const Connection& taken) {
  connections_.remove_if([&](const Connection& c) { return &c == &taken; });
}

void Door::drop(It it) {
  if (!it->taken_) {
    loop_.remove(it->fd());
    closed_(*it);
  }
  connections_.erase(it);
}

void Door::flush(Connection& connection) {
  if (connection.taken_) return;
  connection.flush();
  loop_.change(connection.fd(), EPOLLIN | (connection.out_.empty() ? 0U : uint32_t{EPOLLOUT}));
}

bool Door::allFlushed() const {
  return std::all_of(connections_.begin(), connections_.end(), [](const Connection& c) { return c.out_.empty(); });
}

void Door::endWaiters() {
  for (const Connection& connection : connections_) {
    if (connection.waits && connection.out_.empty()) ::shutdown(connection.fd(), SHUT_RDWR);
  }
}

void Door::onReady(It it, uint32_t events) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !readLines(it)) return drop(it);
  if (it->taken_) return drop(it);
  flush(*it);
  if (it->broken_) drop(it);
}

// False: the connection is over.
bool Door::readLines(It it) {
  const size_t kept = it->in_.size();
  it->in_.resize(kept + kReadAtOnce);
  const ssize_t n = ::recv(it->fd(), it->in_.data() + kept, kReadAtOnce, MSG_DONTWAIT);
  const int e = errno;
  it->in_.resize(kept + static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0) return e == EAGAIN || e == EINTR;
  if (n == 0 || it->in_.size() > kMaxRequest) return false;
  size_t end;
  while (!it->taken_ && (end = it->in_.find('\n')) != std::string::npos) {
    const std::string line = it->in_.substr(0, end);
    it->in_.erase(0, end + 1);
    try {
      handler_(*it, parseJsonAs<Request>(line, "request"));
    } catch (const std::exception& error) {
      if (!it->taken_) it->answerError(error);
    }
  }
  if (it->in_.empty()) it->in_.shrink_to_fit();
  return true;
}

}  // namespace estiba::monitor
