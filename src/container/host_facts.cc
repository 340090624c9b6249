#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "base/text.h"
#include "container/spec_builder.h"
#include "sys/file.h"

namespace estiba::container {

namespace {

constexpr std::string_view kCapabilityNames[] = {
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
};

std::vector<std::string> heldCapabilities() {
  uint64_t mask = ~uint64_t{0};
  if (const auto status = tryReadFile("/proc/self/status")) {
    const size_t at = status->find("CapBnd:\t");
    if (at != std::string::npos) mask = std::stoull(status->substr(at + 8, 16), nullptr, 16);
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < std::size(kCapabilityNames); ++i) {
    if ((mask >> i & 1) != 0) out.push_back("CAP_" + std::string(kCapabilityNames[i]));
  }
  return out;
}

void collectDevices(const std::string& dir, std::vector<oci::LinuxDevice>& out, int depth) {
  for (const auto& name : listDir(dir)) {
    if (depth == 0 && (name == "pts" || name == "shm" || name == "fd" || name == "mqueue" || name == "console")) continue;
    const std::string path = dir + "/" + name;
    struct stat st{};
    if (::lstat(path.c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode) && depth < 4) collectDevices(path, out, depth + 1);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) continue;
    oci::LinuxDevice device;
    device.path = path;
    device.type = S_ISCHR(st.st_mode) ? "c" : "b";
    device.major = major(st.st_rdev);
    device.minor = minor(st.st_rdev);
    device.fileMode = st.st_mode & 07777;
    device.uid = st.st_uid;
    device.gid = st.st_gid;
    out.push_back(std::move(device));
  }
}

}  // namespace

HostFacts HostFacts::fixed() {
  HostFacts facts;
  for (const auto name : kCapabilityNames) facts.capabilities.push_back("CAP_" + std::string(name));
  facts.maskedCpuPaths = {"/sys/devices/system/cpu/cpu0/thermal_throttle",
                          "/sys/devices/system/cpu/cpu1/thermal_throttle"};
  return facts;
}

HostFacts HostFacts::read(bool withDevices) {
  HostFacts facts;
  struct statfs fs{};
  facts.cgroupV2 = ::statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
  facts.capabilities = heldCapabilities();
  for (int cpu = 0;; ++cpu) {
    const std::string base = fmt::format("/sys/devices/system/cpu/cpu{}", cpu);
    if (!exists(base)) break;
    if (exists(base + "/thermal_throttle")) facts.maskedCpuPaths.push_back(base + "/thermal_throttle");
  }
  if (withDevices) collectDevices("/dev", facts.devices, 0);
  return facts;
}

}  // namespace estiba::container
