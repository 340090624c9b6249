#pragma once

#include <fmt/format.h>

#include <string_view>

namespace estiba::log {

enum class Level { debug, info, warn, error };

/// Lines below `level` are dropped. The default is warn; `--debug` sets debug.
void setLevel(Level level) noexcept;
bool enabled(Level level) noexcept;
/// One line to standard error: time, level, message. Any thread.
void write(Level level, std::string_view message);

template <class... A>
void debug(fmt::format_string<A...> what, A&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(what, std::forward<A>(args)...));
}
template <class... A>
void info(fmt::format_string<A...> what, A&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(what, std::forward<A>(args)...));
}
template <class... A>
void warn(fmt::format_string<A...> what, A&&... args) {
  if (enabled(Level::warn)) write(Level::warn, fmt::format(what, std::forward<A>(args)...));
}
template <class... A>
void error(fmt::format_string<A...> what, A&&... args) {
  if (enabled(Level::error)) write(Level::error, fmt::format(what, std::forward<A>(args)...));
}

}  // namespace estiba::log
