#include "http/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/error.h"

namespace estiba::http {
namespace {

constexpr size_t kFdsHeld = 2 * kFdsPerMessage;

[[noreturn]] void readFailed(int err) {
  if (err == ECONNRESET || err == EPIPE) fail(Code::unavailable, "the connection was reset by its peer");
  throw SysError(err, "read from a connection");
}

[[noreturn]] void writeFailed(int err) {
  if (err == ECONNRESET || err == EPIPE) fail(Code::cancelled, "the peer closed the connection");
  throw SysError(err, "write to a connection");
}

class PlainStream final : public Stream {
 public:
  PlainStream(Fd socket, bool acceptFds) : fd_(std::move(socket)), acceptFds_(acceptFds) {}

  size_t read(char* data, size_t size, milliseconds timeout) override {
    int flags = timeout.count() > 0 ? MSG_DONTWAIT : 0;
    for (;;) {
      const ssize_t n = acceptFds_ ? receive(data, size, flags) : ::recv(fd_.get(), data, size, flags);
      if (n >= 0) return static_cast<size_t>(n);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) readFailed(errno);
      if (!waitFor(fd_.get(), POLLIN, timeout)) fail(Code::deadline, "timeout while waiting for the peer");
    }
  }

  void write(std::string_view first, std::string_view second, std::span<const int> passFds) override {
    if (passFds.size() > kFdsPerMessage) fail(Code::invalid, "more than {} descriptors in one message", kFdsPerMessage);
    iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                      {const_cast<char*>(second.data()), second.size()}};
    while (parts[0].iov_len + parts[1].iov_len > 0) {
      const ssize_t n = send(parts, passFds, 0);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) {
          waitFor(fd_.get(), POLLOUT, milliseconds(0));
          continue;
        }
        writeFailed(errno);
      }
      passFds = {};
      advance(parts, static_cast<size_t>(n));
    }
  }

  bool writeUnlessAnswered(std::string_view bytes) override {
    while (!bytes.empty()) {
      pollfd p{fd_.get(), POLLIN | POLLOUT, 0};
      sys([&] { return ::poll(&p, 1, -1); }, "poll a connection");
      if ((p.revents & POLLIN) != 0) return false;
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0) {
        if (errno == EINTR || errno == EAGAIN) continue;
        writeFailed(errno);
      }
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  bool readable() const override {
    pollfd p{fd_.get(), POLLIN | POLLRDHUP, 0};
    return ::poll(&p, 1, 0) != 0;
  }

  Fd release() override { return std::move(fd_); }
  int fd() const noexcept override { return fd_.get(); }

 private:
  ssize_t receive(char* data, size_t size, int flags) {
    iovec part{data, size};
    alignas(cmsghdr) char control[CMSG_SPACE(kFdsPerMessage * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(fd_.get(), &message, flags | MSG_CMSG_CLOEXEC);
    if (n < 0) return n;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) keep(c);
    }
    return n;
  }

  void keep(cmsghdr* c) {
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(c) + i * sizeof(int), sizeof number);
      Fd received(number);  // closed again where too many came
      if (fds_.size() < kFdsHeld) fds_.push_back(std::move(received));
    }
  }

  ssize_t send(iovec* parts, std::span<const int> passFds, int flags) {
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    alignas(cmsghdr) char control[CMSG_SPACE(kFdsPerMessage * sizeof(int))] = {};
    if (!passFds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(passFds.size_bytes());
      cmsghdr* c = CMSG_FIRSTHDR(&message);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(passFds.size_bytes());
      std::memcpy(CMSG_DATA(c), passFds.data(), passFds.size_bytes());
    }
    return ::sendmsg(fd_.get(), &message, flags | MSG_NOSIGNAL);
  }

  static void advance(iovec* parts, size_t n) {
    for (int i = 0; i < 2; ++i) {
      const size_t step = std::min(n, parts[i].iov_len);
      parts[i].iov_base = static_cast<char*>(parts[i].iov_base) + step;
      parts[i].iov_len -= step;
      n -= step;
    }
  }

  Fd fd_;
  bool acceptFds_;
};

}  // namespace

std::unique_ptr<Stream> plainStream(Fd socket, bool acceptFds) {
  return std::make_unique<PlainStream>(std::move(socket), acceptFds);
}

bool waitFor(int fd, short events, milliseconds timeout) {
  const auto end = monotonic() + timeout;
  for (;;) {
    int left = -1;
    if (timeout.count() > 0) {
      // Rounded up, or the last fraction of a millisecond would spin.
      const auto rest = std::chrono::ceil<milliseconds>(end - monotonic());
      left = static_cast<int>(std::clamp<int64_t>(rest.count(), 0, 1 << 30));
    }
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, left);
    if (n > 0) return true;
    if (n == 0) return false;
    if (errno != EINTR) throw SysError(errno, "poll a connection");
  }
}

bool InputBuffer::fill(Stream& stream, size_t limit, size_t room, milliseconds timeout) {
  const size_t held = end_ - begin_;
  if (held >= limit) fail(Code::invalid, "malformed HTTP message: the header is too large");
  if (begin_ > 0 && data_.size() - end_ < room) {
    std::memmove(data_.data(), data_.data() + begin_, held);
    begin_ = 0;
    end_ = held;
  }
  if (data_.size() - end_ < room) data_.resize(end_ + std::max(room, held));  // doubles: a long header is not quadratic
  const size_t n = stream.read(data_.data() + end_, data_.size() - end_, timeout);
  end_ += n;
  return n != 0;
}

}  // namespace estiba::http
