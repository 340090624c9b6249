#pragma once
// For tests only: private network namespaces, and sockets inside them.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "net/address.h"
#include "sys/file.h"

namespace estiba::net::testing {

/// Runs `body` in a child with a network and mount namespace of its own; its failures become ours. Whatever it makes
/// there ends with it.
inline void inPrivateNetwork(const std::function<void()>& body) {
  ASSERT_EQ(::geteuid(), 0U) << "this test needs root";
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    try {
      sys([] { return ::unshare(CLONE_NEWNET | CLONE_NEWNS); }, "make namespaces");
      sys([] { return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr); }, "make mounts private");
      body();
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0) << "failed in the private network; see above";
}

/// Calls `work` on a thread that is in namespace `netns`.
template <class F>
auto inside(const Fd& netns, F&& work) {
  decltype(work()) out{};
  std::thread([&] {
    if (::setns(netns.get(), CLONE_NEWNET) == 0) out = work();
  }).join();
  return out;
}

/// A new network namespace; it lives as long as the descriptor.
inline Fd newNamespace() {
  Fd out;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) out = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  if (!out) fail(Code::internal, "make a network namespace");
  return out;
}

inline sockaddr_in at(const std::string& ip, uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  ::inet_pton(AF_INET, ip.c_str(), &out.sin_addr);
  return out;
}

inline Fd listenIn(const Fd& netns, uint16_t port) {
  return inside(netns, [&] {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in any = at("0.0.0.0", port);
    ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
    ::listen(fd.get(), 16);
    return fd;
  });
}

/// True where a TCP connection from inside `netns` is made within `limit`.
inline bool connects(const Fd& netns, const std::string& ip, uint16_t port,
                     std::chrono::milliseconds limit = std::chrono::milliseconds(3000)) {
  const Fd fd = inside(netns, [&] { return Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); });
  const sockaddr_in to = at(ip, port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd waiting{fd.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, static_cast<int>(limit.count())) != 1) return false;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0;
}

/// The address from which the next waiting connection came.
inline std::string acceptedFrom(const Fd& listener) {
  pollfd waiting{listener.get(), POLLIN, 0};
  if (::poll(&waiting, 1, 3000) != 1) return "nobody";
  sockaddr_in from{};
  socklen_t size = sizeof from;
  const Fd fd(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
  char text[INET_ADDRSTRLEN];
  return ::inet_ntop(AF_INET, &from.sin_addr, text, sizeof text);
}

/// A directory that goes with the object.
class TempDir {
 public:
  TempDir() {
    char path[] = "/tmp/estiba-net-XXXXXX";
    if (::mkdtemp(path) == nullptr) throw SysError(errno, "make a temporary directory");
    path_ = path;
  }
  ~TempDir() { removeTree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace estiba::net::testing
