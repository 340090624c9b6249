#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace estiba {

/// Sole owner of one file descriptor. Move-only; moved-from means empty.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    Fd t(std::move(o));
    std::swap(fd_, t.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) {
      const int e = errno;
      ::close(fd_);  // Linux frees the number even on EINTR
      errno = e;
    }
  }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept { *this = Fd(); }

 private:
  int fd_ = -1;
};

}  // namespace estiba
