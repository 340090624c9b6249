// The last steps of a new process, in the child.

#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/process_plan.h"
#include "sys/mount.h"
#include "sys/seccomp.h"

namespace estiba::runtime {

namespace {

void applyLimits(const std::vector<Limit>& limits, const Channel& channel) {
  for (const auto& limit : limits) {
    const auto resource = static_cast<__rlimit_resource>(limit.resource);
    if (::prlimit64(0, resource, &limit.value, nullptr) == 0) continue;
    const int e = errno;
    if (e != EPERM) throw SysError(e, fmt::format("set {}", limit.name));
    rlimit64 present{};
    sys([&] { return ::prlimit64(0, resource, nullptr, &present); }, "read {}", limit.name);
    const rlimit64 reachable{std::min(limit.value.rlim_cur, present.rlim_max), present.rlim_max};
    sys([&] { return ::prlimit64(0, resource, &reachable, nullptr); }, "set {}", limit.name);
    channel.send(makeReport(Report::warning, fmt::format("{} cannot be raised to {}: it stays at {}", limit.name,
                                                         limit.value.rlim_max, present.rlim_max)));
  }
}

void applyIoPriority(const oci::IoPriority& wanted) {
  const int kind = wanted.class_ == "IOPRIO_CLASS_RT"     ? 1
                   : wanted.class_ == "IOPRIO_CLASS_BE"   ? 2
                   : wanted.class_ == "IOPRIO_CLASS_IDLE" ? 3
                                                          : 0;
  if (kind == 0) fail(Code::invalid, "unknown I/O priority class '{}'", wanted.class_);
  sys([&] { return ::syscall(SYS_ioprio_set, 1, 0, kind << 13 | wanted.priority); }, "set the I/O priority");
}

// A session keyring of its own, so that it cannot search the engine's. Kernels without keyrings have nothing to hide.
void joinKeyring(const std::string& name) {
  const long id = ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str());
  if (id < 0) {
    if (errno == ENOSYS || errno == EDQUOT || errno == EPERM) return;
    throw SysError(errno, "make a session keyring");
  }
  // "type;uid;gid;permissions;name": the owner may search it, so that keys can be found from processes of his.
  char description[256] = {};
  if (::syscall(SYS_keyctl, KEYCTL_DESCRIBE, id, description, sizeof description - 1) <= 0) return;
  const auto fields = split(description, ';');
  if (fields.size() < 4) return;
  const unsigned long permissions = std::strtoul(fields[3].c_str(), nullptr, 16);
  ::syscall(SYS_keyctl, KEYCTL_SETPERM, id, permissions | 0x080000);
}

// So that the user can open /dev/stdout again. Sockets, read-only file systems and a user namespace may refuse; it can
// go without.
void giveStdio(const oci::User& user) {
  if (user.uid == 0 && user.gid == 0) return;
  struct stat null {};
  const bool haveNull = ::stat("/dev/null", &null) == 0;
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat st {};
    if (::fstat(fd, &st) != 0 || (haveNull && S_ISCHR(st.st_mode) && st.st_rdev == null.st_rdev)) continue;
    if (st.st_uid != user.uid) (void)!::fchown(fd, user.uid, static_cast<gid_t>(-1));
  }
}

// For the next execve. Through a procfs that was never attached anywhere: what the container has mounted over its own
// cannot send the write elsewhere.
void writeLabel(const std::vector<const char*>& files, const std::string& label) {
  const Fd proc = FsContext("proc").mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  open_how how{};
  how.flags = O_WRONLY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  Fd fd;
  for (const char* file : files) {
    const std::string path = fmt::format("{}/attr/{}", ::getpid(), file);
    fd = Fd(static_cast<int>(::syscall(SYS_openat2, proc.get(), path.c_str(), &how, sizeof how)));
    if (fd) break;
  }
  if (!fd) throw SysError(errno, "open the security label of the next program");
  sys([&] { return ::write(fd.get(), label.data(), label.size()); }, "write label '{}'", label);
}

void applyLabels(const oci::Process& process) {
  if (const std::string profile = process.apparmorProfile.value_or(""); !profile.empty()) {
    if (::access("/sys/kernel/security/apparmor", F_OK) != 0 && ::access("/sys/module/apparmor", F_OK) != 0) {
      fail(Code::not_implemented, "apparmor profile '{}' cannot be applied: apparmor is not enabled", profile);
    }
    writeLabel({"apparmor/exec", "exec"}, "exec " + profile);
  }
  if (const std::string label = process.selinuxLabel.value_or(""); !label.empty()) writeLabel({"exec"}, label);
}

/// False where it must be tried again as the user (a directory that root may not enter, NFS).
bool enterDirectory(const std::string& cwd, bool lastChance) {
  if (::chdir(cwd.c_str()) == 0) return true;
  const int e = errno;
  if (!lastChance && (e == EACCES || e == EPERM)) return false;
  const SysError error(e, fmt::format("chdir to cwd (\"{}\") set in config.json failed", cwd));
  throw ChildFailure("cwd", e, cwd, error.what());
}

