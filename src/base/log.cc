#include "base/log.h"

#include <unistd.h>

#include <atomic>

#include "base/clock.h"

namespace estiba::log {

namespace {
std::atomic<Level> threshold{Level::warn};

std::string_view name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warning";
    case Level::error:
      return "error";
  }
  return "error";
}
}  // namespace

void setLevel(Level level) noexcept {
  threshold = level;
}
bool enabled(Level level) noexcept {
  return level >= threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view message) {
  const std::string line = fmt::format("{} {}: {}\n", rfc3339Nano(now()), name(level), message);
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace estiba::log
