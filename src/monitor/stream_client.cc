#include "monitor/stream_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

namespace estiba::monitor {

namespace {
constexpr size_t kReplayQueue = 128 * 1024;
// A reader that is a little late does not stop the container. The kernel doubles it; only root gets as much.
constexpr int kSendBuffer = 512 * 1024;
}  // namespace

StreamClient::StreamClient(Fd socket, StreamClientOptions options, std::string pending, std::string early)
    : socket_(std::move(socket)), options_(std::move(options)), early_(std::move(early)) {
  ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer);
  if (options_.detachKeys) matcher_.emplace(*options_.detachKeys);
  keep(pending);
  flush();
}

void StreamClient::keep(std::string_view bytes) {
  if (bytes.empty()) return;
  queued_ += bytes.size();
  queue_.emplace_back(bytes);
}

void StreamClient::send(std::string_view header, std::string_view bytes) {
  if (gone) return;
  size_t sent = 0;
  if (queue_.empty()) {
    iovec parts[] = {{const_cast<char*>(header.data()), header.size()},
                     {const_cast<char*>(bytes.data()), bytes.size()}};
    msghdr message{};
    message.msg_iov = header.empty() ? parts + 1 : parts;
    message.msg_iovlen = header.empty() ? 1 : 2;
    ssize_t n;
    do {
      n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
      gone = true;
      return;
    }
    sent = n < 0 ? 0 : static_cast<size_t>(n);
  }
  if (sent < header.size()) {
    keep(header.substr(sent));
    sent = header.size();
  }
  keep(bytes.substr(sent - header.size()));
}

void StreamClient::deliver(StreamId stream, std::string_view bytes) {
  if (!options_.framed) return send({}, bytes);
  const auto header = frameHeader(stream, static_cast<uint32_t>(bytes.size()));
  send({header.data(), header.size()}, bytes);
}

bool StreamClient::flush() {
  while (!queue_.empty() && !gone) {
    const std::string_view head = std::string_view(queue_.front()).substr(headSent_);
    const ssize_t n = ::send(socket_.get(), head.data(), head.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) {
      gone = true;
      break;
    }
    queued_ -= static_cast<size_t>(n);
    headSent_ += static_cast<size_t>(n);
    if (headSent_ == queue_.front().size()) {
      queue_.pop_front();
      headSent_ = 0;
    }
  }
  if (gone) {
    queue_.clear();
    queued_ = headSent_ = 0;
  }
  return !gone;
}

bool StreamClient::pumpReplay() {
  if (!options_.replay) return false;
  while (queued_ < kReplayQueue && !gone) {
    const auto entry = options_.replay->next();
    if (!entry) {
      options_.replay.reset();
      return true;
    }
    deliver(entry->stream == "stderr" ? StreamId::err : StreamId::out, entry->line);
  }
  return false;
}

std::string StreamClient::filterInput(std::string_view input) {
  auto result = matcher_->feed(input);
  detached_ = detached_ || result.detached;
  return std::move(result.pass);
}

}  // namespace estiba::monitor
