#include "cli/terminal.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/fd.h"
#include "cli/progress.h"

namespace estiba::cli {
namespace {

class Terminal : public ::testing::Test {
 protected:
  void SetUp() override {
    int master = -1, slave = -1;
    winsize size{.ws_row = 30, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_ = Fd(master);
    slave_ = Fd(slave);
  }
  tcflag_t localModes() const {
    termios settings{};
    ::tcgetattr(slave_.get(), &settings);
    return settings.c_lflag;
  }
  Fd master_, slave_;
};

TEST_F(Terminal, KnowsItsSize) {
  EXPECT_TRUE(isTerminal(slave_.get()));
  EXPECT_EQ(terminalSize(slave_.get()), (TerminalSize{30, 100}));
  EXPECT_FALSE(isTerminal(-1));
  EXPECT_EQ(terminalSize(-1), std::nullopt);
}

TEST_F(Terminal, IsRawOnlyWhileRawModeLives) {
  ASSERT_NE(localModes() & ICANON, 0u);
  {
    RawMode raw(slave_.get());
    EXPECT_TRUE(raw.active());
    EXPECT_EQ(localModes() & (ICANON | ECHO | ISIG), 0u);
    EXPECT_THROW(RawMode second(slave_.get()), Error);
  }
  EXPECT_NE(localModes() & ICANON, 0u);
  EXPECT_NE(localModes() & ECHO, 0u);
  EXPECT_FALSE(RawMode(-1).active());
}

TEST_F(Terminal, IsRestoredWhenASignalEndsTheProcess) {
  const auto dieRaw = [&] {
    RawMode raw(slave_.get());
    ::raise(SIGTERM);
  };
  EXPECT_EXIT(dieRaw(), ::testing::KilledBySignal(SIGTERM), "");
  EXPECT_NE(localModes() & ICANON, 0u);
  const auto leaveRaw = [&] {
    auto* raw = new RawMode(slave_.get());
    std::exit(raw->active() ? 3 : 4);
  };
  EXPECT_EXIT(leaveRaw(), ::testing::ExitedWithCode(3), "");
  EXPECT_NE(localModes() & ICANON, 0u);
}

TEST_F(Terminal, HonoursNoColor) {
  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(wantsColour(slave_.get()));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(wantsColour(slave_.get()));
  ::unsetenv("NO_COLOR");
  EXPECT_FALSE(wantsColour(-1));
}

TEST(ResizeWatch, BecomesReadableBySigwinch) {
  ResizeWatch watch;
  pollfd wait{.fd = watch.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
  ::raise(SIGWINCH);
  EXPECT_EQ(::poll(&wait, 1, 0), 1);
  watch.drain();
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
}

TEST(ProgressArea, RewritesOnlyTheLinesThatChanged) {
  std::string screen;
  ProgressArea area([&](std::string_view text) { screen += text; }, {.terminal = true, .columns = 10, .rows = 4});
  area.draw({"one", "two"});
  EXPECT_EQ(screen, "one\x1b[K\ntwo\x1b[K\n");
  screen.clear();
  area.draw({"one", "TWO"});
  EXPECT_EQ(screen, "\x1b[1A\rTWO\x1b[K\x1b[1B\r");
  screen.clear();
  area.draw({"one", "TWO"});
  EXPECT_EQ(screen, "");
  area.print("said");
  EXPECT_EQ(screen, "\x1b[2A\r\x1b[Jsaid\none\x1b[K\nTWO\x1b[K\n");
  screen.clear();
  area.draw({"1", "2", "3", "4 is much too long"});
  EXPECT_EQ(screen, "\x1b[2A\r\x1b[J2\x1b[K\n3\x1b[K\n4 is much \x1b[K\n");
  screen.clear();
  area.clear();
  EXPECT_EQ(screen, "\x1b[3A\r\x1b[J");
}

TEST(PullProgress, PrintsPlainLinesOffATerminal) {
  std::string text;
  ProgressArea area([&](std::string_view t) { text += t; }, {});
  PullProgress progress(area);
  progress.update("", "latest: Pulling from library/busybox", 0, 0);
  progress.update("abc", "Downloading", 1, 10);
  progress.update("abc", "Downloading", 5, 10);
  progress.update("abc", "Pull complete", 0, 0);
  EXPECT_EQ(text, "latest: Pulling from library/busybox\nabc: Downloading\nabc: Pull complete\n");
}

TEST(PullProgress, DrawsBarsOnATerminal) {
  EXPECT_EQ(progressBar(0, 0, 120), "");
  EXPECT_EQ(progressBar(1500, 0, 120), "1.5kB");
  EXPECT_EQ(progressBar(500, 1000, 80), "500B/1kB");
  EXPECT_EQ(progressBar(500, 1000, 120), "[" + std::string(25, '=') + ">" + std::string(25, ' ') + "]  500B/1kB");
  EXPECT_EQ(cutStyled("\x1b[31mred text\x1b[0m", 3), "\x1b[31mred\x1b[0m");
}

}  // namespace
}  // namespace estiba::cli
