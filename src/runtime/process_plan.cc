#include "runtime/process_plan.h"

#include <fcntl.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sha256.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/seccomp.h"

namespace estiba::runtime {

namespace {

constexpr std::pair<const char*, int> kLimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},       {"RLIMIT_FSIZE", RLIMIT_FSIZE},       {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},   {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK}};

Limit planLimit(const oci::Rlimit& limit) {
  for (const auto& [name, resource] : kLimits) {
    if (limit.type == name) return {limit.type, resource, {limit.soft, limit.hard}};
  }
  fail(Code::invalid, "unknown resource limit '{}'", limit.type);
}

void planCapabilities(ProcessPlan& plan) {
  if (!plan.process.capabilities) return;  // none at all, as the spec's absence says
  const auto& wanted = *plan.process.capabilities;
  const CapMask ours = currentCaps().permitted;
  CapMask lost = 0;
  const auto mask = [&](const std::vector<std::string>& names) {
    std::vector<std::string> unknown;
    const CapMask all = capMask(names, &unknown);
    for (const auto& name : unknown) plan.warnings.push_back(fmt::format("unknown capability {} is ignored", name));
    lost |= all & ~ours;
    return all & ours;
  };
  plan.bounding = mask(wanted.bounding);
  plan.permitted = mask(wanted.permitted);
  plan.effective = mask(wanted.effective) & plan.permitted;
  plan.inheritable = mask(wanted.inheritable);
  plan.ambient = mask(wanted.ambient) & plan.permitted & plan.inheritable;
  for (size_t cap = 0; cap < capNames().size(); ++cap) {
    if ((lost >> cap & 1) != 0) plan.warnings.push_back(capNames()[cap] + " cannot be given: it is not held here");
  }
}

void planPersonality(ProcessPlan& plan, const oci::LinuxPersonality& wanted) {
  if (!wanted.flags.empty()) fail(Code::not_implemented, "personality flags are not supported");
  if (wanted.domain == "LINUX32") {
    plan.personality = PER_LINUX32;
  } else if (wanted.domain == "LINUX") {
    plan.personality = PER_LINUX;
  } else {
    fail(Code::invalid, "unknown personality '{}'", wanted.domain);
  }
  plan.setPersonality = true;
}

SeccompPolicy policyOf(const oci::LinuxSeccomp& spec) {
  SeccompPolicy policy;
  policy.defaultAction = spec.defaultAction;
  policy.defaultData = static_cast<uint16_t>(spec.defaultErrnoRet.value_or(EPERM));
  policy.architectures = spec.architectures;
  for (const auto& call : spec.syscalls) {
    SeccompRule rule;
    rule.names = call.names;
    rule.action = call.action;
    rule.data = static_cast<uint16_t>(call.errnoRet.value_or(EPERM));
    for (const auto& arg : call.args) rule.args.push_back({arg.index, arg.value, arg.valueTwo.value_or(0), arg.op});
    policy.rules.push_back(std::move(rule));
  }
  return policy;
}

// Only root's own file, of whole instructions, is believed: it decides what a container may do.
std::optional<std::string> cachedFilter(const std::string& path) {
  const auto fd = tryOpen(path, O_RDONLY | O_NOFOLLOW);
  if (!fd) return std::nullopt;
  struct stat st {};
  sys([&] { return ::fstat(fd->get(), &st); }, "stat '{}'", path);
  if (!S_ISREG(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & 022) != 0) return std::nullopt;
  if (st.st_size == 0 || st.st_size % 8 != 0) return std::nullopt;
  return readAll(fd->get(), path, 1 << 20);
}

// Everything that the filter depends on, each text behind its length. JSON would say the same in ten times the time.
// The version stands for the compiler: another release must not meet this one's filters.
std::string filterKey(const oci::LinuxSeccomp& spec) {
  std::string all;
  const auto number = [&](uint64_t n) { all.append(reinterpret_cast<const char*>(&n), sizeof n); };
  const auto text = [&](std::string_view t) {
    number(t.size());
    all += t;
  };
  const auto texts = [&](const std::vector<std::string>& list) {
    number(list.size());
    for (const auto& item : list) text(item);
  };
  text(ESTIBA_VERSION "/2");
  text(spec.defaultAction);
  number(spec.defaultErrnoRet.value_or(EPERM));
  texts(spec.architectures);
  number(spec.syscalls.size());
  for (const auto& call : spec.syscalls) {
    texts(call.names);
    text(call.action);
    number(call.errnoRet.value_or(EPERM));
    number(call.args.size());
    for (const auto& arg : call.args) {
      number(arg.index);
      number(arg.value);
      number(arg.valueTwo.value_or(0));
      text(arg.op);
    }
  }
  return sha256Hex(all);
}

}  // namespace

std::string seccompFilter(const oci::LinuxSeccomp& spec, const std::string& cacheDir) {
  if (spec.listenerPath) fail(Code::not_implemented, "seccomp notification listeners are not supported");
  if (cacheDir.empty()) return compileSeccomp(policyOf(spec));
  const std::string key = filterKey(spec);
  const std::string path = fmt::format("{}/seccomp-{}.bpf", cacheDir, key);
  if (auto found = cachedFilter(path)) return *found;
  std::string filter = compileSeccomp(policyOf(spec));
  try {
    writeFileAtomic(path, filter, 0600, /*durable=*/false);
  } catch (const Error& e) {
    log::debug("the seccomp filter is not kept: {}", e.what());
  }
  return filter;
}

ProcessPlan planProcess(const oci::Process& process, const oci::LinuxSeccomp* seccomp,
                        const oci::LinuxPersonality* personality, const std::string& cacheDir) {
  ProcessPlan plan;
  plan.process = process;
  if (process.args.empty()) fail(Code::invalid, "process.args is empty");
  if (process.cwd.empty() || process.cwd[0] != '/') {
    fail(Code::invalid, "Cwd must be an absolute path: '{}'", process.cwd);
  }
  if (process.execCPUAffinity) fail(Code::not_implemented, "process.execCPUAffinity is not supported");
  if (process.scheduler) fail(Code::not_implemented, "process.scheduler is not supported");
  planCapabilities(plan);
  plan.noNewPrivileges = process.noNewPrivileges.value_or(false);
  for (const auto& limit : process.rlimits) plan.limits.push_back(planLimit(limit));
  if (personality != nullptr) planPersonality(plan, *personality);
  if (seccomp != nullptr && !seccomp->defaultAction.empty()) {
    plan.filter = seccompFilter(*seccomp, cacheDir);
    for (const auto& flag : seccomp->flags) plan.filterFlags |= seccompFlag(flag);
  }
  return plan;
}

std::string homeOf(const std::string& passwd, uint32_t uid) {
  for (const auto& line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() > 5 && parseUint(fields[2]) == uid && !fields[5].empty()) return fields[5];
  }
  return "/";
}

}  // namespace estiba::runtime
