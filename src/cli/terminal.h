#pragma once
// The terminal under a descriptor: is there one, how wide, raw mode. Source: termios(3), ioctl_tty(2).

#include <termios.h>

#include <optional>

namespace estiba::cli {

struct TerminalSize {
  unsigned rows = 0;
  unsigned columns = 0;
  bool operator==(const TerminalSize&) const = default;
};

bool isTerminal(int fd);
/// nullopt: no terminal, or one that does not know its size.
std::optional<TerminalSize> terminalSize(int fd);
/// Colours are wanted: a terminal, NO_COLOR unset or empty, TERM not "dumb".
bool wantsColour(int fd);

/// Raw mode while it lives: bytes pass as they are typed, nothing is echoed, ^C is a byte. Restores the terminal when
/// destroyed, at exit(3), and on SIGTERM, SIGHUP, SIGINT and SIGQUIT where their action was the default (it then ends
/// by that signal). One at a time per process; the second throws Error(conflict).
class RawMode {
 public:
  /// Does nothing where `fd` is no terminal.
  explicit RawMode(int fd);
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  bool active() const noexcept { return active_; }
  /// Earlier than the destructor: before the last words are printed.
  void restore() noexcept;

 private:
  bool active_ = false;
};

/// Tells of SIGWINCH through a descriptor that becomes readable. One at a time per process.
class ResizeWatch {
 public:
  ResizeWatch();
  ~ResizeWatch();
  ResizeWatch(const ResizeWatch&) = delete;
  ResizeWatch& operator=(const ResizeWatch&) = delete;
  int fd() const noexcept;
  /// Empties the descriptor; how many signals came does not matter.
  void drain() noexcept;
};

}  // namespace estiba::cli
