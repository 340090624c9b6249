#include "engine/launcher.h"

#include <fcntl.h>

#include "base/json.h"
#include "base/kill_point.h"
#include "base/text.h"
#include "net/hosts.h"
#include "net/link.h"
#include "runtime/cgroup.h"
#include "runtime/stage_error.h"
#include "sys/file.h"

namespace estiba::engine {

namespace {

bool isBridgeMode(const std::string& mode) { return mode.empty() || mode == "default" || mode == "bridge"; }

}  // namespace

void Launcher::joinNamespaces(LaunchPlan& plan, const container::SpecInput& asked) {
  auto& joined = plan.spec.joined;
  const auto join = [&](const char* type, const char* file, const std::string& mode) {
    if (mode == "host") {
      joined[type] = "";
    } else if (mode.starts_with("container:")) {
      const auto other = ctx_.records.get(mode.substr(10));
      if (!other.isUp() || other.pid == 0) {
        fail(Code::conflict, "cannot join {} namespace of a non running container: {}", type, other.id);
      }
      joined[type] = fmt::format("/proc/{}/ns/{}", other.pid, file);
    }
  };
  join("network", "net", plan.networkMode);
  join("pid", "pid", asked.host.PidMode);
  join("ipc", "ipc", asked.host.IpcMode);
  join("uts", "uts", asked.host.UTSMode);
  if (asked.host.CgroupnsMode == "host") joined["cgroup"] = "";
}

std::vector<net::Endpoint> Launcher::connect(const LaunchPlan& plan) {
  const std::string& mode = plan.networkMode;
  if (mode.starts_with("container:")) return {};
  net::ConnectSpec spec;
  spec.containerId = plan.spec.id;
  spec.network = isBridgeMode(mode) ? "bridge" : mode;
  return {ctx_.networks.connect(spec)};
}

void Launcher::writeFiles(const LaunchPlan& plan, const std::vector<net::Endpoint>& endpoints) {
  const bool host = plan.networkMode == "host";
  const auto& asked = plan.spec.host;
  const std::string name = plan.spec.hostname;
  net::Ip gateway;
  net::HostsSpec hosts;
  for (const auto& endpoint : endpoints) {
    if (endpoint.address.empty()) continue;
    gateway = endpoint.gateway;
    hosts.own.emplace_back(endpoint.address.text(), net::ownNames(name, plan.spec.domainname));
  }
  for (const auto& extra : asked.ExtraHosts) hosts.extra.push_back(net::parseExtraHost(extra, gateway));
  net::ResolvSpec resolv;
  resolv.servers = asked.Dns;
  resolv.search = asked.DnsSearch;
  resolv.options = asked.DnsOptions;
  resolv.hostNetwork = host;
  const auto [path, text] = net::readHostResolvConf();
  writeFile(plan.filesDir + "/hosts",
            host ? net::hostsFileOfHost(tryReadFile("/etc/hosts").value_or(""), hosts.extra) : net::hostsFile(hosts));
  writeFile(plan.filesDir + "/hostname", net::hostnameFile(name));
  writeFile(plan.filesDir + "/resolv.conf", net::resolvConf(text, resolv, path));
}

Prepared Launcher::prepare(LaunchPlan plan) {
  const std::string id = plan.spec.id;
  const std::string run = ctx_.layout.runDir(id);
  joinNamespaces(plan, plan.spec);
  makeDirs(run, 0700);
  killPoint("launch.run.made");
  const auto endpoints = connect(plan);
  killPoint("launch.connected");
  writeFiles(plan, endpoints);
  plan.spec.filesDir = plan.filesDir;
  const std::string parent = plan.spec.host.CgroupParent.empty() ? "/estiba" : plan.spec.host.CgroupParent;
  plan.spec.cgroupPath = cleanPath(parent) + "/" + id;
  const auto spec =
      container::buildSpec(plan.spec, ctx_.hostFacts(plan.spec.host.Privileged || !plan.spec.host.Devices.empty()));
  plan.monitor.id = id;
  plan.monitor.cgroupPath = plan.spec.cgroupPath;
  plan.monitor.cacheDir = ctx_.layout.cache();
  plan.monitor.tty = plan.spec.tty;
  plan.monitor.consoleSize = plan.spec.consoleSize;
  writeFile(run + "/config.json", dumpJsonOf(spec), 0600);
  writeFile(run + "/monitor.json", dumpJsonOf(plan.monitor), 0600);
  monitor::SpawnOptions spawn;
  spawn.runDir = run;
  spawn.binary = ctx_.config.executable;
  spawn.stdio = plan.stdio;
  auto monitor = monitor::Monitor::spawn(spawn);
  killPoint("launch.spawned");
  const auto created = monitor.created();
  killPoint("launch.created");
  for (const auto& endpoint : endpoints) {
    if (endpoint.driver == "host") continue;
    const Fd netns = openFile(fmt::format("/proc/{}/ns/net", created.pid), O_RDONLY);
    net::attach(endpoint, netns.get());
  }
  killPoint("launch.attached");
  return {std::move(monitor), created};
}

void Launcher::release(const std::string& id) {
  // The directory goes even where the disk is too full to free the address: recovery does that.
  try {
    ctx_.networks.release(id);
  } catch (...) {
    removeTree(ctx_.layout.runDir(id));
    throw;
  }
  removeTree(ctx_.layout.runDir(id));
}

void Launcher::removeGroups(const std::string& id) {
  const std::string path = ctx_.layout.runDir(id) + "/" + monitor::kConfigFile;
  const auto text = tryReadFile(path);
  if (!text) return;
  const auto config = parseJsonAs<monitor::MonitorConfig>(*text, path);
  if (config.cgroupPath.empty()) return;
  auto groups = runtime::CgroupSet::open(config.cgroupPath);
  groups.killAll();
  groups.remove();
}

std::string startFailure(const std::exception& e) {
  if (dynamic_cast<const runtime::StageError*>(&e) == nullptr) return e.what();
  return fmt::format(
      "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
      "unable to start container process: {}: unknown",
      e.what());
}

int startFailureCode(const std::exception& e) {
  const auto* stage = dynamic_cast<const runtime::StageError*>(&e);
  return stage == nullptr ? 128 : stage->exitCode();
}

}  // namespace estiba::engine
