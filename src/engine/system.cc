#include "engine/system.h"

#include <poll.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <thread>

#include "base/sha256.h"
#include "base/text.h"
#include "monitor/client.h"
#include "sys/file.h"
#include "sys/lease.h"

namespace estiba::engine {

namespace {

utsname kernel() {
  utsname name{};
  ::uname(&name);
  return name;
}

// PRETTY_NAME of os-release(5).
std::string operatingSystem() {
  for (const auto& line : split(tryReadFile("/etc/os-release").value_or(""), '\n')) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    std::string value = line.substr(12);
    if (value.size() > 1 && value.front() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return "Linux";
}

// Of a container that is up. One that has just ended is given a moment: its reaper is on the way.
bool monitorIsGone(Context& ctx, const std::string& id) {
  for (int tries = 0; tries < 50; ++tries) {
    const auto record = ctx.records.find(id);
    if (!record || !record->isUp() || monitor::isHeld(ctx.layout.runDir(id))) return false;
    ::poll(nullptr, 0, 20);
  }
  return true;
}

}  // namespace

apitypes::Version System::version() const {
  const utsname host = kernel();
  apitypes::Version out;
  out.Platform.Name = "estiba";
  out.Version_ = ESTIBA_VERSION;
  out.ApiVersion = "1.48";
  out.MinAPIVersion = "1.24";
  out.GitCommit = "";
  out.GoVersion = "";
  out.Os = "linux";
  out.Arch = "amd64";
  out.KernelVersion = host.release;
  apitypes::ComponentVersion engine;
  engine.Name = "Engine";
  engine.Version = ESTIBA_VERSION;
  engine.Details = std::map<std::string, std::string>{{"ApiVersion", out.ApiVersion}, {"Arch", out.Arch},
                                                      {"KernelVersion", out.KernelVersion},
                                                      {"MinAPIVersion", out.MinAPIVersion}, {"Os", out.Os}};
  out.Components.push_back(std::move(engine));
  return out;
}

apitypes::Info System::info() {
  const utsname host = kernel();
  apitypes::Info out;
  out.ID = sha256Hex(ctx_.config.root).substr(0, 32);
  for (const auto& record : ctx_.records.list()) {
    ++out.Containers;
    if (record.state == container::State::running) ++out.ContainersRunning;
    else if (record.state == container::State::paused) ++out.ContainersPaused;
    else ++out.ContainersStopped;
  }
  out.Images = static_cast<int64_t>(ctx_.images.list({}).size());
  out.Driver = "overlay2";
  out.DriverStatus = {{"Supports d_type", "true"}, {"Native Overlay Diff", "true"}};
  out.Plugins.Volume = std::vector<std::string>{"local"};
  out.Plugins.Network = std::vector<std::string>{"bridge", "host", "null"};
  out.Plugins.Log = std::vector<std::string>{"json-file", "none"};
  out.MemoryLimit = out.SwapLimit = out.CpuCfsPeriod = out.CpuCfsQuota = out.CPUShares = out.CPUSet = out.PidsLimit = true;
  out.OomKillDisable = !ctx_.hostFacts(false).cgroupV2;
  out.IPv4Forwarding = trim(tryReadFile("/proc/sys/net/ipv4/ip_forward").value_or("0")) == "1";
  out.Debug = ctx_.config.debug;
  out.SystemTime = rfc3339Nano(now());
  out.LoggingDriver = "json-file";
  out.CgroupDriver = "cgroupfs";
  out.CgroupVersion = ctx_.hostFacts(false).cgroupV2 ? "2" : "1";
  out.KernelVersion = host.release;
  out.OperatingSystem = operatingSystem();
  out.Architecture = host.machine;
  out.IndexServerAddress = "https://index.docker.io/v1/";
  out.NCPU = std::thread::hardware_concurrency();
  struct sysinfo memory{};
  if (::sysinfo(&memory) == 0) out.MemTotal = static_cast<int64_t>(memory.totalram) * memory.mem_unit;
  out.DockerRootDir = ctx_.config.root;
  out.Name = host.nodename;
  out.ServerVersion = ESTIBA_VERSION;
  out.Runtimes["estiba"].path = "estiba";
  out.DefaultRuntime = "estiba";
  out.SecurityOptions = {"name=seccomp,profile=builtin"};
  return out;
}

std::vector<std::string> System::check(bool digests) {
  std::vector<std::string> out;
  for (const auto& finding : ctx_.images.check(digests)) out.push_back(finding.what + ": " + finding.problem);
  const std::string containers = ctx_.config.root + "/containers", work = ctx_.config.root + "/tmp";
  // What nobody holds and no row refers to is left by a command that was killed.
  const auto orphans = [&](const std::string& dir, const std::string& shown) {
    for (const auto& name : listDir(dir)) {
      const auto busy = [&](const std::string& path) { return exists(path) && !claimDir(path); };
      // The directories of a container go one after the other, and the last is held as long.
      if (busy(containers + "/" + name) || busy(dir + "/" + name) || ctx_.records.find(name)) continue;
      if (!exists(dir + "/" + name)) continue;
      out.push_back(fmt::format("directory {}/{}: no row refers to it", shown, name));
    }
  };
  orphans(containers, "containers");
  orphans(ctx_.layout.runBase(), ctx_.layout.runBase());
  orphans(work, "tmp");
  for (const auto& record : ctx_.records.list()) {
    const Fd idle = claimDir(ctx_.layout.containerDir(record.id));
    if (!exists(ctx_.layout.containerDir(record.id))) {
      if (ctx_.records.find(record.id)) out.push_back(fmt::format("container {}: its directory is missing", record.name));
      continue;
    }
    const auto now = idle ? ctx_.records.find(record.id) : std::nullopt;
    if (!now) continue;
    const bool halfWay = now->state == container::State::starting || now->state == container::State::removing;
    if (halfWay) out.push_back(fmt::format("container {}: left half-way by a command that was killed", record.name));
    if (monitorIsGone(ctx_, record.id)) out.push_back(fmt::format("container {}: its monitor is gone", record.name));
  }
  return out;
}

}  // namespace estiba::engine
