#include "cli/run_flags.h"

#include <fcntl.h>

#include <cstdlib>

#include "base/text.h"
#include "cli/command.h"
#include "cli/flag_values.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace estiba::cli {

std::vector<Flag> containerFlags() {
  return {
      listFlag("add-host", 0, "Add a custom host-to-IP mapping (host:ip)"),
      mapFlag("annotation", 0, "Add an annotation to the container (passed through to the OCI runtime)")/*default map[]*/,
      listFlag("attach", 'a', "Attach to STDIN, STDOUT or STDERR"),
      uint16Flag("blkio-weight", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable")/*default 0*/,
      listFlag("blkio-weight-device", 0, "Block IO weight (relative device weight)")/*default []*/,
      listFlag("cap-add", 0, "Add Linux capabilities"),
      listFlag("cap-drop", 0, "Drop Linux capabilities"),
      stringFlag("cgroup-parent", 0, "Optional parent cgroup for the container"),
      stringFlag("cgroupns", 0, "Cgroup namespace to use (host|private) 'host':    Run the container in the Docker host's cgroup namespace 'private': Run the container in its own private cgroup namespace '':        Use the cgroup namespace as configured by the default-cgroupns-mode option on the daemon (default)"),
      stringFlag("cidfile", 0, "Write the container ID to the file"),
      intFlag("cpu-count", 0, "CPU count (Windows only)"),
      intFlag("cpu-percent", 0, "CPU percent (Windows only)"),
      intFlag("cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period"),
      intFlag("cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota"),
      intFlag("cpu-rt-period", 0, "Limit CPU real-time period in microseconds"),
      intFlag("cpu-rt-runtime", 0, "Limit CPU real-time runtime in microseconds"),
      intFlag("cpu-shares", 'c', "CPU shares (relative weight)"),
      decimalFlag("cpus", 0, "Number of CPUs"),
      stringFlag("cpuset-cpus", 0, "CPUs in which to allow execution (0-3, 0,1)"),
      stringFlag("cpuset-mems", 0, "MEMs in which to allow execution (0-3, 0,1)"),
      listFlag("device", 0, "Add a host device to the container"),
      listFlag("device-cgroup-rule", 0, "Add a rule to the cgroup allowed devices list"),
      listFlag("device-read-bps", 0, "Limit read rate (bytes per second) from a device")/*default []*/,
      listFlag("device-read-iops", 0, "Limit read rate (IO per second) from a device")/*default []*/,
      listFlag("device-write-bps", 0, "Limit write rate (bytes per second) to a device")/*default []*/,
      listFlag("device-write-iops", 0, "Limit write rate (IO per second) to a device")/*default []*/,
      boolFlag("disable-content-trust", 0, "Skip image verification", true),
      listFlag("dns", 0, "Set custom DNS servers"),
      listFlag("dns-option", 0, "Set DNS options"),
      listFlag("dns-search", 0, "Set custom DNS search domains"),
      stringFlag("domainname", 0, "Container NIS domain name"),
      stringFlag("entrypoint", 0, "Overwrite the default ENTRYPOINT of the image"),
      listFlag("env", 'e', "Set environment variables"),
      listFlag("env-file", 0, "Read in a file of environment variables"),
      listFlag("expose", 0, "Expose a port or a range of ports"),
      customFlag("gpus", 0, "gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)", checkGpus),
      listFlag("group-add", 0, "Add additional groups to join"),
      stringFlag("health-cmd", 0, "Command to run to check health"),
      durationFlag("health-interval", 0, "Time between running the check (ms|s|m|h)"),
      intFlag("health-retries", 0, "Consecutive failures needed to report unhealthy"),
      durationFlag("health-start-interval", 0, "Time between running the check during the start period (ms|s|m|h)"),
      durationFlag("health-start-period", 0, "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)"),
      durationFlag("health-timeout", 0, "Maximum time to allow one check to run (ms|s|m|h)"),
      stringFlag("hostname", 'h', "Container host name"),
      boolFlag("init", 0, "Run an init inside the container that forwards signals and reaps processes"),
      boolFlag("interactive", 'i', "Keep STDIN open even if not attached"),
      bytesFlag("io-maxbandwidth", 0, "Maximum IO bandwidth limit for the system drive (Windows only)"),
      uintFlag("io-maxiops", 0, "Maximum IOps limit for the system drive (Windows only)"),
      stringFlag("ip", 0, "IPv4 address (e.g., 172.30.100.104)"),
      stringFlag("ip6", 0, "IPv6 address (e.g., 2001:db8::33)"),
      stringFlag("ipc", 0, "IPC mode to use"),
      stringFlag("isolation", 0, "Container isolation technology"),
      bytesFlag("kernel-memory", 0, "Kernel memory limit"),
      listFlag("label", 'l', "Set meta data on a container"),
      listFlag("label-file", 0, "Read in a line delimited file of labels"),
      listFlag("link", 0, "Add link to another container"),
      listFlag("link-local-ip", 0, "Container IPv4/IPv6 link-local addresses"),
      stringFlag("log-driver", 0, "Logging driver for the container"),
      listFlag("log-opt", 0, "Log driver options"),
      stringFlag("mac-address", 0, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
      bytesFlag("memory", 'm', "Memory limit"),
      bytesFlag("memory-reservation", 0, "Memory soft limit"),
      swapBytesFlag("memory-swap", 0, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
      intFlag("memory-swappiness", 0, "Tune container memory swappiness (0 to 100)", "-1"),
      customFlag("mount", 0, "mount", "Attach a filesystem mount to the container", checkMount),
      stringFlag("name", 0, "Assign a name to the container"),
      customFlag("network", 0, "network", "Connect a container to a network", checkNetwork),
      listFlag("network-alias", 0, "Add network-scoped alias for the container"),
      boolFlag("no-healthcheck", 0, "Disable any container-specified HEALTHCHECK"),
      boolFlag("oom-kill-disable", 0, "Disable OOM Killer"),
      intFlag("oom-score-adj", 0, "Tune host's OOM preferences (-1000 to 1000)"),
      stringFlag("pid", 0, "PID namespace to use"),
      intFlag("pids-limit", 0, "Tune container pids limit (set -1 for unlimited)"),
      stringFlag("platform", 0, "Set platform if server is multi-platform capable"),
      boolFlag("privileged", 0, "Give extended privileges to this container"),
      listFlag("publish", 'p', "Publish a container's port(s) to the host"),
      boolFlag("publish-all", 'P', "Publish all exposed ports to random ports"),
      stringFlag("pull", 0, "Pull image before creating (\"always\", \"|missing\", \"never\")", "missing"),
      boolFlag("quiet", 'q', "Suppress the pull output"),
      boolFlag("read-only", 0, "Mount the container's root filesystem as read only"),
      stringFlag("restart", 0, "Restart policy to apply when a container exits", "no"),
      boolFlag("rm", 0, "Automatically remove the container and its associated anonymous volumes when it exits"),
      stringFlag("runtime", 0, "Runtime to use for this container"),
      listFlag("security-opt", 0, "Security Options"),
      bytesFlag("shm-size", 0, "Size of /dev/shm"),
      stringFlag("stop-signal", 0, "Signal to stop the container"),
      intFlag("stop-timeout", 0, "Timeout (in seconds) to stop a container"),
      listFlag("storage-opt", 0, "Storage driver options for the container"),
      mapFlag("sysctl", 0, "Sysctl options")/*default map[]*/,
      listFlag("tmpfs", 0, "Mount a tmpfs directory"),
      boolFlag("tty", 't', "Allocate a pseudo-TTY"),
      customFlag("ulimit", 0, "ulimit", "Ulimit options", checkUlimit, "[]"),
      boolFlag("use-api-socket", 0, "Bind mount Docker API socket and required auth"),
      stringFlag("user", 'u', "Username or UID (format: <name|uid>[:<group|gid>])"),
      stringFlag("userns", 0, "User namespace to use"),
      stringFlag("uts", 0, "UTS namespace to use"),
      listFlag("volume", 'v', "Bind mount a volume"),
      stringFlag("volume-driver", 0, "Optional volume driver for the container"),
      listFlag("volumes-from", 0, "Mount volumes from the specified container(s)"),
      stringFlag("workdir", 'w', "Working directory inside the container"),
  };
}

namespace {

std::vector<std::string> linesOf(const std::string& path) {
  const auto text = tryReadFile(path);
  if (!text) fail(Code::not_found, "open {}: no such file or directory", path);
  std::vector<std::string> out;
  for (const auto& line : split(*text, '\n')) {
    std::string_view kept = line;
    while (!kept.empty() && (kept.front() == ' ' || kept.front() == '\t')) kept.remove_prefix(1);
    if (kept.ends_with('\r')) kept.remove_suffix(1);
    if (!kept.empty() && kept.front() != '#') out.emplace_back(kept);
  }
  return out;
}

std::string absoluteBind(const std::string& bind) {
  if (!bind.starts_with('.') && !bind.starts_with('~')) return bind;
  const auto [source, rest] = cut(bind, ':');
  if (!rest) return bind;
  char* real = ::realpath(source.c_str(), nullptr);
  std::string path;
  if (real != nullptr) {
    path = real;
    ::free(real);
  } else {
    char* here = ::getcwd(nullptr, 0);
    path = cleanPath(std::string(here) + "/" + source);
    ::free(here);
  }
  return path + ":" + *rest;
}

void addVolumes(const Parsed& p, apitypes::ContainerCreateRequest& out) {
  for (const auto& volume : p.list("volume")) {
    if (volume.find(':') == std::string::npos) {
      if (!out.Volumes) out.Volumes.emplace();
      (*out.Volumes)[volume];
    } else {
      if (!out.HostConfig.Binds) out.HostConfig.Binds.emplace();
      out.HostConfig.Binds->push_back(absoluteBind(volume));
    }
  }
  for (const auto& mount : p.list("mount")) {
    if (!out.HostConfig.Mounts) out.HostConfig.Mounts.emplace();
    out.HostConfig.Mounts->push_back(parseMount(mount));
  }
  for (const auto& tmpfs : p.list("tmpfs")) {
    if (!out.HostConfig.Tmpfs) out.HostConfig.Tmpfs.emplace();
    const auto [path, options] = cut(tmpfs, ':');
    (*out.HostConfig.Tmpfs)[path] = options.value_or("");
  }
}

void addLimits(const Parsed& p, apitypes::HostConfig& host) {
  host.Memory = p.integer("memory");
  host.MemoryReservation = p.integer("memory-reservation");
  host.MemorySwap = p.integer("memory-swap");
  if (p.given("memory-swappiness")) host.MemorySwappiness = p.integer("memory-swappiness");
  host.NanoCpus = p.integer("cpus");
  host.CpuShares = p.integer("cpu-shares");
  host.CpuPeriod = p.integer("cpu-period");
  host.CpuQuota = p.integer("cpu-quota");
  host.CpuRealtimePeriod = p.integer("cpu-rt-period");
  host.CpuRealtimeRuntime = p.integer("cpu-rt-runtime");
  host.CpusetCpus = p.str("cpuset-cpus");
  host.CpusetMems = p.str("cpuset-mems");
  host.BlkioWeight = static_cast<uint16_t>(p.uinteger("blkio-weight"));
  for (const auto& w : p.list("blkio-weight-device")) host.BlkioWeightDevice.push_back(parseWeightDevice(w));
  for (const auto& t : p.list("device-read-bps")) host.BlkioDeviceReadBps.push_back(parseThrottleBps(t));
  for (const auto& t : p.list("device-write-bps")) host.BlkioDeviceWriteBps.push_back(parseThrottleBps(t));
  for (const auto& t : p.list("device-read-iops")) host.BlkioDeviceReadIOps.push_back(parseThrottleIops(t));
  for (const auto& t : p.list("device-write-iops")) host.BlkioDeviceWriteIOps.push_back(parseThrottleIops(t));
  host.OomKillDisable = p.flag("oom-kill-disable");
  host.OomScoreAdj = p.integer("oom-score-adj");
  host.PidsLimit = p.integer("pids-limit");
  for (const auto& u : p.list("ulimit")) host.Ulimits.push_back(parseUlimit(u));
  host.ShmSize = p.integer("shm-size");
  host.CgroupParent = p.str("cgroup-parent");
}

void addHealth(const Parsed& p, apitypes::ContainerCreateRequest& out) {
  apitypes::HealthConfig health;
  if (p.flag("no-healthcheck")) health.Test = std::vector<std::string>{"NONE"};
  else if (p.given("health-cmd")) health.Test = std::vector<std::string>{"CMD-SHELL", p.str("health-cmd")};
  const auto time = [&](const char* flag, std::optional<int64_t>& into) {
    if (p.given(flag)) into = p.duration(flag).count();
  };
  time("health-interval", health.Interval);
  time("health-timeout", health.Timeout);
  time("health-start-period", health.StartPeriod);
  time("health-start-interval", health.StartInterval);
  if (p.given("health-retries")) health.Retries = p.integer("health-retries");
  if (health.Test || health.Interval || health.Timeout || health.StartPeriod || health.StartInterval || health.Retries) {
    out.Healthcheck = health;
  }
}

void addPorts(const Parsed& p, apitypes::ContainerCreateRequest& out) {
  const auto expose = [&](const std::string& port) {
    if (!out.ExposedPorts) out.ExposedPorts.emplace();
    (*out.ExposedPorts)[port.find('/') == std::string::npos ? port + "/tcp" : port];
  };
  for (const auto& port : p.list("expose")) expose(port);
  for (const auto& text : p.list("publish")) {
    // [IP:][HOST:]CONTAINER[/PROTO]
    const auto [address, proto] = cut(text, '/');
    auto parts = split(address, ':');
    apitypes::PortBinding binding;
    const std::string port = parts.back() + "/" + proto.value_or("tcp");
    if (parts.size() > 1) binding.HostPort = parts[parts.size() - 2];
    if (parts.size() > 2) binding.HostIp = join({parts.begin(), parts.end() - 2}, ":");
    expose(port);
    auto& bindings = out.HostConfig.PortBindings[port];
    if (!bindings) bindings.emplace();
    bindings->push_back(binding);
  }
  out.HostConfig.PublishAllPorts = p.flag("publish-all");
}

void addNetworks(const Parsed& p, apitypes::ContainerCreateRequest& out) {
  const auto networks = p.list("network");
  for (size_t i = 0; i < networks.size(); ++i) {
    const auto attachment = parseNetworkAttachment(networks[i]);
    if (i == 0) out.HostConfig.NetworkMode = attachment.target;
    apitypes::EndpointSettings settings;
    if (!attachment.aliases.empty()) settings.Aliases = attachment.aliases;
    if (!attachment.ipv4.empty() || !attachment.ipv6.empty()) {
      settings.IPAMConfig.emplace();
      if (!attachment.ipv4.empty()) settings.IPAMConfig->IPv4Address = attachment.ipv4;
      if (!attachment.ipv6.empty()) settings.IPAMConfig->IPv6Address = attachment.ipv6;
    }
    settings.MacAddress = attachment.macAddress;
    out.NetworkingConfig.EndpointsConfig[attachment.target] = settings;
  }
  const bool own = p.given("ip") || p.given("ip6") || p.given("network-alias") || p.given("mac-address");
  if (own) {
    auto& settings = out.NetworkingConfig.EndpointsConfig[out.HostConfig.NetworkMode.empty() ? "default"
                                                                                              : out.HostConfig.NetworkMode];
    if (p.given("ip") || p.given("ip6")) {
      settings.IPAMConfig.emplace();
      if (p.given("ip")) settings.IPAMConfig->IPv4Address = p.str("ip");
      if (p.given("ip6")) settings.IPAMConfig->IPv6Address = p.str("ip6");
    }
    if (p.given("network-alias")) settings.Aliases = p.list("network-alias");
    settings.MacAddress = p.str("mac-address");
  }
}

}  // namespace

void addEnvironment(std::vector<std::string>& env, const std::string& text) {
  const char* own = text.find('=') == std::string::npos ? ::getenv(text.c_str()) : nullptr;
  env.push_back(own == nullptr ? text : text + "=" + own);
}

void addEnvironmentFile(std::vector<std::string>& env, const std::string& path) {
  for (const auto& line : linesOf(path)) addEnvironment(env, line);
}

std::map<std::string, std::string> labelsOf(const Parsed& p) {
  std::map<std::string, std::string> out;
  for (const auto& file : p.list("label-file")) {
    for (const auto& line : linesOf(file)) out.insert(parseKeyValue(line));
  }
  for (const auto& label : p.list("label")) {
    const auto [key, value] = parseKeyValue(label);
    out[key] = value;
  }
  return out;
}

apitypes::ContainerCreateRequest createRequest(const Parsed& p) {
  apitypes::ContainerCreateRequest out;
  auto& host = out.HostConfig;
  out.Image = p.args.at(0);
  if (p.args.size() > 1) out.Cmd = std::vector<std::string>(p.args.begin() + 1, p.args.end());
  if (p.given("entrypoint")) out.Entrypoint = std::vector<std::string>{p.str("entrypoint")};
  out.Hostname = p.str("hostname");
  out.Domainname = p.str("domainname");
  out.User = p.str("user");
  out.Tty = p.flag("tty");
  out.OpenStdin = p.flag("interactive");
  out.WorkingDir = p.str("workdir");
  for (const auto& file : p.list("env-file")) addEnvironmentFile(out.Env, file);
  for (const auto& item : p.list("env")) addEnvironment(out.Env, item);
  out.Labels = labelsOf(p);
  if (p.given("stop-signal")) out.StopSignal = p.str("stop-signal");
  if (p.given("stop-timeout")) out.StopTimeout = p.integer("stop-timeout");
  addVolumes(p, out);
  addHealth(p, out);
  addPorts(p, out);
  addNetworks(p, out);
  addLimits(p, host);
  const auto nullable = [&](const char* flag, auto& into) {
    if (p.given(flag)) into = p.list(flag);
  };
  nullable("cap-add", host.CapAdd);
  nullable("cap-drop", host.CapDrop);
  nullable("group-add", host.GroupAdd);
  nullable("link", host.Links);
  nullable("volumes-from", host.VolumesFrom);
  nullable("device-cgroup-rule", host.DeviceCgroupRules);
  host.Dns = p.list("dns");
  host.DnsOptions = p.list("dns-option");
  host.DnsSearch = p.list("dns-search");
  host.ExtraHosts = p.list("add-host");
  for (const auto& option : p.list("security-opt")) {
    if (!host.SecurityOpt) host.SecurityOpt.emplace();
    const std::string_view file = option.starts_with("seccomp=") ? std::string_view(option).substr(8) : "";
    const bool isFile = !file.empty() && file != "unconfined" && file != "builtin";
    host.SecurityOpt->push_back(isFile ? "seccomp=" + readFile(std::string(file)) : option);
  }
  for (const auto& device : p.list("device")) {
    const auto parts = split(device, ':');
    apitypes::DeviceMapping mapping;
    mapping.PathOnHost = parts[0];
    mapping.PathInContainer = parts.size() > 1 ? parts[1] : parts[0];
    mapping.CgroupPermissions = parts.size() > 2 ? parts[2] : "rwm";
    host.Devices.push_back(std::move(mapping));
  }
  for (const auto& gpus : p.list("gpus")) {
    if (!host.DeviceRequests) host.DeviceRequests.emplace();
    host.DeviceRequests->push_back(parseGpus(gpus));
  }
  host.LogConfig.Type = p.str("log-driver");
  for (const auto& option : p.list("log-opt")) {
    const auto [key, value] = parseKeyValue(option);
    host.LogConfig.Config[key] = value;
  }
  host.Privileged = p.flag("privileged");
  host.ReadonlyRootfs = p.flag("read-only");
  host.AutoRemove = p.flag("rm");
  host.ContainerIDFile = p.str("cidfile");
  host.PidMode = p.str("pid");
  host.IpcMode = p.str("ipc");
  host.UTSMode = p.str("uts");
  host.UsernsMode = p.str("userns");
  host.CgroupnsMode = p.str("cgroupns");
  host.VolumeDriver = p.str("volume-driver");
  if (p.given("init")) host.Init = p.flag("init");
  if (p.given("runtime")) host.Runtime = p.str("runtime");
  if (p.given("sysctl")) host.Sysctls = p.map("sysctl");
  if (p.given("annotation")) host.Annotations = p.map("annotation");
  for (const auto& option : p.list("storage-opt")) {
    if (!host.StorageOpt) host.StorageOpt.emplace();
    const auto [key, value] = parseKeyValue(option);
    (*host.StorageOpt)[key] = value;
  }
  const auto [policy, count] = cut(p.str("restart"), ':');
  host.RestartPolicy.Name = policy;
  if (count) {
    const auto number = parseUint(*count);
    if (!number) fail(Code::invalid, "invalid restart policy format: maximum retry count must be an integer");
    host.RestartPolicy.MaximumRetryCount = static_cast<int64_t>(*number);
  }
  return out;
}

}  // namespace estiba::cli
