#include "runtime/default_seccomp.h"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/text.h"

namespace estiba::runtime {

namespace {

// What every container may call. Not among them, beside what the capabilities below open: io_uring (too large a part of
// the kernel), keyctl and add_key (keyrings are not namespaced), userfaultfd, kexec, swap, quotas, old module calls.
constexpr std::string_view kAlways =
    // files
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
    "fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 "
    "fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents "
    "getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat "
    "name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead "
    "readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 "
    "statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
    "utimensat_time64 utimes vmsplice write writev fanotify_mark inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch cachestat "
    // extended attributes
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr "
    "removexattr setxattr getxattrat listxattrat removexattrat setxattrat "
    // waiting and old asynchronous I/O
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select _newselect signalfd signalfd4 io_cancel "
    "io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit pipe pipe2 "
    // sockets (socket itself has a rule of its own)
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair "
    // memory
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease "
    "remap_file_pages "
    // processes, threads, signals
    "alarm capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv "
    "futex_wake getcpu getpgid getpgrp getpid getppid getpriority get_robust_list getrlimit getrusage getsid "
    "get_thread_area gettid ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl prlimit64 "
    "process_vm_readv process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask "
    "rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo "
    "sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield seccomp set_robust_list setitimer getitimer setpgid setpriority setrlimit setsid "
    "set_thread_area set_tid_address sigaltstack sigprocmask sigreturn tgkill tkill ugetrlimit uretprobe vfork wait4 "
    "waitid waitpid arch_prctl modify_ldt "
    // users
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid "
    "getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 "
    "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32 "
    // time
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 gettimeofday nanosleep time timer_create timer_delete timer_getoverrun "
    "timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime timerfd_settime64 times "
    // System V and POSIX IPC
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget "
    // the rest
    "getrandom landlock_add_rule landlock_create_ruleset landlock_restrict_self sysinfo uname";

// What comes with a capability.
constexpr std::pair<std::string_view, std::string_view> kByCapability[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
     "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

constexpr uint64_t kAfVsock = 40;  // reaches the host past every network namespace
// CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
constexpr uint64_t kNewNamespaces = 0x7E020000;
// PER_LINUX, PER_LINUX32, UNAME26 and both, and "only ask"
constexpr uint64_t kPersonalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

std::vector<std::string> namesOf(std::string_view list) {
  std::vector<std::string> out;
  for (auto& name : split(list, ' ')) {
    if (!name.empty()) out.push_back(std::move(name));
  }
  return out;
}

oci::LinuxSyscall allow(std::vector<std::string> names, std::vector<oci::LinuxSeccompArg> args = {}) {
  return {std::move(names), "SCMP_ACT_ALLOW", std::nullopt, std::move(args)};
}

}  // namespace

oci::LinuxSeccomp defaultSeccomp(const std::vector<std::string>& capabilities) {
  const auto holds = [&](std::string_view name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  oci::LinuxSeccomp out;
  out.defaultAction = "SCMP_ACT_ERRNO";
  out.defaultErrnoRet = EPERM;
  out.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  out.syscalls.push_back(allow(namesOf(kAlways)));
  out.syscalls.push_back(allow({"socket"}, {{0, kAfVsock, std::nullopt, "SCMP_CMP_NE"}}));
  for (const uint64_t value : kPersonalities) {
    out.syscalls.push_back(allow({"personality"}, {{0, value, std::nullopt, "SCMP_CMP_EQ"}}));
  }
  for (const auto& [capability, calls] : kByCapability) {
    if (holds(capability)) out.syscalls.push_back(allow(namesOf(calls)));
  }
  if (!holds("CAP_SYS_ADMIN")) {
    out.syscalls.push_back(allow({"clone"}, {{0, kNewNamespaces, 0, "SCMP_CMP_MASKED_EQ"}}));
    // Its flags are in memory, where no filter can look: "not there" makes C libraries use clone.
    out.syscalls.push_back({{"clone3"}, "SCMP_ACT_ERRNO", ENOSYS, {}});
  }
  return out;
}

}  // namespace estiba::runtime
