#include "sys/seccomp.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "sys/bpf_flatten.h"
#include "sys/file.h"

namespace estiba {

namespace {

using Context = std::unique_ptr<void, decltype(&::seccomp_release)>;

uint32_t actionOf(const std::string& name, uint16_t data) {
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(data);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(data);
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
  fail(Code::invalid, "seccomp: unknown action '{}'", name);
}

scmp_compare compareOf(const std::string& name) {
  if (name == "SCMP_CMP_NE") return SCMP_CMP_NE;
  if (name == "SCMP_CMP_LT") return SCMP_CMP_LT;
  if (name == "SCMP_CMP_LE") return SCMP_CMP_LE;
  if (name == "SCMP_CMP_EQ") return SCMP_CMP_EQ;
  if (name == "SCMP_CMP_GE") return SCMP_CMP_GE;
  if (name == "SCMP_CMP_GT") return SCMP_CMP_GT;
  if (name == "SCMP_CMP_MASKED_EQ") return SCMP_CMP_MASKED_EQ;
  fail(Code::invalid, "seccomp: unknown comparison '{}'", name);
}

void check(int result, const std::string& what) {
  if (result < 0) throw SysError(-result, "seccomp: " + what);
}

void addArchitectures(void* context, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    std::string word = toLower(name);
    if (word.starts_with("scmp_arch_")) word.erase(0, 10);
    const uint32_t arch = ::seccomp_arch_resolve_name(word.c_str());
    if (arch == 0) fail(Code::invalid, "seccomp: unknown architecture '{}'", name);
    const int r = ::seccomp_arch_add(context, arch);
    if (r != -EEXIST) check(r, "add architecture " + name);
  }
}

scmp_arg_cmp conditionOf(const SeccompArg& arg) {
  if (arg.index > 5) fail(Code::invalid, "seccomp: argument {} is out of range", arg.index);
  scmp_arg_cmp out{};
  out.arg = arg.index;
  out.op = compareOf(arg.op);
  out.datum_a = arg.value;
  out.datum_b = arg.valueTwo;
  return out;
}

void addRule(void* context, uint32_t action, int number, const SeccompRule& rule, const std::string& name) {
  std::vector<scmp_arg_cmp> conditions;
  std::set<unsigned> indexes;
  for (const auto& arg : rule.args) {
    conditions.push_back(conditionOf(arg));
    indexes.insert(arg.index);
  }
  if (indexes.size() == conditions.size()) {
    check(
        ::seccomp_rule_add_array(context, action, number, static_cast<unsigned>(conditions.size()), conditions.data()),
        "add rule for " + name);
    return;
  }
  for (const auto& condition : conditions) {  // libseccomp takes an argument once: alternatives are rules of their own
    check(::seccomp_rule_add_array(context, action, number, 1, &condition), "add rule for " + name);
  }
}

void addRules(void* context, const SeccompPolicy& policy, uint32_t defaultAction) {
  for (const auto& rule : policy.rules) {
    const uint32_t action = actionOf(rule.action, rule.data);
    if (action == defaultAction) continue;  // says nothing, and libseccomp refuses it
    for (const auto& name : rule.names) {
      const int number = ::seccomp_syscall_resolve_name(name.c_str());
      if (number != __NR_SCMP_ERROR) addRule(context, action, number, rule, name);
    }
  }
}

/// The highest number on `arch` of all calls that the policy names.
uint32_t highest(const SeccompPolicy& policy, uint32_t arch) {
  int top = 0;
  for (const auto& rule : policy.rules) {
    for (const auto& name : rule.names) {
      const int number = ::seccomp_syscall_resolve_name_arch(arch, name.c_str());
      if (number > 0) top = std::max(top, number);  // negative: not there
    }
  }
  return static_cast<uint32_t>(top);
}

constexpr uint32_t kX32Bit = 0x40000000;

// In front of libseccomp's program: "numbers above the highest one named: ENOSYS", for each x86 flavour.
std::vector<sock_filter> unknownCallsPrelude(const SeccompPolicy& policy) {
#if defined(__x86_64__)
  const uint32_t top64 = highest(policy, SCMP_ARCH_X86_64);
  const uint32_t top32 = highest(policy, SCMP_ARCH_X86);
  // x32 numbers are the 64-bit ones with a bit set, and some of its own up to 547
  const uint32_t topX32 = std::max(highest(policy, SCMP_ARCH_X32) & ~kX32Bit, 547U) | kX32Bit;
  const uint32_t noSys = SECCOMP_RET_ERRNO | ENOSYS;
  const auto load = [](size_t offset) -> sock_filter {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  };
  const auto jump = [](uint16_t op, uint32_t k, uint8_t yes, uint8_t no) -> sock_filter {
    return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | op | BPF_K), k, yes, no);
  };
  return {
      load(offsetof(seccomp_data, arch)),      // 0
      jump(BPF_JEQ, AUDIT_ARCH_X86_64, 0, 4),  // 1: else 6
      load(offsetof(seccomp_data, nr)),        // 2
      jump(BPF_JGE, kX32Bit, 1, 0),            // 3: x32 -> 5
      jump(BPF_JGT, top64, 4, 5),              // 4: -> 9 or 10
      jump(BPF_JGT, topX32, 3, 4),             // 5: -> 9 or 10
      jump(BPF_JEQ, AUDIT_ARCH_I386, 0, 3),    // 6: else 10
      load(offsetof(seccomp_data, nr)),        // 7
      jump(BPF_JGT, top32, 0, 1),              // 8: -> 9 or 10
      BPF_STMT(BPF_RET | BPF_K, noSys),        // 9
  };                                           // 10: libseccomp's program
