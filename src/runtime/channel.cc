#include "runtime/channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "runtime/stage_error.h"

namespace estiba::runtime {

namespace {

template <size_t N>
void put(char (&to)[N], std::string_view from) {
  const size_t n = std::min(from.size(), N - 1);
  if (n > 0) std::memcpy(to, from.data(), n);  // an empty view may have no address
  to[n] = '\0';
}

template <size_t N>
std::string text(const char (&from)[N]) {
  return {from, ::strnlen(from, N)};
}

}  // namespace

int StageError::exitCode() const noexcept {
  if (stage_ == "lookup" || stage_ == "mounts") {
    if (err_ == ENOENT || err_ == ENOTDIR) return 127;
    if (err_ == EACCES || err_ == EPERM || err_ == EISDIR) return 126;
  }
  if (stage_ == "cwd" && (err_ == EACCES || err_ == EPERM)) return 126;
  return 125;
}

Report makeReport(Report::Kind kind, std::string_view message) {
  Report report;
  report.kind = kind;
  put(report.message, message);
  return report;
}

Report makeFailure(const char* stage, int err, std::string_view detail, std::string_view message) {
  Report report = makeReport(Report::failed, message);
  report.err = err;
  put(report.stage, stage);
  put(report.detail, detail);
  return report;
}

void throwFailure(const Report& report) {
  throw StageError(text(report.stage), report.err, text(report.detail), text(report.message));
}

std::pair<Channel, Channel> Channel::pair() {
  int fds[2];
  sys([&] { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds); }, "make a socket pair");
  return {Channel(Fd(fds[0])), Channel(Fd(fds[1]))};
}

void Channel::send(const Report& report, int fd) const {
  iovec iov{const_cast<Report*>(&report), sizeof report};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  sys([&] { return ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL); }, "send to the other side of a set-up");
}

std::optional<Report> Channel::receive(Fd* fd) const {
  Report report;
  auto* bytes = reinterpret_cast<char*>(&report);
  for (size_t have = 0; have < sizeof report;) {  // a stream may deliver it in parts
    iovec iov{bytes + have, sizeof report - have};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    // ECONNRESET, once: the other side ended without reading all that we sent. What it sent comes after it.
    if (n == -1 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (n == -1) throw SysError(errno, "receive from the other side of a set-up");
    if (n == 0) return std::nullopt;
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(header), sizeof received);
      Fd owned(received);
      if (fd != nullptr) *fd = std::move(owned);
    }
    have += static_cast<size_t>(n);
  }
  return report;
}

}  // namespace estiba::runtime
