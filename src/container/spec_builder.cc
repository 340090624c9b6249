#include "container/spec_builder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "runtime/default_seccomp.h"

namespace estiba::container {

namespace {

constexpr std::array kDefaultCapabilities = {
    "CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FSETID",  "CAP_FOWNER", "CAP_MKNOD",            "CAP_NET_RAW",    "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP",      "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
};

constexpr std::array kMaskedPaths = {
    "/proc/asound",      "/proc/acpi",       "/proc/interrupts", "/proc/kcore",     "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list",  "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",    "/sys/firmware",
    "/sys/devices/virtual/powercap",
};

constexpr std::array kReadonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

constexpr int64_t kDefaultShmSize = 64 << 20;

bool unconfined(const apitypes::HostConfig& host, std::string_view key) {
  if (!host.SecurityOpt) return false;
  const std::string a = std::string(key) + "=unconfined";
  const std::string b = std::string(key) + ":unconfined";
  return std::find(host.SecurityOpt->begin(), host.SecurityOpt->end(), a) != host.SecurityOpt->end() ||
         std::find(host.SecurityOpt->begin(), host.SecurityOpt->end(), b) != host.SecurityOpt->end();
}

oci::Mount mount(std::string destination, std::string type, std::string source, std::vector<std::string> options) {
  oci::Mount m;
  m.destination = std::move(destination);
  m.type = std::move(type);
  m.source = std::move(source);
  m.options = std::move(options);
  return m;
}

std::vector<oci::Mount> defaultMounts(const SpecInput& in) {
  const std::string access = in.host.Privileged ? "rw" : "ro";
  const int64_t shm = in.host.ShmSize > 0 ? in.host.ShmSize : kDefaultShmSize;
  std::vector<oci::Mount> out = {
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {access, "nosuid", "noexec", "nodev"}),
  };
  if (in.joined.contains("ipc")) {
    if (in.host.IpcMode == "host") {
      out.push_back(mount("/dev/shm", "bind", "/dev/shm", {"rbind"}));
      out.push_back(mount("/dev/mqueue", "bind", "/dev/mqueue", {"rbind"}));
    }
  } else {
    out.push_back(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
    out.push_back(
        mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", shm)}));
  }
  return out;
}

void addFileBinds(const SpecInput& in, std::vector<oci::Mount>& out) {
  if (in.filesDir.empty()) return;
  std::set<std::string> taken;
  for (const auto& m : in.mounts) taken.insert(m.Destination);
  for (const char* name : {"resolv.conf", "hostname", "hosts"}) {
    const std::string destination = std::string("/etc/") + name;
    if (taken.contains(destination)) continue;
    std::vector<std::string> options = {"rbind", "rprivate"};
    if (in.host.ReadonlyRootfs) options.emplace_back("ro");
    out.push_back(mount(destination, "bind", in.filesDir + "/" + name, std::move(options)));
  }
}

void addMounts(const SpecInput& in, std::vector<oci::Mount>& out) {
  std::vector<oci::Mount> own;
  for (const auto& m : in.mounts) {
    if (m.Type == "tmpfs") {
      std::vector<std::string> options = {"noexec", "nosuid", "nodev"};
      for (const auto& o : split(m.Mode, ',')) {
        if (!o.empty()) options.push_back(o);
      }
      if (!m.RW) options.emplace_back("ro");
      own.push_back(mount(m.Destination, "tmpfs", "tmpfs", std::move(options)));
      continue;
    }
    std::vector<std::string> options = {"rbind"};
    if (!m.RW) options.emplace_back("ro");
    options.push_back(m.Propagation.empty() ? "rprivate" : m.Propagation);
    own.push_back(mount(m.Destination, "bind", m.Source, std::move(options)));
  }
  for (const auto& m : in.extraMounts) own.push_back(m);
  // Outer mounts first: /data must be there before /data/sub.
  const auto depth = [](const oci::Mount& m) { return std::count(m.destination.begin(), m.destination.end(), '/'); };
  std::stable_sort(own.begin(), own.end(), [&](const auto& a, const auto& b) { return depth(a) < depth(b); });
  std::set<std::string> replaced;
  for (const auto& m : own) replaced.insert(m.destination);
  std::erase_if(out, [&](const auto& m) { return replaced.contains(m.destination); });
  out.insert(out.end(), own.begin(), own.end());
}

oci::LinuxDeviceCgroup deviceRule(bool allow, const char* type, std::optional<int64_t> major, std::optional<int64_t> minor,
                                  const char* access) {
  oci::LinuxDeviceCgroup rule;
  rule.allow = allow;
  rule.type = type;
  rule.major = major;
  rule.minor = minor;
  rule.access = access;
  return rule;
}

std::vector<oci::LinuxDeviceCgroup> deviceRules(const apitypes::HostConfig& host) {
  std::vector<oci::LinuxDeviceCgroup> rules;
  if (host.Privileged) {
    rules.push_back(deviceRule(true, "a", {}, {}, "rwm"));
    return rules;
  }
  rules.push_back(deviceRule(false, "a", {}, {}, "rwm"));
  rules.push_back(deviceRule(true, "c", {}, {}, "m"));
  rules.push_back(deviceRule(true, "b", {}, {}, "m"));
  struct Node {
    int64_t major;
    std::optional<int64_t> minor;
  };
  constexpr Node kNodes[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, {}}};
  for (const auto& node : kNodes) rules.push_back(deviceRule(true, "c", node.major, node.minor, "rwm"));
  return rules;
}

void addDevices(const SpecInput& in, const HostFacts& facts, oci::Linux& linuxPart) {
  if (in.host.Privileged) linuxPart.devices = facts.devices;
  for (const auto& wanted : in.host.Devices) {
    const auto found = std::find_if(facts.devices.begin(), facts.devices.end(),
                                    [&](const auto& d) { return d.path == wanted.PathOnHost; });
    if (found == facts.devices.end()) {
      fail(Code::invalid, "error gathering device information while adding custom device \"{}\": no such file or directory",
           wanted.PathOnHost);
    }
    oci::LinuxDevice device = *found;
    device.path = wanted.PathInContainer.empty() ? wanted.PathOnHost : wanted.PathInContainer;
    const std::string access = wanted.CgroupPermissions.empty() ? "rwm" : wanted.CgroupPermissions;
    linuxPart.resources->devices.push_back(
        deviceRule(true, device.type.c_str(), device.major, device.minor, access.c_str()));
    std::erase_if(linuxPart.devices, [&](const auto& d) { return d.path == device.path; });
    linuxPart.devices.push_back(std::move(device));
  }
}

oci::LinuxDeviceCgroup parseDeviceRule(const std::string& text) {
  const auto parts = split(text, ' ');  // "c 10:200 rwm"
  const auto numbers = parts.size() == 3 ? split(parts[1], ':') : std::vector<std::string>{};
  const auto number = [&](const std::string& s) -> std::optional<int64_t> {
    if (s == "*") return -1;
    return parseInt(s);
  };
  if (numbers.size() != 2 || !number(numbers[0]) || !number(numbers[1]) || parts[0].size() != 1 ||
      parts[0].find_first_of("acb") != 0 || parts[2].find_first_not_of("rwm") != std::string::npos) {
    fail(Code::invalid, "invalid device cgroup rule format: '{}'", text);
  }
  auto rule = deviceRule(true, parts[0].c_str(), number(numbers[0]), number(numbers[1]), parts[2].c_str());
  if (rule.major == -1) rule.major.reset();
  if (rule.minor == -1) rule.minor.reset();
  return rule;
}

template <class T>
std::optional<T> unlessZero(auto value) {
  if (value == 0) return std::nullopt;
  return static_cast<T>(value);
}

void addLimits(const apitypes::Resources& r, oci::LinuxResources& out) {
  oci::LinuxMemory memory;
  memory.limit = unlessZero<int64_t>(r.Memory);
  memory.reservation = unlessZero<int64_t>(r.MemoryReservation);
  memory.swap = unlessZero<int64_t>(r.MemorySwap);
  if (r.Memory > 0 && r.MemorySwap == 0) memory.swap = r.Memory * 2;  // docker's default
  if (r.MemorySwappiness && *r.MemorySwappiness >= 0) memory.swappiness = static_cast<uint64_t>(*r.MemorySwappiness);
  if (r.OomKillDisable && *r.OomKillDisable) memory.disableOOMKiller = true;
  if (memory.limit || memory.reservation || memory.swap || memory.swappiness || memory.disableOOMKiller) {
    out.memory = memory;
  }
  oci::LinuxCpu cpu;
  cpu.shares = unlessZero<uint64_t>(r.CpuShares);
  cpu.quota = unlessZero<int64_t>(r.CpuQuota);
  cpu.period = unlessZero<uint64_t>(r.CpuPeriod);
  if (r.NanoCpus > 0) {
    cpu.period = 100'000;
    cpu.quota = r.NanoCpus / 10'000;
  }
  cpu.realtimePeriod = unlessZero<uint64_t>(r.CpuRealtimePeriod);
  cpu.realtimeRuntime = unlessZero<int64_t>(r.CpuRealtimeRuntime);
  if (!r.CpusetCpus.empty()) cpu.cpus = r.CpusetCpus;
  if (!r.CpusetMems.empty()) cpu.mems = r.CpusetMems;
  if (cpu.shares || cpu.quota || cpu.period || cpu.cpus || cpu.mems || cpu.realtimePeriod || cpu.realtimeRuntime) {
    out.cpu = cpu;
  }
  if (r.PidsLimit && *r.PidsLimit > 0) out.pids = oci::LinuxPids{*r.PidsLimit};
  if (r.BlkioWeight != 0) {
    out.blockIO.emplace();
    out.blockIO->weight = r.BlkioWeight;
  }
}

void refuseUnbuilt(const apitypes::HostConfig& host) {
  const auto refuse = [](bool asked, std::string_view what) {
    if (asked) fail(Code::not_implemented, "{} is not supported yet", what);
  };
  refuse(!host.BlkioWeightDevice.empty(), "--blkio-weight-device");
  refuse(!host.BlkioDeviceReadBps.empty() || !host.BlkioDeviceWriteBps.empty() || !host.BlkioDeviceReadIOps.empty() ||
             !host.BlkioDeviceWriteIOps.empty(),
         "--device-read-bps and its kin");
  refuse(host.DeviceRequests && !host.DeviceRequests->empty(), "--gpus");
  refuse(!host.UsernsMode.empty() && host.UsernsMode != "host", "--userns");
  refuse(host.StorageOpt && !host.StorageOpt->empty(), "--storage-opt");
}

std::optional<oci::LinuxSeccomp> seccompFor(const apitypes::HostConfig& host, const std::vector<std::string>& caps) {
  if (host.Privileged || unconfined(host, "seccomp")) return std::nullopt;
  if (host.SecurityOpt) {
    for (const auto& option : *host.SecurityOpt) {
      const bool ours = option.starts_with("seccomp=") || option.starts_with("seccomp:");
      if (!ours || option.substr(8) == "builtin") continue;
      return parseJsonAs<oci::LinuxSeccomp>(option.substr(8), "seccomp profile");
    }
  }
  return runtime::defaultSeccomp(caps);
}

void checkSecurityOptions(const apitypes::HostConfig& host) {
  if (!host.SecurityOpt) return;
  for (const auto& option : *host.SecurityOpt) {
    const std::string key = option.substr(0, option.find_first_of("=:"));
    static const std::set<std::string> kKnown = {"no-new-privileges", "seccomp", "apparmor", "label", "systempaths"};
    if (!kKnown.contains(key)) fail(Code::invalid, "invalid --security-opt 2: {}", quoted(option));
    if (key == "apparmor" && !unconfined(host, "apparmor")) {
      fail(Code::not_implemented, "--security-opt {}: AppArmor profiles are not supported yet", option);
    }
  }
}

}  // namespace

std::vector<std::string> capabilitiesFor(const apitypes::HostConfig& host, const HostFacts& facts) {
  if (host.Privileged) return facts.capabilities;
  const auto normal = [&](std::string name) {
    name = toUpper(name);
    if (name == "ALL") return name;
    if (!name.starts_with("CAP_")) name = "CAP_" + name;
    if (std::find(facts.capabilities.begin(), facts.capabilities.end(), name) == facts.capabilities.end()) {
      fail(Code::invalid, "invalid CapAdd: unknown capability: {}", quoted(name));
    }
    return name;
  };
  std::set<std::string> add;
  std::set<std::string> drop;
  if (host.CapAdd) {
    for (const auto& c : *host.CapAdd) add.insert(normal(c));
  }
  if (host.CapDrop) {
    for (const auto& c : *host.CapDrop) drop.insert(normal(c));
  }
  std::vector<std::string> base;
  if (add.contains("ALL")) base = facts.capabilities;
  else if (!drop.contains("ALL")) base.assign(kDefaultCapabilities.begin(), kDefaultCapabilities.end());
  std::erase_if(base, [&](const auto& c) { return drop.contains(c); });
  for (const auto& c : add) {
    if (c != "ALL" && std::find(base.begin(), base.end(), c) == base.end()) base.push_back(c);
  }
  return base;
}

std::vector<std::string> completeEnv(const std::vector<std::string>& imageAndUser, const std::string& hostname, bool tty,
                                     const std::string& home) {
  std::vector<std::string> out = {std::string("PATH=") + kDefaultPath, "HOSTNAME=" + hostname};
  if (tty) out.emplace_back("TERM=xterm");
  const auto nameOf = [](const std::string& item) { return item.substr(0, item.find('=')); };
  for (const auto& item : imageAndUser) {
    const std::string name = nameOf(item);
    const auto same = std::find_if(out.begin(), out.end(), [&](const auto& o) { return nameOf(o) == name; });
    if (item.find('=') == std::string::npos) {
      if (same != out.end()) out.erase(same);
    } else if (same != out.end()) {
      *same = item;
    } else {
      out.push_back(item);
    }
  }
  const bool hasHome = std::any_of(out.begin(), out.end(), [&](const auto& o) { return nameOf(o) == "HOME"; });
  if (!hasHome) out.push_back("HOME=" + home);
  return out;
}

oci::RuntimeSpec buildSpec(const SpecInput& in, const HostFacts& facts) {
  refuseUnbuilt(in.host);
  checkSecurityOptions(in.host);
  oci::RuntimeSpec spec;
  spec.hostname = in.joined.contains("uts") ? std::nullopt : std::optional(in.hostname);
  if (!in.domainname.empty()) spec.domainname = in.domainname;
  spec.root = oci::Root{"rootfs", in.host.ReadonlyRootfs};

  oci::Process& process = spec.process.emplace();
  process.terminal = in.tty;
  if (in.tty && in.consoleSize.size() == 2 && in.consoleSize[0] > 0) {
    process.consoleSize = oci::Box{in.consoleSize[0], in.consoleSize[1]};
  }
  process.args = in.args;
  if (in.host.Init && *in.host.Init) {
    if (facts.initPath.empty()) fail(Code::not_implemented, "--init is not supported yet");
    process.args.insert(process.args.begin(), {"/sbin/docker-init", "--"});
  }
  process.env = in.env;
  process.cwd = in.cwd.empty() ? "/" : in.cwd;
  process.user.uid = in.user.uid;
  process.user.gid = in.user.gid;
  process.user.additionalGids = in.user.additionalGids;
  const auto caps = capabilitiesFor(in.host, facts);
  oci::Capabilities& sets = process.capabilities.emplace();
  sets.bounding = caps;
  if (in.user.uid == 0) sets.effective = sets.permitted = caps;  // others get them only by executing set-uid files
  process.noNewPrivileges = false;
  if (in.host.SecurityOpt) {
    for (const auto& o : *in.host.SecurityOpt) {
      if (o == "no-new-privileges" || o == "no-new-privileges=true" || o == "no-new-privileges:true") {
        process.noNewPrivileges = true;
      }
    }
  }
  if (in.host.OomScoreAdj != 0) process.oomScoreAdj = static_cast<int>(in.host.OomScoreAdj);
  for (const auto& limit : in.host.Ulimits) {
    oci::Rlimit r;
    r.type = "RLIMIT_" + toUpper(limit.Name);
    r.hard = static_cast<uint64_t>(limit.Hard);
    r.soft = static_cast<uint64_t>(limit.Soft);
    process.rlimits.push_back(std::move(r));
  }

  spec.mounts = defaultMounts(in);
  addFileBinds(in, spec.mounts);
  addMounts(in, spec.mounts);

  oci::Linux& l = spec.linux_.emplace();
  l.cgroupsPath = in.cgroupPath;
  l.resources.emplace();
  l.resources->devices = deviceRules(in.host);
  addDevices(in, facts, l);
  if (in.host.DeviceCgroupRules) {
    for (const auto& rule : *in.host.DeviceCgroupRules) l.resources->devices.push_back(parseDeviceRule(rule));
  }
  addLimits(in.host, *l.resources);
  for (const char* type : {"mount", "network", "uts", "pid", "ipc", "cgroup"}) {
    const auto joined = in.joined.find(type);
    if (joined != in.joined.end() && joined->second.empty()) continue;  // the host's own
    oci::LinuxNamespace ns;
    ns.type = type;
    if (joined != in.joined.end()) ns.path = joined->second;
    l.namespaces.push_back(std::move(ns));
  }
  if (in.host.Sysctls) l.sysctl = *in.host.Sysctls;
  if (!in.joined.contains("network")) {
    l.sysctl.emplace("net.ipv4.ip_unprivileged_port_start", "0");
    l.sysctl.emplace("net.ipv4.ping_group_range", "0 2147483647");
  }
  if (!in.host.Privileged && !unconfined(in.host, "systempaths")) {
    l.maskedPaths.assign(kMaskedPaths.begin(), kMaskedPaths.end());
    l.maskedPaths.insert(l.maskedPaths.end(), facts.maskedCpuPaths.begin(), facts.maskedCpuPaths.end());
    l.readonlyPaths.assign(kReadonlyPaths.begin(), kReadonlyPaths.end());
    if (in.host.MaskedPaths) l.maskedPaths = *in.host.MaskedPaths;
    if (in.host.ReadonlyPaths) l.readonlyPaths = *in.host.ReadonlyPaths;
  }
  l.seccomp = seccompFor(in.host, caps);
  return spec;
}

}  // namespace estiba::container
