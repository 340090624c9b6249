#pragma once
// Bytes to and from a peer: a socket, or TLS over one. For this module's own use.

#include <sys/uio.h>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "http/tls.h"

namespace estiba::http {

using std::chrono::milliseconds;

/// Descriptors of one message; more are Error(invalid).
inline constexpr size_t kFdsPerMessage = 32;

class Stream {
 public:
  virtual ~Stream() = default;
  /// 1..size bytes; 0 where the peer has ended. `timeout` 0: none. Throws Error(deadline), Error(unavailable).
  virtual size_t read(char* data, size_t size, milliseconds timeout) = 0;
  /// All of both. `passFds` (kFdsPerMessage at most) travel with the first byte. Throws Error(cancelled) where the peer
  /// is gone.
  virtual void write(std::string_view first, std::string_view second = {}, std::span<const int> passFds = {}) = 0;
  /// As write, but gives up (false) as soon as the peer has sent something; where that cannot be told, as write.
  virtual bool writeUnlessAnswered(std::string_view bytes) = 0;
  /// Whether bytes, or the end, wait to be read: a kept connection with them is of no use.
  virtual bool readable() const = 0;
  /// The connection as a plain blocking descriptor.
  virtual Fd release() = 0;
  virtual int fd() const noexcept = 0;
  /// Descriptors that came with what was read so far.
  std::vector<Fd> takeFds() { return std::exchange(fds_, {}); }

 protected:
  std::vector<Fd> fds_;
};

/// Over a socket in blocking mode. Where `acceptFds`, descriptors (SCM_RIGHTS) are received; else the kernel drops
/// them.
std::unique_ptr<Stream> plainStream(Fd socket, bool acceptFds);
/// Handshakes as a client of `host`. Throws Error(unavailable) with the library's reason, Error(deadline).
std::unique_ptr<Stream> tlsClientStream(Fd socket, const TlsClientContext& context, const std::string& host,
                                        milliseconds timeout);
std::unique_ptr<Stream> tlsServerStream(Fd socket, const TlsServerContext& context, milliseconds timeout);

/// poll(2) on one descriptor, repeated after signals: whether `events` (or an error) came within `timeout` (0: no
/// limit).
bool waitFor(int fd, short events, milliseconds timeout);

/// Bytes that were read and not consumed yet.
class InputBuffer {
 public:
  std::string_view bytes() const noexcept { return {data_.data() + begin_, end_ - begin_}; }
  bool empty() const noexcept { return begin_ == end_; }
  void consume(size_t n) noexcept {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  /// Reads once more behind what is there, at least `room` bytes if so many come. False at the peer's end. Throws
  /// Error(invalid) where `limit` bytes are held already.
  bool fill(Stream& stream, size_t limit, size_t room, milliseconds timeout);

 private:
  std::string data_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace estiba::http
