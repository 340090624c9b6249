#include "http/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/log.h"

namespace estiba::http {
namespace {

constexpr size_t kStackBytes = 1U << 20;  // address space: only touched pages are memory

sockaddr_un unixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) fail(Code::invalid, "socket path '{}' is too long", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

struct Server::Impl {
  Fd listener;
  Handler handler;
  ServerOptions options;
  Fd wake;  // an eventfd: a connection ended, or stop
  std::mutex mutex;
  std::condition_variable ended;
  size_t open = 0;

  struct Job {
    Impl* impl;
    Fd connection;
    std::stop_token stop;
  };

  static void* threadMain(void* argument) {
    const std::unique_ptr<Job> job(static_cast<Job*>(argument));
    serveConnection(std::move(job->connection), job->impl->handler, job->impl->options, std::move(job->stop));
    job->impl->connectionEnded();
    return nullptr;
  }

  void poke() const {
    const uint64_t one = 1;
    (void)!::write(wake.get(), &one, sizeof one);
  }

  void connectionEnded() {
    const std::lock_guard lock(mutex);  // held to the end: run() may return, and *this go, once it is free
    if (open-- == options.maxConnections) poke();
    ended.notify_all();
  }

  void start(Fd connection, const std::stop_token& stop) {
    auto job = std::make_unique<Job>(Job{this, std::move(connection), stop});
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    {
      const std::lock_guard lock(mutex);
      ++open;
    }
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, &threadMain, job.get());
    pthread_attr_destroy(&attributes);
    if (error == 0) {
      (void)job.release();
      return;
    }
    log::warn("no thread for a connection: {}", std::strerror(error));
    connectionEnded();
  }

  bool full() {
    const std::lock_guard lock(mutex);
    return open >= options.maxConnections;
  }

  void accept(const std::stop_token& stop) {
    const int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) return start(Fd(fd), stop);
    const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
    if (!exhausted) return;  // the peer is gone already, or a signal came
    log::warn("cannot accept a connection: {}", std::strerror(errno));
    pollfd p{wake.get(), POLLIN, 0};
    ::poll(&p, 1, 100);  // until something was closed, we hope
  }
};

Server::Server(Fd listener, Handler handler, ServerOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->listener = std::move(listener);
  impl_->handler = std::move(handler);
  impl_->options = std::move(options);
  impl_->wake = Fd(sys([] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }, "make an eventfd"));
}
Server::~Server() = default;

void Server::run(std::stop_token stop) {
  const std::stop_callback onStop(stop, [this] { impl_->poke(); });
  while (!stop.stop_requested()) {
    pollfd fds[2] = {{impl_->full() ? -1 : impl_->listener.get(), POLLIN, 0}, {impl_->wake.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    uint64_t count = 0;
    (void)!::read(impl_->wake.get(), &count, sizeof count);
    if ((fds[0].revents & (POLLERR | POLLNVAL)) != 0) fail(Code::internal, "the listening socket broke");
    if (fds[0].revents != 0 && !stop.stop_requested()) impl_->accept(stop);
  }
  std::unique_lock lock(impl_->mutex);
  impl_->ended.wait(lock, [this] { return impl_->open == 0; });
}

size_t Server::connections() const noexcept {
  const std::lock_guard lock(impl_->mutex);
  return impl_->open;
}

Fd listenUnix(const std::string& path, mode_t mode, gid_t group) {
  const sockaddr_un address = unixAddress(path);
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  Fd probe(sys([] { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }, "make a socket"));
  if (::connect(probe.get(), plain, sizeof address) == 0 || errno == EAGAIN) {
    fail(Code::conflict, "another process listens on '{}'", path);
  }
  struct stat st {};
  if (errno == ECONNREFUSED && ::lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) ::unlink(path.c_str());
  Fd listener(sys([] { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }, "make a socket"));
  // fchmod on the socket sets the mode that bind gives to the file: at no time is it open to others.
  sys([&] { return ::fchmod(listener.get(), 0600); }, "restrict the socket '{}'", path);
  sys([&] { return ::bind(listener.get(), plain, sizeof address); }, "bind '{}'", path);
  sys([&] { return ::lchown(path.c_str(), static_cast<uid_t>(-1), group); }, "set the group of '{}'", path);
  sys([&] { return ::chmod(path.c_str(), mode); }, "set the mode of '{}'", path);
  sys([&] { return ::listen(listener.get(), SOMAXCONN); }, "listen on '{}'", path);
  return listener;
}

Fd listenTcp(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) fail(Code::invalid, "listen on {}:{}: {}", host, port, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &::freeaddrinfo);
  Fd listener(
      sys([&] { return ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }, "make a socket"));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sys([&] { return ::bind(listener.get(), found->ai_addr, found->ai_addrlen); }, "listen on {}:{}", host, port);
  sys([&] { return ::listen(listener.get(), SOMAXCONN); }, "listen on {}:{}", host, port);
  return listener;
}

uint16_t boundPort(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  sys([&] { return ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size); }, "ask for a port");
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  fail(Code::invalid, "not a TCP socket");
}

}  // namespace estiba::http