#else
  const uint32_t top = highest(policy, SCMP_ARCH_NATIVE);
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, top, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)};
#endif
}

bool letsPass(uint32_t action) {
  const uint32_t kind = action & SECCOMP_RET_ACTION_FULL;
  return kind == SCMP_ACT_ALLOW || kind == SCMP_ACT_LOG || kind == SCMP_ACT_NOTIFY || kind == SECCOMP_RET_TRACE;
}

std::vector<sock_filter> exportBpf(void* context) {
  const Fd out(sys([&] { return ::memfd_create("seccomp", MFD_CLOEXEC); }, "memfd"));
  check(::seccomp_export_bpf(context, out.get()), "generate the filter");
  sys([&] { return ::lseek(out.get(), 0, SEEK_SET); }, "seek");
  const std::string bytes = readAll(out.get(), "seccomp filter");
  std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
  return program;
}

}  // namespace

std::string compileSeccomp(const SeccompPolicy& policy, bool flatten) {
  const uint32_t defaultAction = actionOf(policy.defaultAction, policy.defaultData);
  const Context context(::seccomp_init(defaultAction), &::seccomp_release);
  if (!context) fail(Code::internal, "seccomp: cannot make a filter with default {}", policy.defaultAction);
  check(::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "ask for a binary tree");
  addArchitectures(context.get(), policy.architectures);
  addRules(context.get(), policy, defaultAction);
  std::vector<sock_filter> program = exportBpf(context.get());
  if (!letsPass(defaultAction)) {
    const auto prelude = unknownCallsPrelude(policy);
    program.insert(program.begin(), prelude.begin(), prelude.end());
  }
  if (flatten) {
    auto flat = flattenFilter(program);
    if (flat.size() < program.size()) program = std::move(flat);
  }
  if (program.size() > BPF_MAXINSNS) fail(Code::invalid, "seccomp: the filter is too long");
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

unsigned seccompFlag(std::string_view name) {
  if (name == "SECCOMP_FILTER_FLAG_TSYNC") return SECCOMP_FILTER_FLAG_TSYNC;
  if (name == "SECCOMP_FILTER_FLAG_LOG") return SECCOMP_FILTER_FLAG_LOG;
  if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") return SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") return 1U << 5;
  fail(Code::invalid, "seccomp: unknown flag '{}'", name);
}

void loadSeccomp(std::string_view bpf, unsigned flags) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(bpf.size() / sizeof(sock_filter));
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(bpf.data()));
  sys([&] { return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program); }, "load the seccomp filter");
}

}  // namespace estiba
