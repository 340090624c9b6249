#include "engine/builds.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <set>

#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/stage_error.h"
#include "sys/file.h"
#include "sys/lease.h"
#include "sys/lock.h"

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

oci::Mount bindOf(const build::StepMount& m, std::string source, std::vector<std::string> more) {
  oci::Mount out;
  out.destination = m.target;
  out.type = "bind";
  out.source = std::move(source);
  out.options = {"rbind", "rprivate", m.readonly ? "rro" : "rw"};
  out.options.insert(out.options.end(), more.begin(), more.end());
  return out;
}

oci::Mount tmpfsOf(const build::StepMount& m, const build::TmpfsMount& tmpfs) {
  oci::Mount out;
  out.destination = m.target;
  out.type = "tmpfs";
  out.source = "tmpfs";
  out.options = {"nosuid"};
  if (m.readonly) out.options.emplace_back("ro");
  if (tmpfs.size > 0) out.options.push_back(fmt::format("size={}", tmpfs.size));
  return out;
}

// The file is made in the run directory, which nobody but us can enter.
std::string keptFile(const build::FileMount& file, const std::string& path) {
  writeFile(path, file.content, 0600);
  sys([&] { return ::chown(path.c_str(), file.uid, file.gid); }, "chown '{}'", path);
  sys([&] { return ::chmod(path.c_str(), file.mode); }, "chmod '{}'", path);
  return path;
}

monitor::TreeConfig treeOf(const build::TreeMount& m, bool readonly) {
  monitor::TreeConfig out;
  out.stack.lowers = m.stack.lowers;
  out.stack.upper = m.stack.upper;
  out.stack.work = m.stack.work;
  out.stack.volatile_ = !m.stack.upper.empty();
  out.stack.bind = m.directory;
  out.stack.readonly = readonly;
  out.source = m.source;
  return out;
}

void addMounts(LaunchPlan& plan, const std::vector<build::StepMount>& mounts, const std::string& run) {
  for (const auto& m : mounts) {
    auto& out = plan.spec.extraMounts;
    if (const auto* host = std::get_if<build::HostMount>(&m.what)) {
      out.push_back(bindOf(m, host->path, {}));
    } else if (const auto* file = std::get_if<build::FileMount>(&m.what)) {
      out.push_back(bindOf(m, keptFile(*file, fmt::format("{}/file-{}", run, out.size())), {"nosuid", "nodev"}));
    } else if (const auto* tree = std::get_if<build::TreeMount>(&m.what)) {
      auto& trees = plan.monitor.trees;
      out.push_back(bindOf(m, fmt::format("{}/{}/{}", run, monitor::kTreesDir, trees.size()), {}));
      trees.push_back(treeOf(*tree, m.readonly));
    } else if (const auto* tmpfs = std::get_if<build::TmpfsMount>(&m.what)) {
      out.push_back(tmpfsOf(m, *tmpfs));
    }
  }
}

// Those that no step is using. Their locks stay: somebody may be waiting for one.
void removeCacheMounts(const std::string& dir) {
  for (const auto& name : listDir(dir)) {
    if (name.ends_with(".lock")) continue;
    if (FileLock::tryAcquire(dir + "/" + name + ".lock", FileLock::Kind::exclusive)) removeTree(dir + "/" + name);
  }
}

}  // namespace

int StepProcesses::run(const build::StepProcess& process, const build::StepOutput& output, std::stop_token stop) {
  LaunchPlan plan;
  plan.networkMode = process.network.empty() ? "default" : process.network;
  const std::string run = ctx_.layout.runDir(process.id);
  Fd held;  // a step has no row: by this lock recovery knows that somebody is at it
  while (!held) {
    makeDirs(run, 0700);
    held = openLockedDir(run);
  }
  plan.filesDir = run;
  struct Release {
    Context& ctx;
    Launcher& launcher;
    const std::string& id;
    ~Release() {
      ctx.tidy("build step " + id.substr(0, 12), [&] { launcher.release(id); });
    }
  } release{ctx_, launcher_, process.id};

  container::SpecInput& in = plan.spec;
  in.id = process.id;
  in.hostname = process.hostname;
  in.host = process.limits;
  in.host.ExtraHosts = process.extraHosts;
  in.host.Privileged = process.insecure;
  // The step's own root decides who USER is.
  const auto mountRoot = [&] { return ctx_.snapshots.mountReadOnly(process.root.lowers); };
  in.user = image::resolveUser(image::readAccounts(process.root.lowers, mountRoot), process.user, {});
  in.args = process.args;
  in.env = container::completeEnv(process.env, process.hostname, false, in.user.home);
  std::erase_if(in.env, [](const auto& item) { return item.starts_with("HOSTNAME="); });
  in.cwd = process.cwd;
  addMounts(plan, process.mounts, run);

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
    killPoint("build.step.started");
    relay(std::move(outRead), std::move(errRead), output, wake.get());
    const auto ended = monitor.stepEnd({}, stop);
    killPoint("build.step.ended");
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
  if (all && !unusedSince && keepBytes == 0) removeCacheMounts(ctx_.config.root + "/buildcache");
  return report;
}

}  // namespace estiba::engine
