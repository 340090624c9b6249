#include "runtime/exec.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "runtime/cgroup.h"
#include "runtime/child.h"
#include "runtime/process_plan.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/process.h"
#include "sys/root_dir.h"

namespace estiba::runtime {

namespace {

struct ExecPlan {
  ProcessPlan process;
  CgroupSet cgroup;
  bool intoCgroup = false;
  int stdio[3] = {-1, -1, -1};
  int namespaces = 0;  ///< to join, by the target's pidfd
};

// setns(2) refuses the user namespace that one is in already; the pid namespace is the child's by birth.
int namespacesToJoin(pid_t target) {
  int flags = 0;
  for (const char* type : {"mount", "network", "ipc", "uts", "cgroup", "user", "time"}) {
    const NamespaceKind* kind = namespaceKind(type);
    if (!sharesNamespace(target, *kind)) flags |= kind->flag;
  }
  return flags;
}

class ExecChild {
 public:
  ExecChild(ExecPlan& plan, int target, int channel) : plan_(plan), target_(target), fd_(channel) {}

  [[noreturn]] void run() noexcept {
    try {
      setUp();
      becomeProcess(plan_.process, channel_, [this] { waitForStart(); });
    } catch (const ChildFailure& e) {
      report(makeFailure(e.stage(), e.err(), e.detail(), e.what()));
    } catch (const SysError& e) {
      report(makeFailure(stage_, e.err(), "", e.what()));
    } catch (const std::exception& e) {
      report(makeFailure(stage_, 0, "", e.what()));
    }
    ::_exit(1);
  }

 private:
  void report(const Report& what) noexcept {
    try {
      channel_.send(what);
    } catch (const std::exception&) {
      // nobody listens any more
    }
  }

  void setUp() {
    becomeUndumpable();  // before anybody in the container can see us
    resetSignals();
    keepOnly(plan_.stdio, {&fd_, &target_});
    channel_ = Channel(Fd(fd_));
    ::setsid();
    plan_.cgroup.attachSelf(/*unifiedToo=*/!plan_.intoCgroup);
    stage_ = "namespaces";
    if (plan_.namespaces != 0) enterNamespaces(target_, plan_.namespaces, "of the container");
    ::close(target_);
    if ((plan_.namespaces & CLONE_NEWUSER) != 0) becomeNamespaceRoot();
    ::umask(022);
    oci::Process& process = plan_.process.process;
    const RootDir root = RootDir::open("/");
    stage_ = "console";
    if (process.terminal.value_or(false)) {
      Fd ptmx = root.openPath("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);
      useConsole(openConsole(std::move(ptmx), process.consoleSize), channel_);
    }
    addHome(process.env, homeIn(root, process.user.uid));
  }

  static std::string homeIn(const RootDir& root, uint32_t uid) {
    try {
      return homeOf(root.tryRead("/etc/passwd", 1 << 20).value_or(""), uid);
    } catch (const Error&) {
      return "/";
    }
  }

  void waitForStart() {
    channel_.send(makeReport(Report::ready));
    if (const auto go = channel_.receive(); !go || go->kind != Report::proceed) ::_exit(1);
  }

  ExecPlan& plan_;
  int target_;
  int fd_;
  Channel channel_;
  const char* stage_ = "cgroup";
};

// So that the user can open /dev/stdout again: by us, who own it; the child may not change what is the host's.
void giveStdioToMapped(pid_t target, const oci::User& user, const int (&stdio)[3]) {
  const auto uid = mappedId(readFile(fmt::format("/proc/{}/uid_map", target)), user.uid);
  const auto gid = mappedId(readFile(fmt::format("/proc/{}/gid_map", target)), user.gid);
  if (!uid || !gid) fail(Code::invalid, "user {}:{} is not mapped", user.uid, user.gid);
  for (const int fd : stdio) {
    struct stat st {};
    if (::fstat(fd, &st) == 0 && !S_ISCHR(st.st_mode)) (void)!::fchown(fd, *uid, *gid);
  }
}

Fd openTarget(pid_t target, uint64_t startTime) {
  Fd fd = openProcess(target, startTime);
  if (!fd) fail(Code::not_found, "process {} is not running", target);
  return fd;
}

}  // namespace

ExecProcess execIn(pid_t target, uint64_t startTime, const oci::Process& process, const ExecOptions& options) {
  const char* stage = "plan";
  const Fd pidFd = openTarget(target, startTime);
  try {
    ExecPlan plan;
    plan.process = planProcess(process, options.seccomp, options.personality, options.cacheDir);
    plan.process.keyring = "_ses.exec";
    plan.namespaces = namespacesToJoin(target);
    const Fd null = openFile("/dev/null", O_RDWR);
    for (int i = 0; i < 3; ++i) {
      const bool nothing = options.stdio[i] < 0 || process.terminal.value_or(false);
      plan.stdio[i] = nothing ? null.get() : options.stdio[i];
    }
    if ((plan.namespaces & CLONE_NEWUSER) != 0) giveStdioToMapped(target, process.user, plan.stdio);
    if (!options.cgroupPath.empty()) plan.cgroup = CgroupSet::open(options.cgroupPath);
    plan.intoCgroup = plan.cgroup.unifiedFd() >= 0;
    stage = "clone";
    auto [ours, theirs] = Channel::pair();
    Process child;
    ExecProcess out;
    {
      const ChildNamespace place(pidFd.get(), "of the container");
      Cloned cloned = cloneProcess(0, plan.cgroup.unifiedFd());
      if (cloned.pid == 0) ExecChild(plan, pidFd.get(), theirs.fd()).run();
      child = Process(cloned.pid, Fd());
      out.pid = cloned.pid;
      out.pidFd = std::move(cloned.pidFd);
    }
    theirs.reset();
    out.warnings = plan.process.warnings;
    if (process.oomScoreAdj) setOomScore(out.pid, *process.oomScoreAdj, out.warnings);
    try {
      awaitReport(ours, out.pid, Report::ready, out.warnings, out.console);
      ours.send(makeReport(Report::proceed));
      awaitReport(ours, out.pid, 0, out.warnings, out.console);
    } catch (const StageError&) {
      child.release();  // reaped
      throw;
    }
    child.release();
    return out;
  } catch (const StageError&) {
    throw;
  } catch (const SysError& e) {
    throw StageError(stage, e.err(), "", e.what());
  } catch (const Error& e) {
    throw StageError(stage, 0, "", e.what());
  }
}

}  // namespace estiba::runtime
