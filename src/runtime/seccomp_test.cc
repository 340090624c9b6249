#include <gmock/gmock.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "runtime/default_seccomp.h"
#include "runtime/process_plan.h"
#include "sys/bpf_flatten.h"
#include "sys/seccomp.h"

namespace estiba::runtime {
namespace {

/// The result of `call` in a child under `filter`: 0, or its errno.
int under(const std::string& filter, const std::function<long()>& call) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    loadSeccomp(filter, 0);
    errno = 0;
    const long r = call();
    ::_exit(r == -1 ? errno : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class DefaultSeccomp : public ::testing::Test {
 protected:
  static const std::string& filter() {
    static const std::string bpf = seccompFilter(defaultSeccomp({"CAP_CHOWN"}), "");
    return bpf;
  }
};

TEST_F(DefaultSeccomp, AllowsWhatProgramsNeed) {
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_getpid); }), 0);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }), 0);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_personality, 0xffffffff); }), 0);
}

TEST_F(DefaultSeccomp, RefusesWhatReachesTheHost) {
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_clone, 0x10000000 | SIGCHLD, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_clone3, nullptr, 0); }), ENOSYS);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_socket, 40 /* AF_VSOCK */, SOCK_STREAM, 0); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(425 /* io_uring_setup */, 1, nullptr); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_keyctl, 0, 0); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_bpf, 0, nullptr, 0); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_userfaultfd, 0); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_mount, nullptr, "/", nullptr, 0, nullptr); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_personality, 0x40000); }), EPERM);
  EXPECT_EQ(under(filter(), [] { return ::syscall(SYS_chroot, "/"); }), EPERM);
}

TEST_F(DefaultSeccomp, CallsFromTheFutureAreNotThere) {
  EXPECT_EQ(under(filter(), [] { return ::syscall(900); }), ENOSYS);
}

TEST_F(DefaultSeccomp, CapabilitiesOpenTheirCalls) {
  const std::string admin = seccompFilter(defaultSeccomp({"CAP_SYS_ADMIN", "CAP_SYS_CHROOT"}), "");
  EXPECT_EQ(under(admin, [] { return ::syscall(SYS_unshare, 0); }), 0);
  EXPECT_EQ(under(admin, [] { return ::syscall(SYS_chroot, "/nowhere/at/all"); }), ::geteuid() == 0 ? ENOENT : EPERM);
  EXPECT_EQ(under(admin, [] { return ::syscall(SYS_clone3, nullptr, 0); }), EINVAL);
}

TEST(Seccomp, AnArgumentNamedTwiceMeansEither) {
  SeccompPolicy policy;
  policy.defaultAction = "SCMP_ACT_ALLOW";
  SeccompRule rule{{"getpriority"}, "SCMP_ACT_ERRNO", 77, {{1, 5, 0, "SCMP_CMP_EQ"}, {1, 6, 0, "SCMP_CMP_EQ"}}};
  policy.rules = {rule};
  const std::string bpf = compileSeccomp(policy);
  EXPECT_EQ(under(bpf, [] { return ::syscall(SYS_getpriority, 0, 5); }), 77);
  EXPECT_EQ(under(bpf, [] { return ::syscall(SYS_getpriority, 0, 6); }), 77);
  EXPECT_NE(under(bpf, [] { return ::syscall(SYS_getpriority, 0, 0); }), 77);
}

std::vector<sock_filter> programOf(const std::string& bytes) {
  std::vector<sock_filter> out(bytes.size() / sizeof(sock_filter));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

// Whatever the flat form answers, libseccomp's own must have answered.
TEST(Seccomp, FlatFilterAnswersAsTheOriginal) {
  SeccompPolicy policy{"SCMP_ACT_ERRNO", EPERM, {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}, {}};
  for (const auto& call : defaultSeccomp({"CAP_SYS_CHROOT"}).syscalls) {
    SeccompRule rule{call.names, call.action, static_cast<uint16_t>(call.errnoRet.value_or(EPERM)), {}};
    for (const auto& arg : call.args) rule.args.push_back({arg.index, arg.value, arg.valueTwo.value_or(0), arg.op});
    policy.rules.push_back(rule);
  }
  const auto original = programOf(compileSeccomp(policy, /*flatten=*/false));
  const auto flat = programOf(compileSeccomp(policy));
  EXPECT_LT(flat.size(), original.size() * 2 / 3);
  const uint64_t values[] = {0,          1,          8,          40,          0x20000,     0x20008, 0x7E020000,
                             0x10000000, 0xffffffff, UINT64_MAX, 0x100000000, 0x100000028, 1 << 17};
  for (const uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}, uint32_t{AUDIT_ARCH_ARM}, 0U}) {
    for (const uint32_t base : {0U, 0x40000000U, 0x3ffffe00U, 0xfffffe00U}) {
      for (uint32_t i = 0; i < 512; ++i) {
        for (const uint64_t value : values) {
          seccomp_data data{};
          data.nr = static_cast<int>(base + i);
          data.arch = arch;
          std::fill(std::begin(data.args), std::end(data.args), value);
          ASSERT_EQ(runFilter(flat, data), runFilter(original, data)) << arch << " " << base + i << " " << value;
        }
      }
    }
  }
}

TEST(Seccomp, WrongPoliciesAreNamed) {
  EXPECT_THROW(compileSeccomp({"SCMP_ACT_NONSENSE", 1, {}, {}}), Error);
  EXPECT_THROW(compileSeccomp({"SCMP_ACT_ALLOW", 1, {"SCMP_ARCH_NONSENSE"}, {}}), Error);
  EXPECT_THROW(compileSeccomp({"SCMP_ACT_ALLOW", 1, {}, {{{"read"}, "SCMP_ACT_ERRNO", 1, {{9, 0, 0, "SCMP_CMP_EQ"}}}}}),
               Error);
  EXPECT_THROW(seccompFlag("SECCOMP_FILTER_FLAG_NONSENSE"), Error);
}

TEST(Seccomp, UnknownSystemCallsAreLeftOut) {
  EXPECT_FALSE(compileSeccomp({"SCMP_ACT_ALLOW", 1, {}, {{{"no_such_call"}, "SCMP_ACT_ERRNO", 1, {}}}}).empty());
}

TEST(ProcessPlan, HomeComesFromThePasswdFile) {
  const std::string passwd =
      "root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/evil:/bin/sh\nu:x:7:7::/home/u:/bin/sh\nbad\n";
  EXPECT_EQ(homeOf(passwd, 0), "/root");
  EXPECT_EQ(homeOf(passwd, 7), "/home/u");
  EXPECT_EQ(homeOf(passwd, 1000), "/");
}

}  // namespace
}  // namespace estiba::runtime
