#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace estiba {

/// Nanoseconds since 1970-01-01 UTC. 0 is "never": Docker's zero time, "0001-01-01T00:00:00Z".
struct Time {
  int64_t ns = 0;
  auto operator<=>(const Time&) const = default;
};

Time now() noexcept;
/// CLOCK_MONOTONIC, for durations.
std::chrono::nanoseconds monotonic() noexcept;

/// RFC 3339 with up to nine decimals, trailing zeros cut, in UTC: "2024-05-01T10:00:00.5Z" (Go's RFC3339Nano).
std::string rfc3339Nano(Time time);
/// Always nine decimals: the form of log timestamps.
std::string rfc3339NanoPadded(Time time);
/// RFC 3339 with or without decimals and zone offset; nullopt where it is none.
std::optional<Time> parseRfc3339(std::string_view text);

/// "Less than a second", "3 seconds", "About an hour", "2 weeks": Docker's words. Source: go-units HumanDuration.
std::string humanDuration(std::chrono::nanoseconds duration);

/// A Go duration: "1h2m3.5s", "300ms", "-1.5h", "0"; nullopt where it is none.
std::optional<std::chrono::nanoseconds> parseDuration(std::string_view text);
/// A Go duration printed as Go prints it: "1m30s", "1.5s", "0s".
std::string formatDuration(std::chrono::nanoseconds duration);

}  // namespace estiba
