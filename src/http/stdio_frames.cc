#include "http/stdio_frames.h"

#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"

namespace estiba::http {

std::array<char, kFrameHeaderSize> frameHeader(StdStream stream, uint32_t size) noexcept {
  return {static_cast<char>(stream),
          0,
          0,
          0,
          static_cast<char>(size >> 24),
          static_cast<char>(size >> 16),
          static_cast<char>(size >> 8),
          static_cast<char>(size)};
}

void appendFrame(std::string& out, StdStream stream, std::string_view payload) {
  const auto header = frameHeader(stream, static_cast<uint32_t>(payload.size()));
  out.append(header.data(), header.size()).append(payload);
}

void writeFrame(int fd, StdStream stream, std::string_view payload) {
  auto header = frameHeader(stream, static_cast<uint32_t>(payload.size()));
  iovec parts[2] = {{header.data(), header.size()}, {const_cast<char*>(payload.data()), payload.size()}};
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    auto n = static_cast<size_t>(sys([&] { return ::writev(fd, parts, 2); }, "write a frame"));
    for (iovec& part : parts) {
      const size_t step = std::min(n, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + step;
      part.iov_len -= step;
      n -= step;
    }
  }
}

void FrameDemux::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      const size_t n = std::min(bytes.size(), kFrameHeaderSize - headerSize_);
      std::memcpy(header_.data() + headerSize_, bytes.data(), n);
      headerSize_ += n;
      bytes.remove_prefix(n);
      if (headerSize_ < kFrameHeaderSize) return;
      const auto* h = reinterpret_cast<const unsigned char*>(header_.data());
      if (h[0] > 3 || h[1] != 0 || h[2] != 0 || h[3] != 0) {
        fail(Code::invalid, "unrecognized stream header: {}", static_cast<unsigned>(h[0]));
      }
      stream_ = static_cast<StdStream>(h[0]);
      left_ = static_cast<uint32_t>(h[4]) << 24 | static_cast<uint32_t>(h[5]) << 16 | static_cast<uint32_t>(h[6]) << 8 |
              h[7];
      headerSize_ = 0;
    } else {
      const auto payload = bytes.substr(0, left_);
      left_ -= static_cast<uint32_t>(payload.size());
      bytes.remove_prefix(payload.size());
      sink_(stream_, payload);
    }
  }
}

}  // namespace estiba::http
