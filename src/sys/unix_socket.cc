#include "sys/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "sys/file.h"

namespace estiba {

namespace {

sockaddr_un addressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size() + 1, sizeof address.sun_path - 1));
  return address;
}

sockaddr_un addressIn(int dirFd, const char* name) {
  return addressOf(fmt::format("/proc/self/fd/{}/{}", dirFd, name));
}

Fd unixSocket() {
  return Fd(sys([] { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }, "make a unix socket"));
}

Fd connected(const sockaddr_un& address, const std::string& name) {
  Fd socket = unixSocket();
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw SysError(errno, fmt::format("connect to '{}'", name));
  }
  return socket;
}

}  // namespace

Fd listenIn(int dirFd, const char* name) {
  Fd socket = unixSocket();
  ::unlinkat(dirFd, name, 0);
  const sockaddr_un address = addressIn(dirFd, name);
  sys([&] { return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address); }, "bind '{}'",
      name);
  sys([&] { return ::listen(socket.get(), 256); }, "listen on '{}'", name);
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  return socket;
}

Fd connectIn(const std::string& dir, const char* name) {
  const Fd dirFd = openFile(dir, O_PATH | O_DIRECTORY);
  return connected(addressIn(dirFd.get(), name), dir + "/" + name);
}

Fd connectTo(int file) {
  return connected(addressOf(fmt::format("/proc/self/fd/{}", file)), "a socket");
}

}  // namespace estiba
