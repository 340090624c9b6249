#include "sys/netlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>

namespace estiba::netlink {

namespace {

constexpr size_t kHeader = NLMSG_HDRLEN;
constexpr size_t kReceive = 32 * 1024;  // the most that the kernel puts in one part of a dump

template <class T>
T peek(std::string_view bytes, size_t at) {
  T out;
  std::memcpy(&out, bytes.data() + at, sizeof out);
  return out;
}

// What the kernel said in an NLMSG_ERROR: errno (0: an ack) and, where it gave one, its sentence.
struct Verdict {
  int error = 0;
  std::string words;
};

Verdict verdictOf(uint16_t flags, std::string_view payload) {
  Verdict out;
  if (payload.size() < sizeof(nlmsgerr)) {
    out.error = EPROTO;
    return out;
  }
  out.error = -peek<int32_t>(payload, 0);
  if ((flags & NLM_F_ACK_TLVS) == 0) return out;
  size_t skip = sizeof(nlmsgerr);
  if ((flags & NLM_F_CAPPED) == 0) {  // the whole refused message stands before the attributes
    const auto echoed = peek<uint32_t>(payload, offsetof(nlmsgerr, msg));
    if (echoed < kHeader || echoed - kHeader > payload.size()) return out;
    skip += NLMSG_ALIGN(echoed - kHeader);
  }
  if (skip < payload.size()) out.words = Attrs(payload.substr(skip)).text(NLMSGERR_ATTR_MSG).value_or("");
  return out;
}

[[noreturn]] void refuse(int error, std::string_view words, std::string_view what, size_t message) {
  throw NetlinkError(error, words.empty() ? std::string(what) : fmt::format("{}: {}", what, words), message);
}

using Buffer = std::unique_ptr<char[]>;

Buffer receiveBuffer() {
  return std::make_unique_for_overwrite<char[]>(kReceive);
}

// One datagram from the kernel; others may send to our port too, theirs are dropped. Empty where none waits.
std::string_view receive(int fd, const Buffer& buffer, int flags, std::string_view what) {
  for (;;) {
    sockaddr_nl from{};
    iovec iov{buffer.get(), kReceive};
    msghdr header{};
    header.msg_name = &from;
    header.msg_namelen = sizeof from;
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    const ssize_t n = ::recvmsg(fd, &header, flags);
    if (n < 0) {
      const int e = errno;
      if (e == EINTR) continue;
      if (e == EAGAIN) return {};
      throw SysError(e, fmt::format("{}: read the kernel's answer", what));
    }
    if (from.nl_pid != 0) continue;
    if ((header.msg_flags & MSG_TRUNC) != 0) fail(Code::internal, "{}: the kernel's answer was cut short", what);
    return {buffer.get(), static_cast<size_t>(n)};
  }
}

// Calls `visit(header, payload)` for every whole message of a datagram.
template <class F>
void eachMessage(std::string_view data, F&& visit) {
  while (data.size() >= kHeader) {
    const auto header = peek<nlmsghdr>(data, 0);
    if (header.nlmsg_len < kHeader || header.nlmsg_len > data.size()) return;
    visit(header, data.substr(kHeader, header.nlmsg_len - kHeader));
    data.remove_prefix(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), data.size()));
  }
}

// The visitor into another namespace. It shares the caller's memory and descriptors: no allocation, no exception.
struct Visit {
  int netns = -1;
  int protocol = 0;
  std::initializer_list<Sysctl> sysctls;
  int socket = -1;
  int error = 0;
  const char* stage = "";
};

int visitNamespace(void* argument) {
  auto& visit = *static_cast<Visit*>(argument);
  visit.stage = "enter the network namespace";
  if (::setns(visit.netns, CLONE_NEWNET) != 0) {
    visit.error = errno;
    return 1;
  }
  for (const Sysctl& item : visit.sysctls) {
    const int fd = ::open(item.path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    visit.stage = item.path;
    const size_t size = std::strlen(item.value);
    if (fd < 0 || ::write(fd, item.value, size) != static_cast<ssize_t>(size)) visit.error = errno;
    if (fd >= 0) ::close(fd);
    if (visit.error != 0) return 1;
  }
  visit.stage = "open a netlink socket in the network namespace";
  visit.socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, visit.protocol);
  if (visit.socket < 0) visit.error = errno;
  return 0;
}

}  // namespace

void Request::append(const void* data, size_t size) {
  if (starts_.empty()) fail(Code::internal, "netlink data outside of a message");
  if (size > 0) buffer_.append(static_cast<const char*>(data), size);
  buffer_.resize(NLMSG_ALIGN(buffer_.size()), '\0');
  fixLength();
}

