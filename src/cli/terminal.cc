#include "cli/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/fd.h"

namespace estiba::cli {

namespace {

constexpr std::array kFatalSignals{SIGTERM, SIGHUP, SIGINT, SIGQUIT};

/// What signal handlers and atexit need: nothing here allocates or locks.
struct RawState {
  std::atomic<bool> active{false};
  int fd = -1;
  termios saved{};
  std::array<bool, kFatalSignals.size()> handled{};
};
RawState raw;

void restoreTerminal() noexcept {
  if (raw.active.exchange(false)) ::tcsetattr(raw.fd, TCSADRAIN, &raw.saved);
}

void onFatalSignal(int signal) {
  const int e = errno;
  restoreTerminal();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
  errno = e;
}

void installHandlers() {
  static const int kRegistered = std::atexit([] { restoreTerminal(); });
  static_cast<void>(kRegistered);
  for (size_t i = 0; i < kFatalSignals.size(); ++i) {
    struct sigaction current {};
    ::sigaction(kFatalSignals[i], nullptr, &current);
    raw.handled[i] = current.sa_handler == SIG_DFL;
    if (!raw.handled[i]) continue;
    struct sigaction ours {};
    ours.sa_handler = onFatalSignal;
    ::sigaction(kFatalSignals[i], &ours, nullptr);
  }
}

void removeHandlers() noexcept {
  for (size_t i = 0; i < kFatalSignals.size(); ++i) {
    if (raw.handled[i]) ::signal(kFatalSignals[i], SIG_DFL);
    raw.handled[i] = false;
  }
}

std::atomic<int> resizeWriteEnd{-1};
int resizeReadEnd = -1;
struct sigaction previousResize {};

void onResize(int) {
  const int e = errno;
  if (const int fd = resizeWriteEnd.load(); fd >= 0) {
    [[maybe_unused]] const ssize_t n = ::write(fd, "", 1);  // a full pipe says as much
  }
  errno = e;
}

}  // namespace

bool isTerminal(int fd) {
  return ::isatty(fd) == 1;
}

std::optional<TerminalSize> terminalSize(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return std::nullopt;
  return TerminalSize{size.ws_row, size.ws_col};
}

bool wantsColour(int fd) {
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
  return isTerminal(fd) && !dumb && (refused == nullptr || *refused == '\0');
}

RawMode::RawMode(int fd) {
  if (!isTerminal(fd)) return;
  if (raw.active) fail(Code::conflict, "terminal is in raw mode already");
  sys([&] { return ::tcgetattr(fd, &raw.saved); }, "read the terminal's settings");
  raw.fd = fd;
  termios settings = raw.saved;
  ::cfmakeraw(&settings);
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  installHandlers();
  raw.active = true;
  active_ = true;
  try {
    sys([&] { return ::tcsetattr(fd, TCSADRAIN, &settings); }, "set the terminal to raw mode");
  } catch (...) {
    restore();
    throw;
  }
}

RawMode::~RawMode() {
  restore();
}

void RawMode::restore() noexcept {
  if (!active_) return;
  restoreTerminal();
  removeHandlers();
  active_ = false;
}

ResizeWatch::ResizeWatch() {
  if (resizeWriteEnd >= 0) fail(Code::conflict, "window size is watched already");
  std::array<int, 2> ends{};
  sys([&] { return ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK); }, "create a pipe");
  resizeReadEnd = ends[0];
  resizeWriteEnd = ends[1];
  struct sigaction action {};
  action.sa_handler = onResize;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGWINCH, &action, &previousResize);
}

ResizeWatch::~ResizeWatch() {
  ::sigaction(SIGWINCH, &previousResize, nullptr);
  ::close(resizeWriteEnd.exchange(-1));
  ::close(std::exchange(resizeReadEnd, -1));
}

int ResizeWatch::fd() const noexcept {
  return resizeReadEnd;
}

void ResizeWatch::drain() noexcept {
  std::array<char, 64> buffer{};
  while (::read(resizeReadEnd, buffer.data(), buffer.size()) > 0) {
  }
}

}  // namespace estiba::cli
