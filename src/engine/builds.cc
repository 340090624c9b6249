#include "engine/builds.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <set>

#include "base/log.h"
#include "base/text.h"
#include "runtime/stage_error.h"
#include "sys/file.h"

namespace estiba::engine {

namespace {

// Reads both pipes to their end, or until `stop` was asked.
void relay(Fd out, Fd err, const build::StepOutput& output, int stopFd) {
  pollfd polls[] = {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}, {stopFd, POLLIN, 0}};
  std::string buffer(65536, '\0');
  for (int open = 2; open > 0;) {
    sys([&] { return ::poll(polls, 3, -1); }, "wait for a build step's output");
    if (polls[2].revents != 0) return;
    for (int i = 0; i < 2; ++i) {
      if (polls[i].fd < 0 || polls[i].revents == 0) continue;
      const ssize_t n = sys([&] { return ::read(polls[i].fd, buffer.data(), buffer.size()); }, "read a step's output");
      if (n == 0) {
        polls[i].fd = -1;
        --open;
      } else {
        output(i + 1, std::string_view(buffer).substr(0, static_cast<size_t>(n)));
      }
    }
  }
}

oci::Mount ociMount(const build::StepMount& m) {
  oci::Mount out;
  out.destination = m.target;
  if (m.hostPath.empty()) {
    out.type = "tmpfs";
    out.source = "tmpfs";
    out.options = {"nosuid", "nodev", "noexec"};
    if (m.tmpfsSize > 0) out.options.push_back(fmt::format("size={}", m.tmpfsSize));
  } else {
    out.type = "bind";
    out.source = m.hostPath;
    out.options = {"rbind", "rprivate", m.readonly ? "ro" : "rw"};
  }
  return out;
}

}  // namespace

int StepProcesses::run(const build::StepProcess& process, const build::StepOutput& output, std::stop_token stop) {
  LaunchPlan plan;
  plan.networkMode = process.network.empty() ? "default" : process.network;
  const std::string run = ctx_.layout.runDir(process.id);
  makeDirs(run, 0700);
  plan.filesDir = run;
  struct Release {
    Launcher& launcher;
    const std::string& id;
    ~Release() {
      try {
        launcher.release(id);
      } catch (const std::exception& e) {
        log::warn("clean up after build step {}: {}", id, e.what());
      }
    }
  } release{launcher_, process.id};

  container::SpecInput& in = plan.spec;
  in.id = process.id;
  in.hostname = process.hostname;
  in.host = process.limits;
  in.host.ExtraHosts = process.extraHosts;
  // The step's own root decides who USER is.
  const auto mountRoot = [&] { return ctx_.snapshots.mountReadOnly(process.root.lowers); };
  in.user = image::resolveUser(image::readAccounts(process.root.lowers, mountRoot), process.user, {});
  in.args = process.args;
  in.env = container::completeEnv(process.env, process.hostname, false, in.user.home);
  std::erase_if(in.env, [](const auto& item) { return item.starts_with("HOSTNAME="); });
  in.cwd = process.cwd;
  for (const auto& m : process.mounts) in.extraMounts.push_back(ociMount(m));

  auto& m = plan.monitor;
  m.mode = monitor::kModeStep;
  m.rootfs.lowers = process.root.lowers;
  m.rootfs.upper = process.root.upper;
  m.rootfs.work = process.root.work;
  m.rootfs.volatile_ = true;  // synced when the image is written
  m.log.driver = "none";
  m.inheritStdio = true;
  auto [outRead, outWrite] = makePipe();
  auto [errRead, errWrite] = makePipe();
  plan.stdio = {-1, outWrite.get(), errWrite.get()};
  const Fd wake(::eventfd(0, EFD_CLOEXEC));
  std::stop_callback onStop(stop, [&] { ::eventfd_write(wake.get(), 1); });
  try {
    auto [monitor, created] = launcher_.prepare(std::move(plan));
    outWrite.reset();
    errWrite.reset();
    monitor.start();
    relay(std::move(outRead), std::move(errRead), output, wake.get());
    const auto ended = monitor.stepEnd({}, stop);
    if (!ended) fail(Code::cancelled, "the build was cancelled");
    if (!ended->error.empty()) fail(Code::internal, "{}", ended->error);
    if (ended->oomKilled && ended->exitCode != 0) {
      output(2, "estiba: a process of this step was killed: out of memory\n");
    }
    return ended->exitCode;
  } catch (const runtime::StageError& e) {
    throw Error(Code::invalid, startFailure(e));
  }
}

build::BuildResult Builds::run(const apitypes::BuildRequest& request, std::vector<Fd> fds, build::Progress& progress,
                               std::stop_token stop) {
  const build::BuildServices services{ctx_.images, cache_, runner_, ctx_.config.root, ctx_.initLayer()};
  auto result = build::build(services, request, std::move(fds), progress, std::move(stop));
  for (const auto& tag : result.tagged) ctx_.events.record("image", "tag", result.id, {{"name", tag}});
  return result;
}

std::vector<apitypes::BuildCache> Builds::cache() {
  std::vector<apitypes::BuildCache> out;
  for (const auto& entry : cache_.list()) {
    apitypes::BuildCache item;
    item.ID = entry.record.key.substr(0, 25);
    item.Type = "regular";
    item.Description = entry.record.text;
    item.Shared = entry.shared;
    item.Size = entry.size;
    item.CreatedAt = rfc3339Nano(entry.record.created);
    item.LastUsedAt = rfc3339Nano(entry.lastUsed);
    item.UsageCount = entry.uses;
    out.push_back(std::move(item));
  }
  return out;
}

apitypes::BuildCachePruneReport Builds::prune(bool all, const std::map<std::string, std::vector<std::string>>& filters,
                                              int64_t keepBytes) {
  std::optional<Time> unusedSince;
  for (const auto& [name, values] : filters) {
    if (name != "until" && name != "unused-for") fail(Code::invalid, "invalid filter '{}'", name);
    for (const auto& value : values) {
      const auto duration = parseDuration(value);
      if (!duration) fail(Code::invalid, "invalid duration {}", quoted(value));
      unusedSince = Time{now().ns - duration->count()};
    }
  }
  apitypes::BuildCachePruneReport report;
  std::vector<snapshot::LayerId> layers;
  for (const auto& entry : cache_.prune(all, unusedSince, keepBytes)) {
    if (!report.CachesDeleted) report.CachesDeleted.emplace();
    report.CachesDeleted->push_back(entry.record.key.substr(0, 25));
    layers.push_back(entry.record.layer);
  }
  for (const auto& layer : ctx_.snapshots.layers().collect(layers)) {
    report.SpaceReclaimed += static_cast<uint64_t>(std::max<int64_t>(layer.contentBytes, 0));
  }
  if (all && !unusedSince && keepBytes == 0) removeTree(ctx_.config.root + "/buildcache");
  return report;
}

}  // namespace estiba::engine
