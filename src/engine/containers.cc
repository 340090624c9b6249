#include "engine/containers.h"

#include <fcntl.h>

#include <algorithm>
#include <set>

#include "base/kill_point.h"
#include "base/text.h"
#include "container/names.h"
#include "engine/merge.h"
#include "engine/mounts.h"
#include "sys/file.h"
#include "sys/lease.h"

namespace estiba::engine {

namespace {

using container::Record;
using container::State;

// What is known and cannot be had yet is refused by name, never ignored.
void refuseUnbuilt(const apitypes::ContainerCreateRequest& request) {
  const auto refuse = [](bool asked, std::string_view what) {
    if (asked) fail(Code::not_implemented, "{} is not supported yet", what);
  };
  const auto& host = request.HostConfig;
  refuse(!host.PortBindings.empty() || host.PublishAllPorts, "publishing ports (-p, -P)");
  refuse(host.Links && !host.Links->empty(), "--link");
  refuse(!host.RestartPolicy.Name.empty() && host.RestartPolicy.Name != "no", "--restart " + host.RestartPolicy.Name);
  refuse(host.Runtime && !host.Runtime->empty() && *host.Runtime != "estiba", "--runtime");
  const std::string& log = host.LogConfig.Type;
  refuse(!log.empty() && log != "json-file" && log != "none", "--log-driver " + log);
  refuse(request.Healthcheck && request.Healthcheck->Test && !request.Healthcheck->Test->empty() &&
             request.Healthcheck->Test->front() != "NONE",
         "health checks (--health-cmd)");
  for (const auto& [name, endpoint] : request.NetworkingConfig.EndpointsConfig) {
    refuse(endpoint.IPAMConfig && (endpoint.IPAMConfig->IPv4Address || endpoint.IPAMConfig->IPv6Address), "--ip");
    refuse(endpoint.Aliases && !endpoint.Aliases->empty(), "--network-alias");
  }
}

void checkLimits(const apitypes::HostConfig& host) {
  if (host.Memory != 0 && host.Memory < (6 << 20)) fail(Code::invalid, "Minimum memory limit allowed is 6MB");
  if (host.MemorySwap > 0 && host.Memory == 0) {
    fail(Code::invalid, "You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (host.MemorySwap > 0 && host.MemorySwap < host.Memory) {
    fail(Code::invalid, "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (host.NanoCpus > 0 && (host.CpuQuota > 0 || host.CpuPeriod > 0)) {
    fail(Code::invalid, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
  }
  if (host.NanoCpus < 0) fail(Code::invalid, "range of CPUs is from 0.01 to the number of CPUs of this machine");
  if (host.AutoRemove && !host.RestartPolicy.Name.empty() && host.RestartPolicy.Name != "no") {
    fail(Code::invalid, "can't create 'AutoRemove' container with restart policy");
  }
}

std::map<std::string, std::string> eventAttributes(const Record& record) {
  auto attributes = record.body.config.Labels;
  attributes["image"] = record.body.config.Image;
  attributes["name"] = record.name;
  return attributes;
}

std::string shownCommand(const Record& record) {
  std::vector<std::string> words;
  for (const auto& word : record.body.args) words.push_back(word.find(' ') == std::string::npos ? word : "'" + word + "'");
  return join({record.body.path, join(words, " ")}, words.empty() ? "" : " ");
}

std::string ago(Time at, Time time) { return humanDuration(std::chrono::nanoseconds(at.ns - time.ns)); }

bool matchesAny(const std::vector<std::string>& wanted, const auto& test) {
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), test);
}

bool labelMatches(const std::map<std::string, std::string>& labels, const std::string& wanted) {
  const auto [key, value] = cut(wanted, '=');
  const auto found = labels.find(key);
  return found != labels.end() && (!value || found->second == *value);
}

const std::vector<std::string>& valuesOf(const std::map<std::string, std::vector<std::string>>& filters,
                                         const std::string& name) {
  static const std::vector<std::string> none;
  const auto found = filters.find(name);
  return found == filters.end() ? none : found->second;
}

}  // namespace

std::string statusText(const Record& record, Time at) {
  switch (record.state) {
    case State::created:
    case State::starting: return "Created";
    case State::running: return "Up " + ago(at, record.startedAt);
    case State::paused: return fmt::format("Up {} (Paused)", ago(at, record.startedAt));
    case State::restarting: return fmt::format("Restarting ({}) {} ago", record.exitCode, ago(at, record.finishedAt));
    case State::exited: return fmt::format("Exited ({}) {} ago", record.exitCode, ago(at, record.finishedAt));
    case State::removing: return "Removal In Progress";
    case State::dead: return "Dead";
  }
  return "";
}

apitypes::ContainerCreateResponse Containers::create(const std::string& name, apitypes::ContainerCreateRequest request) {
  if (!name.empty()) container::checkName(name);
  refuseUnbuilt(request);
  checkLimits(request.HostConfig);
  if (request.Image.empty()) fail(Code::invalid, "config cannot be empty in order to create a container");
  Lease lease;
  const auto image = ctx_.images.open(request.Image, lease);
  Record record;
  record.id = randomHex(32);
  record.imageId = image.id.str();
  record.created = now();
  record.body.config = static_cast<const apitypes::ContainerConfig&>(request);
  record.body.host = request.HostConfig;
  record.body.networking = request.NetworkingConfig;
  auto& config = record.body.config;
  mergeImageConfig(config, image.config.config);
  const auto command = commandOf(config);
  record.body.path = command[0];
  record.body.args.assign(command.begin() + 1, command.end());
  if (config.Hostname.empty()) {
    config.Hostname = record.body.host.NetworkMode == "host" ? trim(readFile("/proc/sys/kernel/hostname"))
                                                             : std::string_view(record.id).substr(0, 12);
  }
  if (record.body.host.NetworkMode.empty() || record.body.host.NetworkMode == "default") {
    record.body.host.NetworkMode = "bridge";
  }
  if (record.body.host.LogConfig.Type.empty()) record.body.host.LogConfig.Type = "json-file";
  if (record.body.host.ShmSize == 0) record.body.host.ShmSize = 64 << 20;
  // What buildSpec would refuse is refused now, not at the start.
  container::capabilitiesFor(record.body.host, ctx_.hostFacts(false));
  record.body.mounts = resolveMounts(ctx_, config, record.body.host);

  auto active = ctx_.snapshots.prepare(image.layers, lease);
  record.snapshot = active.id();
  Fd held;  // until it has its row
  while (!held) {
    makeDir(ctx_.layout.containerDir(record.id), 0700);
    held = openLockedDir(ctx_.layout.containerDir(record.id));
  }
  killPoint("container.create.made");
  try {
    for (int attempt = 0;; ++attempt) {
      record.name = name.empty() ? container::randomName(attempt) : name.substr(name.starts_with('/') ? 1 : 0);
      try {
        auto connection = ctx_.pool.get();
        db::Txn txn(*connection);
        ctx_.snapshots.keep(*connection, active);
        ctx_.records.insert(*connection, record);
        txn.commit();
        break;
      } catch (const Error& e) {
        if (e.code() != Code::conflict || !name.empty() || attempt > 20) throw;
      }
    }
  } catch (...) {
    removeTree(ctx_.layout.containerDir(record.id));
    throw;
  }
  active.release();
  killPoint("container.create.committed");
  for (const auto& m : record.body.mounts) {
    if (m.Type == "volume") ctx_.volumes.addUse(*m.Name, record.id);
  }
  ctx_.events.record("container", "create", record.id, eventAttributes(record));
  return {record.id, {}};
}

std::vector<std::string> Containers::lowerLayers(const Record& record) const {
  return ctx_.snapshots.mounts(record.snapshot).lowers;
}

std::pair<int64_t, int64_t> Containers::sizes(const Record& record) {
  const int64_t rw = ctx_.snapshots.usage(record.snapshot).bytes;
  const auto digest = oci::Digest::parse(record.imageId);
  return {rw, rw + ctx_.images.get(digest).size};
}

std::vector<apitypes::ChangeItem> Containers::changes(const std::string& ref) {
  const Record record = ctx_.records.get(ref);
  std::vector<apitypes::ChangeItem> out;
  for (const auto& change : ctx_.snapshots.changes(record.snapshot)) {
    out.push_back({static_cast<uint8_t>(change.kind), change.path});
  }
  // What the engine itself makes in the upper directory (mount points of volumes, /dev, /proc) is the image's business
  // only as docker sees it: new mount points are told, exactly as there.
  return out;
}

std::optional<Record> Containers::look(const Record& record) {
  if (!settle_ || !settle_(record)) return record;
  return ctx_.records.find(record.id);
}

apitypes::ContainerInspect Containers::inspect(const std::string& ref, bool size) {
  const auto found = look(ctx_.records.get(ref));
  if (!found) fail(Code::not_found, "No such container: {}", ref);
  const Record& record = *found;
  apitypes::ContainerInspect out;
  out.Id = record.id;
  out.Created = rfc3339Nano(record.created);
  out.Path = record.body.path;
  out.Args = record.body.args;
  auto& state = out.State;
  state.Status = container::stateName(record.state);
  state.Running = record.isUp();
  state.Paused = record.state == State::paused;
  state.Restarting = record.state == State::restarting;
  state.Dead = record.state == State::dead;
  state.OOMKilled = record.oomKilled;
  state.Pid = record.pid;
  state.ExitCode = record.exitCode;
  state.Error = record.error;
  state.StartedAt = rfc3339Nano(record.startedAt);
  state.FinishedAt = rfc3339Nano(record.finishedAt);
  out.Image = record.imageId;
  const std::string dir = ctx_.layout.containerDir(record.id);
  out.ResolvConfPath = dir + "/resolv.conf";
  out.HostnamePath = dir + "/hostname";
  out.HostsPath = dir + "/hosts";
  if (record.body.host.LogConfig.Type == "json-file") out.LogPath = ctx_.layout.logPath(record.id);
  out.Name = "/" + record.name;
  out.RestartCount = record.restartCount;
  out.Driver = "overlay2";
  out.Platform = record.body.os;
  out.HostConfig = record.body.host;
  const auto mounts = ctx_.snapshots.mounts(record.snapshot);
  out.GraphDriver.Name = "overlay2";
  out.GraphDriver.Data = std::map<std::string, std::string>{{"LowerDir", join(mounts.lowers, ":")},
                                                            {"UpperDir", mounts.upper},
                                                            {"WorkDir", mounts.work},
                                                            {"MergedDir", ctx_.layout.runDir(record.id) + "/rootfs"}};
  if (size) {
    const auto [rw, all] = sizes(record);
    out.SizeRw = rw;
    out.SizeRootFs = all;
  }
  for (const auto& m : record.body.mounts) {
    if (m.Type != "tmpfs") out.Mounts.push_back(m);
  }
  out.Config = record.body.config;
  for (const auto& e : ctx_.networks.endpointsOf(record.id)) {
    apitypes::EndpointSettings settings;
    settings.NetworkID = e.networkId;
    settings.EndpointID = e.id;
    settings.Gateway = e.gateway.text();
    settings.IPAddress = e.address.text();
    settings.IPPrefixLen = e.prefixLen;
    if (!e.address.empty()) settings.MacAddress = e.mac.text();
    if (e.networkName == "bridge") {
      out.NetworkSettings.EndpointID = settings.EndpointID;
      out.NetworkSettings.Gateway = settings.Gateway;
      out.NetworkSettings.IPAddress = settings.IPAddress;
      out.NetworkSettings.IPPrefixLen = settings.IPPrefixLen;
      out.NetworkSettings.MacAddress = settings.MacAddress;
    }
    out.NetworkSettings.Networks[e.networkName] = std::move(settings);
  }
  if (out.NetworkSettings.Networks.empty() && !record.body.host.NetworkMode.starts_with("container:")) {
    out.NetworkSettings.Networks[record.body.host.NetworkMode];  // not connected now, but that is its place
  }
  if (record.isUp() && record.pid > 0) {
    out.NetworkSettings.SandboxID = record.id;
    out.NetworkSettings.SandboxKey = fmt::format("/proc/{}/ns/net", record.pid);
  }
  return out;
}

apitypes::ContainerSummary Containers::summary(const Record& record, bool size) {
  apitypes::ContainerSummary out;
  out.Id = record.id;
  out.Names = {"/" + record.name};
  out.Image = record.body.config.Image;
  out.ImageID = record.imageId;
  // A name that went to another image since no longer says what this container is made of.
  const auto named = ctx_.images.tryResolve(record.body.config.Image);
  if (!named || named->str() != record.imageId) {
    out.Image = record.imageId;
  }
  out.Command = shownCommand(record);
  out.Created = record.created.ns / 1'000'000'000;
  if (size) {
    const auto [rw, all] = sizes(record);
    out.SizeRw = rw;
    out.SizeRootFs = all;
  }
  out.Labels = record.body.config.Labels;
  out.State = container::stateName(record.state);
  out.Status = statusText(record, now());
  out.HostConfig.NetworkMode = record.body.host.NetworkMode;
  for (const auto& m : record.body.mounts) {
    if (m.Type != "tmpfs") out.Mounts.push_back(m);
  }
  return out;
}

std::vector<apitypes::ContainerSummary> Containers::list(const ListOptions& options) {
  static const std::set<std::string> kKnown = {"ancestor", "before", "exited", "id",     "label",  "name",
                                               "since",    "status", "volume", "network", "health", "is-task"};
  for (const auto& [filter, values] : options.filters) {
    if (!kKnown.contains(filter)) fail(Code::invalid, "invalid filter '{}'", filter);
  }
  const auto values = [&](const char* filter) -> const std::vector<std::string>& {
    return valuesOf(options.filters, filter);
  };
  const bool all = options.all || options.limit > 0 || !values("status").empty() || !values("exited").empty();
  std::optional<Time> before;
  std::optional<Time> since;
  for (const auto& ref : values("before")) before = ctx_.records.get(ref).created;
  for (const auto& ref : values("since")) since = ctx_.records.get(ref).created;
  std::set<std::string> ancestors;
  for (const auto& ref : values("ancestor")) {
    const auto id = ctx_.images.tryResolve(ref);
    ancestors.insert(id ? id->str() : "");
  }
  std::vector<apitypes::ContainerSummary> out;
  for (const Record& listed : ctx_.records.list()) {
    const auto found = look(listed);
    if (!found) continue;
    const Record& record = *found;
    if (options.limit > 0 && static_cast<int64_t>(out.size()) >= options.limit) break;
    if (!all && !record.isUp()) continue;
    if (before && record.created >= *before) continue;
    if (since && record.created <= *since) continue;
    if (!ancestors.empty() && !ancestors.contains(record.imageId)) continue;
    const bool fits =
        matchesAny(values("id"), [&](const auto& v) { return record.id.starts_with(v); }) &&
        matchesAny(values("name"), [&](const auto& v) { return ("/" + record.name).find(v) != std::string::npos; }) &&
        matchesAny(values("status"), [&](const auto& v) { return container::stateName(record.state) == v; }) &&
        matchesAny(values("exited"),
                   [&](const auto& v) {
                     return record.state == State::exited && std::to_string(record.exitCode) == v;
                   }) &&
        matchesAny(values("volume"),
                   [&](const auto& v) {
                     return std::any_of(record.body.mounts.begin(), record.body.mounts.end(), [&](const auto& m) {
                       return m.Destination == v || m.Source == v || (m.Name && *m.Name == v);
                     });
                   }) &&
        matchesAny(values("network"), [&](const auto& v) { return record.body.host.NetworkMode == v; }) &&
        matchesAny(values("health"), [&](const auto& v) { return v == "none"; });
    const bool labels = std::all_of(values("label").begin(), values("label").end(),
                                    [&](const auto& v) { return labelMatches(record.body.config.Labels, v); });
    if (fits && labels) out.push_back(summary(record, options.size));
  }
  return out;
}

void Containers::rename(const std::string& ref, const std::string& name) {
  container::checkName(name);
  const Record record = ctx_.records.get(ref);
  ctx_.records.rename(record.id, name.substr(name.starts_with('/') ? 1 : 0));
  auto attributes = eventAttributes(record);
  attributes["oldName"] = "/" + record.name;
  ctx_.events.record("container", "rename", record.id, attributes);
}

void Containers::removeStopped(const Record& record, bool volumes) {
  const Fd held = openLockedDir(ctx_.layout.containerDir(record.id));  // recovery leaves it alone meanwhile
  if (!ctx_.records.move(record.id, record.state, State::removing)) {
    fail(Code::conflict, "removal of container {} is already in progress", record.name);
  }
  killPoint("container.remove.moved");
  // What commits have frozen out of it goes with it, unless an image keeps it.
  const bool frozen = ctx_.snapshots.layersOf(record.snapshot).size() > ctx_.snapshots.imageLayers(record.snapshot);
  const auto anonymous = volumes ? ctx_.volumes.anonymousOf(record.id) : std::vector<std::string>{};
  ctx_.networks.release(record.id);
  ctx_.volumes.dropUses(record.id);
  {
    // The rows first, the bytes after: a crash in between leaves what recovery sweeps.
    auto connection = ctx_.pool.get();
    db::Txn txn(*connection);
    ctx_.records.erase(*connection, record.id);
    ctx_.snapshots.forget(*connection, record.snapshot);
    txn.commit();
  }
  killPoint("container.remove.erased");
  ctx_.snapshots.discard(record.snapshot);
  if (frozen) ctx_.snapshots.layers().collectAll();
  removeTree(ctx_.layout.runDir(record.id));
  removeTree(ctx_.layout.containerDir(record.id));
  for (const auto& name : anonymous) ctx_.volumes.remove(name);
  ctx_.events.record("container", "destroy", record.id, eventAttributes(record));
}

apitypes::ContainersPruneReport Containers::prune(const std::map<std::string, std::vector<std::string>>& filters) {
  for (const auto& [filter, values] : filters) {
    if (filter != "label" && filter != "label!" && filter != "until") fail(Code::invalid, "invalid filter '{}'", filter);
  }
  std::optional<Time> until;
  for (const auto& value : valuesOf(filters, "until")) {
    if (const auto duration = parseDuration(value)) until = Time{now().ns - duration->count()};
    else if (const auto time = parseRfc3339(value)) until = *time;
    else fail(Code::invalid, "failed to parse value as time or duration: {}", quoted(value));
  }
  apitypes::ContainersPruneReport report;
  for (const Record& record : ctx_.records.list()) {
    if (record.state != State::created && record.state != State::exited && record.state != State::dead) continue;
    const auto& labels = record.body.config.Labels;
    const auto carries = [&](const auto& v) { return labelMatches(labels, v); };
    const auto& without = valuesOf(filters, "label!");
    const auto& with = valuesOf(filters, "label");
    if (!std::all_of(with.begin(), with.end(), carries) || std::any_of(without.begin(), without.end(), carries)) continue;
    if (until && record.created >= *until) continue;
    const int64_t bytes = ctx_.snapshots.usage(record.snapshot).bytes;
    removeStopped(record, false);
    if (!report.ContainersDeleted) report.ContainersDeleted.emplace();
    report.ContainersDeleted->push_back(record.id);
    report.SpaceReclaimed += static_cast<uint64_t>(bytes);
  }
  return report;
}

}  // namespace estiba::engine
