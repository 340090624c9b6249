#include "http/tls_bridge.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "sys/file.h"

namespace estiba::http {
namespace {

constexpr size_t kPiece = 16384;  // a TLS record's most

class Bridge {
 public:
  Bridge(Fd socket, SSL* ssl, Fd local) : net_(std::move(socket)), ssl_(ssl, &SSL_free), local_(std::move(local)) {}

  void run() {
    while (!(outDone_ && inDone_)) {
      const bool moved = encrypt() | decrypt();  // both, whatever the first says
      if (!moved && !(outDone_ && inDone_)) wait();
    }
  }

 private:
  // local -> net. True where something moved.
  bool encrypt() {
    if (outDone_) return false;
    bool moved = false;
    if (out_.empty() && !localEnded_) {
      out_.resize(kPiece);
      const ssize_t n = ::recv(local_.get(), out_.data(), kPiece, MSG_DONTWAIT);
      out_.resize(n > 0 ? static_cast<size_t>(n) : 0);
      localEnded_ = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
      moved = n > 0;
    }
    if (!out_.empty()) {
      ERR_clear_error();
      const int n = SSL_write(ssl_.get(), out_.data(), static_cast<int>(out_.size()));
      if (n > 0) {
        out_.erase(0, static_cast<size_t>(n));
        return true;
      }
      return blocked(n, writeWants_) ? moved : abandon();
    }
    if (localEnded_) {
      SSL_shutdown(ssl_.get());
      ERR_clear_error();
      outDone_ = true;
      return true;
    }
    return moved;
  }

  // net -> local
  bool decrypt() {
    if (inDone_) return false;
    bool moved = false;
    if (in_.empty() && !netEnded_) {
      in_.resize(kPiece);
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), in_.data(), kPiece);
      in_.resize(n > 0 ? static_cast<size_t>(n) : 0);
      if (n <= 0 && !blocked(n, readWants_)) netEnded_ = true;
      moved = n > 0;
    }
    if (!in_.empty()) {
      const ssize_t n = ::send(local_.get(), in_.data(), in_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        in_.erase(0, static_cast<size_t>(n));
        return true;
      }
      if (errno == EAGAIN || errno == EINTR) return moved;
      return abandon();  // our side does not read any more
    }
    if (netEnded_) {
      ::shutdown(local_.get(), SHUT_WR);
      inDone_ = true;
      return true;
    }
    return moved;
  }

  bool abandon() {
    outDone_ = inDone_ = true;
    return true;
  }

  bool blocked(int result, short& wants) const {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) wants = POLLIN;
    if (error == SSL_ERROR_WANT_WRITE) wants = POLLOUT;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  }

  void wait() {
    pollfd fds[2] = {{net_.get(), 0, 0}, {local_.get(), 0, 0}};
    if (!out_.empty()) fds[0].events |= writeWants_;
    if (!netEnded_ && in_.empty()) fds[0].events |= readWants_;
    if (out_.empty() && !localEnded_) fds[1].events |= POLLIN;
    if (!in_.empty()) fds[1].events |= POLLOUT;
    // A side without a wish is left out: its hang-up would make poll return at once, for ever.
    if (fds[0].events == 0) fds[0].fd = -1;
    if (fds[1].events == 0) fds[1].fd = -1;
    sys([&] { return ::poll(fds, 2, -1); }, "poll a TLS connection");
  }

  Fd net_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
  Fd local_;
  std::string out_, in_;
  bool localEnded_ = false, netEnded_ = false;
  bool outDone_ = false, inDone_ = false;
  short writeWants_ = POLLOUT, readWants_ = POLLIN;
};

}  // namespace

Fd bridgeTls(Fd socket, SSL* ssl) {
  auto [ours, theirs] = socketPair();
  auto bridge = std::make_unique<Bridge>(std::move(socket), ssl, std::move(ours));
  std::thread([bridge = std::move(bridge)] {
    try {
      bridge->run();
    } catch (const std::exception& e) {
      log::debug("TLS bridge: {}", e.what());
    }
  }).detach();  // ends with the connection; nobody waits for it
  return std::move(theirs);
}

}  // namespace estiba::http
