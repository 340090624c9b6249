#include "build/ssh_agent.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <list>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "sys/file.h"
#include "sys/unix_socket.h"

namespace estiba::build {

namespace {

constexpr const char* kSocketName = "ssh_auth_sock";
constexpr uint32_t kMaxMessage = 256U << 10;  // what OpenSSH takes
constexpr unsigned char kFailure = 5, kRequestIdentities = 11, kSignRequest = 13;

bool readExactly(int fd, char* to, size_t size) {
  while (size > 0) {
    const ssize_t n = ::read(fd, to, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// One message, its length before it; nullopt at the end, or where it is no message.
std::optional<std::string> readMessage(int fd) {
  unsigned char head[4];
  if (!readExactly(fd, reinterpret_cast<char*>(head), sizeof head)) return std::nullopt;
  const uint32_t size = uint32_t{head[0]} << 24 | uint32_t{head[1]} << 16 | uint32_t{head[2]} << 8 | head[3];
  if (size == 0 || size > kMaxMessage) return std::nullopt;
  std::string out(sizeof head + size, '\0');
  std::copy(head, head + sizeof head, out.begin());
  if (!readExactly(fd, out.data() + sizeof head, size)) return std::nullopt;
  return out;
}

bool sendMessage(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string failure() {
  return {0, 0, 0, 1, static_cast<char>(kFailure)};
}

// Every request has one answer, in its turn.
void converse(int client, int agent) {
  while (const auto request = readMessage(client)) {
    const auto type = static_cast<unsigned char>((*request)[4]);
    if (type != kRequestIdentities && type != kSignRequest) {
      if (!sendMessage(client, failure())) return;
      continue;
    }
    if (!sendMessage(agent, *request)) return;
    const auto answer = readMessage(agent);
    if (!answer || !sendMessage(client, *answer)) return;
  }
}

}  // namespace

struct SshRelay::Running {
  struct Conversation {
    Fd client, agent;
    bool over = false;  ///< guarded by `mutex`
    std::jthread thread;
  };

  Fd listener, wake;
  int agent = -1;
  std::mutex mutex;
  std::list<Conversation> conversations;
  std::jthread acceptor;

  void acceptAll() {
    pollfd polls[] = {{listener.get(), POLLIN, 0}, {wake.get(), POLLIN, 0}};
    for (;;) {
      if (::poll(polls, 2, -1) < 0 && errno != EINTR) return;
      if (polls[1].revents != 0) return;
      Fd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) continue;
      try {
        begin(std::move(client));
      } catch (const Error& e) {
        log::warn("ssh agent of a build step: {}", e.what());
      }
    }
  }

  void begin(Fd client) {
    Fd socket = connectTo(agent);
    const std::lock_guard lock(mutex);
    conversations.remove_if([](const auto& c) { return c.over; });  // joins
    auto& made = conversations.emplace_back();
    made.client = std::move(client);
    made.agent = std::move(socket);
    made.thread = std::jthread([this, &made] {
      converse(made.client.get(), made.agent.get());
      ::shutdown(made.client.get(), SHUT_RDWR);
      ::shutdown(made.agent.get(), SHUT_RDWR);
      const std::lock_guard done(mutex);
      made.over = true;
    });
  }

  void end() {
    ::eventfd_write(wake.get(), 1);
    acceptor.join();
    {
      const std::lock_guard lock(mutex);
      for (const auto& c : conversations) {
        ::shutdown(c.client.get(), SHUT_RDWR);
        ::shutdown(c.agent.get(), SHUT_RDWR);
      }
    }
    for (auto& c : conversations) c.thread.join();
  }
};

SshRelay::SshRelay(const std::string& dir, uint32_t mode, uint32_t uid, uint32_t gid, int agent)
    : path_(dir + "/" + kSocketName), running_(std::make_unique<Running>()) {
  const Fd dirFd = openFile(dir, O_PATH | O_DIRECTORY);
  running_->listener = listenIn(dirFd.get(), kSocketName);
  running_->wake = Fd(sys([] { return ::eventfd(0, EFD_CLOEXEC); }, "make an eventfd"));
  running_->agent = agent;
  sys([&] { return ::chown(path_.c_str(), uid, gid); }, "chown '{}'", path_);
  sys([&] { return ::chmod(path_.c_str(), mode); }, "chmod '{}'", path_);
  running_->acceptor = std::jthread([this] { running_->acceptAll(); });
}

SshRelay::~SshRelay() {
  running_->end();
}

}  // namespace estiba::build
