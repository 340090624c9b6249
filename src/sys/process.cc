#include "sys/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba {

namespace {

// What the child needs, laid out before the clone: between clone and exec nothing may be allocated.
struct ChildPlan {
  const SpawnOptions* options = nullptr;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::string executable;
  int spareBase = 0;
  int error = 0;
};

std::string findExecutable(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = ::getenv("PATH");
  for (const auto& dir : split(path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':')) {
    std::string candidate = dir + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw SysError(ENOENT, fmt::format("find executable '{}' in PATH", name));
}

int runChild(void* argument) {
  auto& plan = *static_cast<ChildPlan*>(argument);
  const SpawnOptions& o = *plan.options;
  struct sigaction dfl {};
  dfl.sa_handler = SIG_DFL;
  for (int s = 1; s < NSIG; ++s) ::sigaction(s, &dfl, nullptr);  // handlers would run in the parent's memory
  int execFd = o.execFd;
  // First out of the way of every target number, then into place.
  int next = plan.spareBase;
  int spare[64];
  for (size_t i = 0; i < o.fds.size(); ++i) {
    spare[i] = ::fcntl(o.fds[i].first, F_DUPFD_CLOEXEC, next);
    if (spare[i] < 0) goto failed;
    next = spare[i] + 1;
  }
  if (execFd >= 0) {
    execFd = ::fcntl(execFd, F_DUPFD_CLOEXEC, next);
    if (execFd < 0) goto failed;
  }
  for (size_t i = 0; i < o.fds.size(); ++i) {
    if (::dup2(spare[i], o.fds[i].second) < 0) goto failed;
  }
  // Everything that is not ours to pass on is closed, and now: at exec it would close a moment after the parent goes on,
  // and who looks at the parent's locks when it has died would find them held. We share no descriptor table with it.
  if (execFd >= 0 && execFd != plan.spareBase && ::dup3(execFd, plan.spareBase, O_CLOEXEC) < 0) goto failed;
  if (execFd >= 0) execFd = plan.spareBase;
  ::syscall(SYS_close_range, execFd >= 0 ? execFd + 1 : plan.spareBase, ~0U, 0);
  for (int fd = 0; fd < plan.spareBase; ++fd) {
    bool wanted = false;
    for (const auto& [from, to] : o.fds) wanted = wanted || to == fd;
    if (!wanted) ::close(fd);
  }
  if (o.newSession) ::setsid();
  if (!o.cwd.empty() && ::chdir(o.cwd.c_str()) != 0) goto failed;
  {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
  }
  if (execFd >= 0) {
    ::syscall(SYS_execveat, execFd, "", plan.argv.data(), plan.envp.data(), AT_EMPTY_PATH);
  } else {
    ::execve(plan.executable.c_str(), plan.argv.data(), plan.envp.data());
  }
failed:
  plan.error = errno;
  ::_exit(127);
}

}  // namespace

Process& Process::operator=(Process&& o) noexcept {
  std::swap(pid_, o.pid_);
  std::swap(pidFd_, o.pidFd_);
  return *this;
}

Process::~Process() {
  if (pid_ <= 0) return;
  const int e = errno;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
  }
  errno = e;
}

Process Process::spawn(const SpawnOptions& options) {
  if (options.fds.size() > 64) fail(Code::internal, "spawn '{}': too many descriptors", options.path);
  ChildPlan plan;
  plan.options = &options;
  if (options.execFd < 0) plan.executable = findExecutable(options.path);
  for (const auto& arg : options.args) plan.argv.push_back(const_cast<char*>(arg.c_str()));
  plan.argv.push_back(nullptr);
  if (options.env.empty() && !options.clearEnv) {
    for (char** e = environ; *e != nullptr; ++e) plan.envp.push_back(*e);
  }
  for (const auto& item : options.env) plan.envp.push_back(const_cast<char*>(item.c_str()));
  plan.envp.push_back(nullptr);
  plan.spareBase = 3;
  for (const auto& [from, to] : options.fds) plan.spareBase = std::max(plan.spareBase, to + 1);

  constexpr size_t kStack = 64 * 1024;
  std::unique_ptr<char[]> stack(new char[kStack]);  // the child's: the parent is suspended until it has exec'ed
  // All signals are blocked across the clone: a handler must not run in the child on the parent's memory.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidFd = -1;
  char* top = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(stack.get() + kStack) & ~uintptr_t{15});
  const int pid = ::clone(runChild, top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidFd);
  const int e = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const std::string what = options.path.empty() ? options.args.at(0) : options.path;
  if (pid < 0) throw SysError(e, fmt::format("start '{}'", what));
  Process process(pid, Fd(pidFd));
  if (plan.error != 0) {
    process.wait();
    throw SysError(plan.error, fmt::format("execute '{}'", what));
  }
  return process;
}

