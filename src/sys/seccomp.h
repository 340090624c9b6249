#pragma once
// Seccomp filters: a policy compiled to BPF (libseccomp: some 10 ms, so keep the result) and loaded (50-230 us).
// Source: seccomp(2), libseccomp.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace estiba {

struct SeccompArg {
  unsigned index = 0;
  uint64_t value = 0, valueTwo = 0;
  std::string op;  ///< "SCMP_CMP_EQ"…
};

struct SeccompRule {
  std::vector<std::string> names;  ///< of system calls; unknown ones are left out, as kernels differ
  std::string action;              ///< "SCMP_ACT_ERRNO"…
  uint16_t data = 1;               ///< the errno (EPERM), or the value for a tracer
  /// All must hold; where one argument is named twice, any of them.
  std::vector<SeccompArg> args;
};

struct SeccompPolicy {
  std::string defaultAction;
  uint16_t defaultData = 1;
  std::vector<std::string> architectures;  ///< "SCMP_ARCH_X86"…; the native one is always in
  std::vector<SeccompRule> rules;
};

/// The filter as an array of struct sock_filter, a binary search of system calls. Calls that are newer than every one
/// that the policy names answer ENOSYS (so that C libraries fall back) unless the default lets them pass.
/// `flatten`: as ranges (sys/bpf_flatten.h), which loads in less than half the time.
/// Throws Error(invalid) naming what the policy has wrong.
std::string compileSeccomp(const SeccompPolicy& policy, bool flatten = true);

/// SECCOMP_FILTER_FLAG_* by name; throws Error(invalid).
unsigned seccompFlag(std::string_view name);
/// Installs the filter on the calling thread. Needs no_new_privs or CAP_SYS_ADMIN. Allocates nothing unless it throws.
void loadSeccomp(std::string_view bpf, unsigned flags);

}  // namespace estiba
