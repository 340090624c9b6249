#include "runtime/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "runtime/stage_error.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba::runtime {

void becomeUndumpable() {
  sys([&] { return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }, "make the process undumpable");
}

void resetSignals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int s = 1; s < NSIG; ++s) ::sigaction(s, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void keepOnly(const int (&stdio)[3], const std::vector<int*>& kept) {
  std::vector<int*> there;
  for (int* fd : kept) {
    if (*fd >= 0) there.push_back(fd);
  }
  const int count = 3 + static_cast<int>(there.size());
  std::vector<int> moved;
  const auto lift = [&](int fd) {  // out of the way of every final number
    moved.push_back(sys([&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, count); }, "duplicate descriptor {}", fd));
  };
  for (const int fd : stdio) lift(fd);
  for (const int* fd : there) lift(*fd);
  for (int to = 0; to < count; ++to) {
    const auto i = static_cast<size_t>(to);
    sys([&] { return ::dup3(moved[i], to, i < 3 ? 0 : O_CLOEXEC); }, "duplicate descriptor {}", moved[i]);
    if (i >= 3) *there[i - 3] = to;
  }
  sys([&] { return ::syscall(SYS_close_range, static_cast<unsigned>(count), ~0U, 0); }, "close descriptors");
}

void becomeNamespaceRoot() {
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 && errno != EPERM) throw SysError(errno, "drop the groups");
  sys([&] { return ::syscall(SYS_setresgid, 0, 0, 0); }, "become group 0 of the user namespace");
  sys([&] { return ::syscall(SYS_setresuid, 0, 0, 0); }, "become user 0 of the user namespace");
}

void useConsole(Console console, const Channel& channel) {
  sys([&] { return ::ioctl(console.slave.get(), TIOCSCTTY, 0); }, "take the terminal");
  for (int fd = 0; fd <= 2; ++fd) {
    sys([&] { return ::dup2(console.slave.get(), fd); }, "use the terminal");
  }
  channel.send(makeReport(Report::console), console.master.get());
}

void addHome(std::vector<std::string>& env, const std::string& home) {
  const bool has = std::any_of(env.begin(), env.end(),
                               [](const std::string& item) { return item.starts_with("HOME=") && item.size() > 5; });
  if (!has) env.push_back("HOME=" + home);
}

void setOomScore(pid_t pid, int score, std::vector<std::string>& warnings) {
  const std::string path = fmt::format("/proc/{}/oom_score_adj", pid);
  try {
    if (readFile(path) != fmt::format("{}\n", score)) writeFile(path, fmt::format("{}", score));
  } catch (const SysError& e) {
    if (e.err() == ESRCH || e.err() == ENOENT) return;  // it has failed already, and says why itself
    if (e.err() != EACCES && e.err() != EPERM) throw;
    warnings.push_back(fmt::format("oom_score_adj cannot be set to {}", score));
  }
}

void awaitReport(const Channel& channel, pid_t pid, uint32_t wanted, std::vector<std::string>& warnings, Fd& console) {
  for (;;) {
    Fd fd;
    const auto report = channel.receive(&fd);
    if (!report) {
      if (wanted == 0) return;
      int status = 0;
      while (::waitpid(pid, &status, 0) == -1 && errno == EINTR) {
      }
      const ExitStatus end = statusOf(status);
      throw StageError("start", 0, "",
                       end.signal != 0 ? fmt::format("container init was killed by signal {}", end.signal)
                                       : fmt::format("container init ended with exit code {}", end.code));
    }
    if (report->kind == Report::warning) warnings.emplace_back(report->message);
    if (report->kind == Report::console) console = std::move(fd);
    if (report->kind == Report::failed) {
      while (::waitpid(pid, nullptr, 0) == -1 && errno == EINTR) {
      }
      throwFailure(*report);
    }
    if (report->kind == wanted) return;
  }
}

}  // namespace estiba::runtime
