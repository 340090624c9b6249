#pragma once
// Docker's multiplexed stdio: each frame is a header of 8 bytes (stream, 0, 0, 0, length as big-endian 32 bit) and its
// payload. Source: Engine API, ContainerAttach, "Stream format".

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace estiba::http {

enum class StdStream : uint8_t { in = 0, out = 1, err = 2, system = 3 };  ///< system: an error text of the engine

inline constexpr size_t kFrameHeaderSize = 8;
std::array<char, kFrameHeaderSize> frameHeader(StdStream stream, uint32_t size) noexcept;
/// Header and payload appended to `out`.
void appendFrame(std::string& out, StdStream stream, std::string_view payload);
/// Header and payload in one writev(2), repeated until all is written. Throws SysError.
void writeFrame(int fd, StdStream stream, std::string_view payload);

/// Takes a stream apart as it comes in pieces of any size; payloads are handed on at once, not collected.
class FrameDemux {
 public:
  using Sink = std::function<void(StdStream, std::string_view)>;
  explicit FrameDemux(Sink sink) : sink_(std::move(sink)) {}
  /// Throws Error(invalid) for a header that is none.
  void feed(std::string_view bytes);
  /// Whether the stream may end here: between two frames.
  bool atBoundary() const noexcept { return headerSize_ == 0 && left_ == 0; }

 private:
  Sink sink_;
  std::array<char, kFrameHeaderSize> header_{};
  size_t headerSize_ = 0;
  StdStream stream_ = StdStream::out;
  uint32_t left_ = 0;
};

}  // namespace estiba::http