void Request::fixLength() {
  const auto length = static_cast<uint32_t>(buffer_.size() - starts_.back());
  std::memcpy(buffer_.data() + starts_.back() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
}

Request& Request::message(uint16_t type, uint16_t flags) {
  starts_.push_back(buffer_.size());
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  header.nlmsg_seq = static_cast<uint32_t>(starts_.size());
  append(&header, sizeof header);
  return *this;
}

Request& Request::attr(uint16_t type, const void* data, size_t size) {
  if (size > UINT16_MAX - NLA_HDRLEN) fail(Code::internal, "netlink attribute {} of {} bytes is too long", type, size);
  nlattr head{static_cast<uint16_t>(NLA_HDRLEN + size), type};
  append(&head, sizeof head);
  append(data, size);
  return *this;
}

Request& Request::be16(uint16_t type, uint16_t value) {
  return u16(type, htobe16(value));
}
Request& Request::be32(uint16_t type, uint32_t value) {
  return u32(type, htobe32(value));
}
Request& Request::be64(uint16_t type, uint64_t value) {
  const uint64_t swapped = htobe64(value);
  return attr(type, &swapped, sizeof swapped);
}

size_t Request::openNest(uint16_t type) {
  const size_t start = buffer_.size();
  attr(type, nullptr, 0);
  return start;
}

void Request::closeNest(size_t start) {
  const size_t size = buffer_.size() - start;
  if (size > UINT16_MAX) fail(Code::internal, "nested netlink attribute of {} bytes is too long", size);
  const auto length = static_cast<uint16_t>(size);
  std::memcpy(buffer_.data() + start + offsetof(nlattr, nla_len), &length, sizeof length);
}

uint16_t Request::flagsOf(size_t index) const {
  return peek<uint16_t>(buffer_, starts_.at(index) + offsetof(nlmsghdr, nlmsg_flags));
}

void Attrs::each(const std::function<void(uint16_t, std::string_view)>& visit) const {
  std::string_view rest = bytes_;
  while (rest.size() >= NLA_HDRLEN) {
    const auto head = peek<nlattr>(rest, 0);
    if (head.nla_len < NLA_HDRLEN || head.nla_len > rest.size()) return;
    visit(head.nla_type & NLA_TYPE_MASK, rest.substr(NLA_HDRLEN, head.nla_len - NLA_HDRLEN));
    rest.remove_prefix(std::min<size_t>(NLA_ALIGN(head.nla_len), rest.size()));
  }
}

std::optional<std::string_view> Attrs::find(uint16_t type) const {
  std::optional<std::string_view> out;
  each([&](uint16_t found, std::string_view payload) {
    if (found == type && !out) out = payload;
  });
  return out;
}

std::optional<uint32_t> Attrs::u32(uint16_t type) const {
  const auto payload = find(type);
  if (!payload || payload->size() != sizeof(uint32_t)) return std::nullopt;
  return peek<uint32_t>(*payload, 0);
}

std::optional<uint32_t> Attrs::be32(uint16_t type) const {
  const auto raw = u32(type);
  if (!raw) return std::nullopt;
  return be32toh(*raw);
}

std::optional<std::string> Attrs::text(uint16_t type) const {
  const auto payload = find(type);
  if (!payload) return std::nullopt;
  return std::string(payload->substr(0, payload->find('\0')));
}

std::optional<Attrs> Attrs::nested(uint16_t type) const {
  const auto payload = find(type);
  if (!payload) return std::nullopt;
  return Attrs(*payload);
}

Socket::Socket(Fd fd) : fd_(std::move(fd)) {
  const int on = 1;
  // Both only make errors better and shorter; an old kernel without them still answers.
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  ::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);  // dumps filtered by the kernel
}

Socket Socket::open(int protocol) {
  return Socket(Fd(sys([&] { return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol); },
                       "open a netlink socket of protocol {}", protocol)));
}

Socket Socket::openIn(int netnsFd, int protocol, std::initializer_list<Sysctl> sysctls) {
  Visit visit{.netns = netnsFd, .protocol = protocol, .sysctls = sysctls};
  constexpr size_t kStack = 16 * 1024;
  const std::unique_ptr<char[]> stack(new char[kStack]);
  char* top = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(stack.get() + kStack) & ~uintptr_t{15});
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // a handler must not run in the child on our memory
  // No SIGCHLD: nobody else's wait sees this child.
  const int pid = ::clone(visitNamespace, top, CLONE_VM | CLONE_VFORK | CLONE_FILES, &visit);
  const int e = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw SysError(e, "start the visitor of a network namespace");
  while (::waitpid(pid, nullptr, __WALL) == -1 && errno == EINTR) {
  }
  Fd fd(visit.socket);
  if (visit.error != 0) throw SysError(visit.error, visit.stage);
  if (!fd) fail(Code::internal, "the visitor of a network namespace was killed");
  return Socket(std::move(fd));
}