void Process::kill(int signal) const {
  sys([&] { return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidFd_.get(), signal, nullptr, 0)); },
      "send signal {} to process {}", signal, pid_);
}

ExitStatus Process::wait() {
  int status = 0;
  sys([&] { return ::waitpid(pid_, &status, 0); }, "wait for process {}", pid_);
  pid_ = 0;
  pidFd_.reset();
  return statusOf(status);
}

ExitStatus statusOf(int waitStatus) noexcept {
  ExitStatus out;
  if (WIFSIGNALED(waitStatus)) {
    out.signal = WTERMSIG(waitStatus);
    out.coreDumped = WCOREDUMP(waitStatus);
  } else {
    out.code = WEXITSTATUS(waitStatus);
  }
  return out;
}

Captured runCaptured(const std::vector<std::string>& args, std::string_view input) {
  constexpr size_t kLimit = 1 << 20;
  Captured result;
  auto [outRead, outWrite] = makePipe();
  auto [errRead, errWrite] = makePipe();
  const Fd in = input.empty() ? openFile("/dev/null", O_RDONLY) : anonymousFile(input, "input");
  Process process = Process::spawn(
      {.path = args.at(0), .args = args, .fds = {{in.get(), 0}, {outWrite.get(), 1}, {errWrite.get(), 2}}});
  outWrite.reset();
  errWrite.reset();
  pollfd polls[] = {{outRead.get(), POLLIN, 0}, {errRead.get(), POLLIN, 0}};
  std::string* sinks[] = {&result.out, &result.err};
  char buffer[16384];
  for (int open = 2; open > 0;) {
    sys([&] { return ::poll(polls, 2, -1); }, "wait for output of '{}'", args[0]);
    for (int i = 0; i < 2; ++i) {
      if (polls[i].fd < 0 || polls[i].revents == 0) continue;
      const ssize_t n = sys([&] { return ::read(polls[i].fd, buffer, sizeof buffer); }, "read output of '{}'", args[0]);
      if (n == 0) {
        polls[i].fd = -1;
        --open;
      } else if (sinks[i]->size() < kLimit) {
        sinks[i]->append(buffer, static_cast<size_t>(n));
      }
    }
  }
  result.status = process.wait();
  return result;
}

std::optional<uint64_t> processStartTime(pid_t pid) {
  const auto text = tryReadFile(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text) return std::nullopt;
  const size_t close = text->rfind(')');  // the command's name may hold anything
  if (close == std::string::npos || close + 2 >= text->size()) return std::nullopt;
  const auto fields = split(std::string_view(*text).substr(close + 2), ' ');
  return fields.size() > 19 ? parseUint(fields[19]) : std::nullopt;
}

Fd openProcess(pid_t pid, uint64_t startTime) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd || processStartTime(pid) != startTime) return {};
  return fd;
}

void sendWithFds(int socket, std::string_view bytes, const std::vector<int>& fds) {
  iovec iov{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  const ssize_t n = sys([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); }, "send on a unix socket");
  bytes.remove_prefix(static_cast<size_t>(n));
  while (!bytes.empty()) {
    const ssize_t more =
        sys([&] { return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL); }, "send on a unix socket");
    bytes.remove_prefix(static_cast<size_t>(more));
  }
}

std::pair<std::string, std::vector<Fd>> receiveWithFds(int socket, size_t limit) {
  std::string bytes(limit, '\0');
  iovec iov{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = sys([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); }, "receive from a unix socket");
  bytes.resize(static_cast<size_t>(n));
  std::vector<Fd> fds;
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return {std::move(bytes), std::move(fds)};
}

}  // namespace estiba
