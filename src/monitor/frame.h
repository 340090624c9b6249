#pragma once
// Docker's multiplexed stream: 8 bytes before each piece. Source: Engine API, ContainerAttach, "Stream format".

#include <array>
#include <cstddef>
#include <cstdint>

namespace estiba::monitor {

inline constexpr size_t kFrameHeader = 8;
enum class StreamId : uint8_t { in = 0, out = 1, err = 2 };

/// {stream, 0, 0, 0, length big-endian}.
constexpr std::array<char, kFrameHeader> frameHeader(StreamId stream, uint32_t length) {
  return {static_cast<char>(stream),
          0,
          0,
          0,
          static_cast<char>(length >> 24),
          static_cast<char>(length >> 16),
          static_cast<char>(length >> 8),
          static_cast<char>(length)};
}

}  // namespace estiba::monitor