void Socket::send(const Request& request, std::string_view what) const {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  iovec iov{const_cast<char*>(request.buffer().data()), request.buffer().size()};
  msghdr header{};
  header.msg_name = &kernel;
  header.msg_namelen = sizeof kernel;
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  sys([&] { return ::sendmsg(fd_.get(), &header, MSG_NOSIGNAL); }, "{}: ask the kernel", what);
}

Socket::Outcome Socket::run(const Request& request, std::string_view what,
                            const std::function<void(const Message&)>& each) const {
  Outcome outcome{std::vector<int>(request.count(), -1), std::vector<std::string>(request.count())};
  for (size_t i = 0; i < request.count(); ++i) {
    if ((request.flagsOf(i) & NLM_F_ACK) == 0) outcome.errors[i] = 0;  // silence is consent
  }
  send(request, what);
  const Buffer buffer = receiveBuffer();
  // Requests are worked off inside sendmsg: when it returns, every answer waits for us.
  for (;;) {
    const std::string_view data = receive(fd_.get(), buffer, MSG_DONTWAIT, what);
    if (data.empty()) break;
    eachMessage(data, [&](const nlmsghdr& header, std::string_view payload) {
      const size_t index = size_t{header.nlmsg_seq} - 1;
      if (index >= request.count()) return;
      if (header.nlmsg_type == NLMSG_ERROR) {
        Verdict verdict = verdictOf(header.nlmsg_flags, payload);
        if (outcome.errors[index] > 0) return;
        outcome.errors[index] = verdict.error;
        outcome.words[index] = std::move(verdict.words);
      } else if (each) {
        each({header.nlmsg_type, header.nlmsg_flags, index, payload});
      }
    });
  }
  return outcome;
}

void Socket::transact(const Request& request, std::string_view what,
                      const std::function<void(const Message&)>& each) const {
  const Outcome outcome = run(request, what, each);
  for (size_t i = 0; i < outcome.errors.size(); ++i) {
    if (outcome.errors[i] > 0) refuse(outcome.errors[i], outcome.words[i], what, i);
  }
  for (size_t i = 0; i < outcome.errors.size(); ++i) {
    if (outcome.errors[i] < 0) fail(Code::internal, "{}: the kernel did not answer", what);
  }
}

std::vector<int> Socket::attempt(const Request& request, std::string_view what,
                                 const std::function<void(const Message&)>& each) const {
  Outcome outcome = run(request, what, each);
  for (int& error : outcome.errors) {
    if (error < 0) error = ECANCELED;
  }
  return std::move(outcome.errors);
}

bool Socket::dumpOnce(const Request& request, std::string_view what,
                      const std::function<void(const Message&)>& each) const {
  send(request, what);
  const Buffer buffer = receiveBuffer();
  bool changed = false;
  for (bool done = false; !done;) {
    Verdict refused;
    const std::string_view data = receive(fd_.get(), buffer, 0, what);
    eachMessage(data, [&](const nlmsghdr& header, std::string_view payload) {
      if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) changed = true;
      if (header.nlmsg_type == NLMSG_DONE) {
        if (payload.size() >= sizeof(int32_t)) refused.error = -peek<int32_t>(payload, 0);
        done = true;
      } else if (header.nlmsg_type == NLMSG_ERROR) {
        refused = verdictOf(header.nlmsg_flags, payload);
        done = true;
      } else if (!done) {
        each({header.nlmsg_type, header.nlmsg_flags, 0, payload});
      }
    });
    if (refused.error == EINTR) return false;
    if (refused.error != 0) refuse(refused.error, refused.words, what, 0);
  }
  return !changed;
}

void Socket::dump(const Request& request, std::string_view what, const std::function<void(const Message&)>& each,
                  const std::function<void()>& restart) const {
  if (request.count() != 1) fail(Code::internal, "{}: a dump is one message", what);
  for (int tries = 0; tries < 10; ++tries) {
    if (tries > 0 && restart) restart();
    if (dumpOnce(request, what, each)) return;
  }
  fail(Code::unavailable, "{}: the kernel's tables kept changing", what);
}

}  // namespace estiba::netlink