// The kernel names a directory that cannot be reached from the root "(unreachable)…": it would lead out.
void checkInside() {
  char buffer[8192];
  const long n = ::syscall(SYS_getcwd, buffer, sizeof buffer);
  if (n < 0) {
    if (errno == ENOENT) {
      throw ChildFailure("cwd", ENOENT, "",
                         "current working directory is outside of container mount namespace root -- "
                         "possible container breakout detected");
    }
    throw SysError(errno, "getcwd");
  }
  if (buffer[0] != '/') {
    throw ChildFailure("cwd", EACCES, "",
                       "current working directory is outside of container mount namespace root -- "
                       "possible container breakout detected");
  }
}

void becomeUser(const oci::User& user) {
  sys([&] { return ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0); }, "keep capabilities");
  const auto* groups = user.additionalGids.data();
  const size_t count = user.additionalGids.size();
  if (::syscall(SYS_setgroups, count, groups) != 0 && !(errno == EPERM && count == 0)) {
    throw SysError(errno, "set the additional groups");
  }
  // Raw calls: glibc's would look for threads to tell.
  sys([&] { return ::syscall(SYS_setresgid, user.gid, user.gid, user.gid); }, "become group {}", user.gid);
  sys([&] { return ::syscall(SYS_setresuid, user.uid, user.uid, user.uid); }, "become user {}", user.uid);
  sys([&] { return ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0); }, "keep capabilities");
}

/// errno of why `path` is not executable by us, 0 where it is.
int whyNotExecutable(const std::string& path, bool& statFailed) {
  struct stat st {};
  statFailed = ::stat(path.c_str(), &st) != 0;
  if (statFailed) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  return ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : EACCES;
}

std::string pathOf(const std::vector<std::string>& env) {
  std::string path;
  for (const auto& item : env) {
    if (item.starts_with("PATH=")) path = item.substr(5);
  }
  return path;
}

[[noreturn]] void notFound(const std::string& name, int err, const std::string& why) {
  throw ChildFailure("lookup", err, name, fmt::format("exec: {}: {}", quoted(name), why));
}

// The words are those that Docker's users know (Go's exec.LookPath).
std::string lookUp(const std::string& name, const std::vector<std::string>& env) {
  bool statFailed = false;
  if (name.find('/') != std::string::npos) {
    const int e = whyNotExecutable(name, statFailed);
    if (e == 0) return name;
    const std::string text = SysError(e, "x").what() + 3;
    notFound(name, e, statFailed ? fmt::format("stat {}: {}", name, text) : text);
  }
  if (!name.empty()) {
    for (const auto& dir : split(pathOf(env), ':')) {
      std::string candidate = (dir.empty() ? "." : dir) + "/" + name;
      if (whyNotExecutable(candidate, statFailed) == 0) return candidate;
    }
  }
  notFound(name, ENOENT, "executable file not found in $PATH");
}

std::vector<char*> pointersOf(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

[[noreturn]] void sayAndExit(const std::string& executable, int err) {
  const std::string line = fmt::format("{}\n", SysError(err, "exec " + executable).what());
  (void)!::write(2, line.data(), line.size());
  ::_exit(255);
}

}  // namespace

void becomeProcess(ProcessPlan& plan, const Channel& channel, const std::function<void()>& gate) {
  const char* stage = "limits";
  try {
    oci::Process& process = plan.process;
    applyLimits(plan.limits, channel);
    if (process.ioPriority) applyIoPriority(*process.ioPriority);
    if (plan.setPersonality) sys([&] { return ::personality(plan.personality); }, "set the personality");
    joinKeyring(plan.keyring);
    stage = "labels";
    applyLabels(process);
    stage = "limits";
    giveStdio(process.user);

    stage = "cwd";
    const bool entered = enterDirectory(process.cwd, /*lastChance=*/false);
    stage = "user";
    limitBoundingCaps(plan.bounding);
    becomeUser(process.user);
    ::umask(process.user.umask.value_or(022));
    stage = "cwd";
    if (!entered) enterDirectory(process.cwd, /*lastChance=*/true);
    checkInside();

    stage = "capabilities";
    if (plan.noNewPrivileges) sys([&] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }, "set no_new_privs");
    constexpr CapMask kSysAdmin = CapMask{1} << 21;
    // Without no_new_privs a filter needs CAP_SYS_ADMIN: held until it is loaded, dropped before execve.
    const bool late = !plan.filter.empty() && !plan.noNewPrivileges && (plan.effective & kSysAdmin) == 0 &&
                      (currentCaps().permitted & kSysAdmin) != 0;
    const CapSets last{plan.effective, plan.permitted, plan.inheritable};
    const CapMask borrowed = late ? kSysAdmin : 0;
    setCaps({plan.effective | borrowed, plan.permitted | borrowed, plan.inheritable});
    setAmbientCaps(plan.ambient);

    stage = "lookup";
    const std::string executable = lookUp(process.args[0], process.env);
    const auto argv = pointersOf(process.args);
    const auto envp = pointersOf(process.env);
    stage = "start";
    gate();
    stage = "seccomp";
    if (!plan.filter.empty()) loadSeccomp(plan.filter, plan.filterFlags);
    stage = "capabilities";
    if (late) setCaps(last);
    ::execve(executable.c_str(), argv.data(), envp.data());
    sayAndExit(executable, errno);
  } catch (const ChildFailure&) {
    throw;
  } catch (const SysError& e) {
    throw ChildFailure(stage, e.err(), "", e.what());
  } catch (const Error& e) {
    throw ChildFailure(stage, 0, "", e.what());
  }
}

}  // namespace estiba::runtime
