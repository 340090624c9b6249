#include "http/pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace estiba::http {
namespace {

constexpr size_t kBuffer = 64U << 10;

bool isA(int fd, mode_t type) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

/// One direction. Reads only what poll(2) announced and never blocks in a write: the other direction must go on.
class Lane {
 public:
  Lane(int from, int to, std::string_view first)
      : from_(from), to_(to), toSocket_(isA(to, S_IFSOCK)), pending_(first) {}

  bool ended() const { return ended_; }
  uint64_t total() const { return total_; }
  /// Where it waits to read (-1: it does not), and to write.
  int readFd() const { return !ended_ && pending_.empty() && !eof_ ? from_ : -1; }
  int writeFd() const { return !ended_ && !pending_.empty() ? to_ : -1; }

  /// Its reader, while there is nothing for it: to learn that it went away.
  int watchFd() const { return !ended_ && pending_.empty() ? to_ : -1; }

  void onReadable() {
    pending_.resize(kBuffer);
    const ssize_t n = ::read(from_, pending_.data(), kBuffer);
    const int error = errno;
    pending_.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (n > 0) return onWritable();  // most often there is room
    if (n < 0 && (error == EINTR || error == EAGAIN)) return;
    // EIO: the other end of a terminal was closed.
    if (n < 0 && error != EIO && error != ECONNRESET) throw SysError(error, "read from a stream");
    eof_ = true;
    if (pending_.empty()) end();
  }

  void onWritable() {
    while (!pending_.empty()) {
      const ssize_t n = writeSome();
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return;
        if (errno != EPIPE && errno != ECONNRESET && errno != EIO) throw SysError(errno, "write to a stream");
        return end();
      }
      total_ += static_cast<uint64_t>(n);
      pending_.erase(0, static_cast<size_t>(n));
      if (!toSocket_) break;  // poll again: a second piece could block
    }
    if (pending_.empty() && eof_) end();
  }

  void end() {
    ended_ = true;
    pending_.clear();
    if (toSocket_) ::shutdown(to_, SHUT_WR);
  }

 private:
  ssize_t writeSome() {
    if (toSocket_) return ::send(to_, pending_.data(), pending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    // A pipe or terminal that is ready takes this much without blocking.
    pollfd p{to_, POLLOUT, 0};
    if (::poll(&p, 1, 0) == 0) {
      errno = EAGAIN;
      return -1;
    }
    return ::write(to_, pending_.data(), std::min<size_t>(pending_.size(), 4096));
  }

  int from_, to_;
  bool toSocket_;
  std::string pending_;
  bool eof_ = false;
  bool ended_ = false;
  uint64_t total_ = 0;
};

}  // namespace

PumpTotals pump(int left, int right, std::string_view toRight, std::string_view toLeft, std::stop_token stop) {
  Fd wake;
  if (stop.stop_possible()) wake = Fd(sys([] { return ::eventfd(0, EFD_CLOEXEC); }, "make an eventfd"));
  const std::stop_callback onStop(stop, [&] {
    const uint64_t one = 1;
    (void)!::write(wake.get(), &one, sizeof one);
  });
  Lane lanes[2] = {{left, right, toRight}, {right, left, toLeft}};
  while (!(lanes[0].ended() && lanes[1].ended()) && !stop.stop_requested()) {
    // For each lane its reader's and its writer's place, then the wake-up.
    pollfd fds[5] = {};
    for (int i = 0; i < 2; ++i) {
      fds[2 * i] = {lanes[i].readFd(), POLLIN, 0};
      const bool full = lanes[i].writeFd() >= 0;
      fds[2 * i + 1] = {full ? lanes[i].writeFd() : lanes[i].watchFd(), static_cast<short>(full ? POLLOUT : 0), 0};
    }
    fds[4] = {wake ? wake.get() : -1, POLLIN, 0};
    if (::poll(fds, 5, -1) < 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (((fds[2 * i].revents | fds[2 * i + 1].revents) & POLLNVAL) != 0) throw SysError(EBADF, "poll a stream");
      if (fds[2 * i].revents != 0) lanes[i].onReadable();
      if ((fds[2 * i + 1].revents & POLLOUT) != 0)
        lanes[i].onWritable();
      else if (fds[2 * i + 1].revents != 0)
        lanes[i].end();
    }
  }
  return {lanes[0].total(), lanes[1].total()};
}

uint64_t copyStream(int from, int to) {
  uint64_t total = 0;
  if (isA(from, S_IFIFO) || isA(to, S_IFIFO)) {
    for (;;) {
      const ssize_t n = ::splice(from, nullptr, to, nullptr, 1U << 20, SPLICE_F_MOVE);
      if (n == 0) return total;
      if (n > 0) {
        total += static_cast<uint64_t>(n);
      } else if (errno == EINVAL) {
        break;  // an end that cannot be spliced, a terminal or an append-only file
      } else if (errno != EINTR) {
        throw SysError(errno, "copy a stream");
      }
    }
  }
  std::string buffer(kBuffer, '\0');
  for (;;) {
    const auto n = static_cast<size_t>(sys([&] { return ::read(from, buffer.data(), kBuffer); }, "read from a stream"));
    if (n == 0) return total;
    for (size_t done = 0; done < n;) {
      done += static_cast<size_t>(sys([&] { return ::write(to, buffer.data() + done, n - done); }, "write a stream"));
    }
    total += n;
  }
}

}  // namespace estiba::http
