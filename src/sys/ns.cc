#include "sys/ns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "sys/file.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace estiba {

namespace {
constexpr NamespaceKind kKinds[] = {{"user", "user", CLONE_NEWUSER},       {"mount", "mnt", CLONE_NEWNS},
                                    {"pid", "pid", CLONE_NEWPID},          {"network", "net", CLONE_NEWNET},
                                    {"ipc", "ipc", CLONE_NEWIPC},          {"uts", "uts", CLONE_NEWUTS},
                                    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", CLONE_NEWTIME}};
}

const NamespaceKind* namespaceKind(std::string_view type) {
  for (const auto& kind : kKinds) {
    if (kind.type == type) return &kind;
  }
  return nullptr;
}

Fd openNamespace(const std::string& path, const NamespaceKind& kind) {
  Fd fd = openFile(path, O_RDONLY);
  const int type = ::ioctl(fd.get(), NS_GET_NSTYPE);
  if (type != kind.flag) fail(Code::invalid, "'{}' is no {} namespace", path, kind.type);
  return fd;
}

void enterNamespaces(int fd, int flags, const std::string& name) {
  sys([&] { return ::setns(fd, flags); }, "join namespace '{}'", name);
}

bool sharesNamespace(pid_t pid, const NamespaceKind& kind) {
  struct stat mine {};
  struct stat theirs {};
  const std::string own = fmt::format("/proc/self/ns/{}", kind.file);
  const std::string other = fmt::format("/proc/{}/ns/{}", pid, kind.file);
  if (::stat(own.c_str(), &mine) != 0 && errno == ENOENT) return true;  // the kernel has no such kind
  sys([&] { return ::stat(other.c_str(), &theirs); }, "stat '{}'", other);
  return mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev;
}

ChildNamespace::ChildNamespace(int fd, const std::string& name) : own_(openFile("/proc/self/ns/pid", O_RDONLY)) {
  sys([&] { return ::setns(fd, CLONE_NEWPID); }, "join pid namespace '{}'", name);
}

ChildNamespace::~ChildNamespace() {
  if (!own_) return;
  const int e = errno;
  if (::setns(own_.get(), CLONE_NEWPID) != 0) {
    log::error("cannot return to the own pid namespace");
    std::abort();
  }
  errno = e;
}

ChildClocks::ChildClocks(const std::string& offsets) : own_(openFile("/proc/self/ns/time", O_RDONLY)) {
  sys([&] { return ::unshare(CLONE_NEWTIME); }, "make a time namespace");
  if (!offsets.empty()) writeFile("/proc/self/timens_offsets", offsets);
}

ChildClocks::~ChildClocks() {
  if (!own_) return;
  const int e = errno;
  if (::setns(own_.get(), CLONE_NEWTIME) != 0) {
    log::error("cannot return to the own time namespace");
    std::abort();
  }
  errno = e;
}

std::optional<uint32_t> mappedId(const std::string& map, uint32_t id) {
  for (const auto& line : split(map, '\n')) {
    std::vector<uint64_t> numbers;
    for (const auto& word : split(line, ' ')) {
      if (const auto number = parseUint(word)) numbers.push_back(*number);
    }
    if (numbers.size() != 3 || id < numbers[0] || id - numbers[0] >= numbers[2]) continue;
    return static_cast<uint32_t>(numbers[1] + (id - numbers[0]));
  }
  return std::nullopt;
}

Cloned cloneProcess(uint64_t flags, int cgroupFd) {
  int pidFd = -1;
  clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidFd);
  args.exit_signal = SIGCHLD;
  if (cgroupFd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroupFd);
  }
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) throw SysError(errno, "clone a process");
  if (pid == 0) return {};
  return {static_cast<pid_t>(pid), Fd(pidFd)};
}

}  // namespace estiba
