#include "sys/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace estiba {

const std::vector<std::string>& capNames() {
  static const std::vector<std::string> names = {"CAP_CHOWN",
                                                 "CAP_DAC_OVERRIDE",
                                                 "CAP_DAC_READ_SEARCH",
                                                 "CAP_FOWNER",
                                                 "CAP_FSETID",
                                                 "CAP_KILL",
                                                 "CAP_SETGID",
                                                 "CAP_SETUID",
                                                 "CAP_SETPCAP",
                                                 "CAP_LINUX_IMMUTABLE",
                                                 "CAP_NET_BIND_SERVICE",
                                                 "CAP_NET_BROADCAST",
                                                 "CAP_NET_ADMIN",
                                                 "CAP_NET_RAW",
                                                 "CAP_IPC_LOCK",
                                                 "CAP_IPC_OWNER",
                                                 "CAP_SYS_MODULE",
                                                 "CAP_SYS_RAWIO",
                                                 "CAP_SYS_CHROOT",
                                                 "CAP_SYS_PTRACE",
                                                 "CAP_SYS_PACCT",
                                                 "CAP_SYS_ADMIN",
                                                 "CAP_SYS_BOOT",
                                                 "CAP_SYS_NICE",
                                                 "CAP_SYS_RESOURCE",
                                                 "CAP_SYS_TIME",
                                                 "CAP_SYS_TTY_CONFIG",
                                                 "CAP_MKNOD",
                                                 "CAP_LEASE",
                                                 "CAP_AUDIT_WRITE",
                                                 "CAP_AUDIT_CONTROL",
                                                 "CAP_SETFCAP",
                                                 "CAP_MAC_OVERRIDE",
                                                 "CAP_MAC_ADMIN",
                                                 "CAP_SYSLOG",
                                                 "CAP_WAKE_ALARM",
                                                 "CAP_BLOCK_SUSPEND",
                                                 "CAP_AUDIT_READ",
                                                 "CAP_PERFMON",
                                                 "CAP_BPF",
                                                 "CAP_CHECKPOINT_RESTORE"};
  return names;
}

std::optional<int> capNumber(std::string_view name) {
  const auto& names = capNames();
  const auto found = std::find(names.begin(), names.end(), toUpper(name));
  if (found == names.end()) return std::nullopt;
  return static_cast<int>(found - names.begin());
}

int lastCap() {
  static const int last = [] {
    int n = static_cast<int>(capNames().size()) - 1;
    while (n > 0 && ::prctl(PR_CAPBSET_READ, n, 0, 0, 0) < 0) --n;
    while (n < 62 && ::prctl(PR_CAPBSET_READ, n + 1, 0, 0, 0) >= 0) ++n;  // newer than our table
    return n;
  }();
  return last;
}

CapMask capMask(const std::vector<std::string>& names, std::vector<std::string>* unknown) {
  CapMask mask = 0;
  for (const auto& name : names) {
    const auto number = capNumber(name);
    if (number && *number <= lastCap()) {
      mask |= CapMask{1} << *number;
    } else if (unknown != nullptr) {
      unknown->push_back(name);
    }
  }
  return mask;
}

CapSets currentCaps() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  sys([&] { return ::syscall(SYS_capget, &header, data); }, "read capabilities");
  const auto whole = [](uint32_t low, uint32_t high) { return CapMask{high} << 32 | low; };
  return {whole(data[0].effective, data[1].effective), whole(data[0].permitted, data[1].permitted),
          whole(data[0].inheritable, data[1].inheritable)};
}

void setCaps(const CapSets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const auto low = [](CapMask m) { return static_cast<uint32_t>(m); };
  const auto high = [](CapMask m) { return static_cast<uint32_t>(m >> 32); };
  const __user_cap_data_struct data[2] = {{low(sets.effective), low(sets.permitted), low(sets.inheritable)},
                                          {high(sets.effective), high(sets.permitted), high(sets.inheritable)}};
  sys([&] { return ::syscall(SYS_capset, &header, data); }, "set capabilities");
}

CapMask boundingCaps() {
  CapMask mask = 0;
  for (int cap = 0; cap <= lastCap(); ++cap) {
    if (::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) mask |= CapMask{1} << cap;
  }
  return mask;
}

void limitBoundingCaps(CapMask keep) {
  for (int cap = 0; cap <= lastCap(); ++cap) {
    if ((keep >> cap & 1) != 0 || ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0) continue;
    sys([&] { return ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); }, "drop capability {} from the bounding set", cap);
  }
}

void setAmbientCaps(CapMask mask) {
  sys([&] { return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); }, "clear ambient capabilities");
  for (int cap = 0; cap <= lastCap(); ++cap) {
    if ((mask >> cap & 1) == 0) continue;
    sys([&] { return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0); }, "raise ambient capability {}", cap);
  }
}

}  // namespace estiba
