#include "engine/recovery.h"

#include <sys/mount.h>
#include <unistd.h>

#include <exception>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "build/step_cache.h"
#include "engine/launcher.h"
#include "monitor/client.h"
#include "sys/file.h"
#include "sys/lease.h"

namespace estiba::engine {

namespace {

using container::Record;
using container::State;

constexpr std::chrono::seconds kMonitorEnds{5};
// Who is at something is done with it by then; who was killed a moment ago has let go of its locks.
constexpr std::chrono::milliseconds kEngineEnds{500};

class Recovery {
 public:
  Recovery(Context& context, Containers& containers, Lifecycle& lifecycle)
      : ctx_(context), containers_(containers), lifecycle_(lifecycle), launcher_(context) {}

  void run() {
    // Directories are listed before rows: whoever makes both makes the row of a container first, or holds its directory.
    const auto runs = listDir(ctx_.layout.runBase());
    const auto dirs = listDir(ctx_.config.root + "/containers");
    std::set<std::string> known;
    for (const Record& record : ctx_.records.list()) {
      known.insert(record.id);
      attempt([&] { settle(record.id); });
    }
    for (const auto& name : runs) {
      if (!known.contains(name)) attempt([&] { sweepRun(name); });
    }
    for (const auto& name : dirs) {
      if (!known.contains(name)) attempt([&] { sweepDir(ctx_.layout.containerDir(name)); });
    }
    attempt([&] { sweepWork(); });
    attempt([&] {
      ctx_.networks.recover([&](const std::string& id) { return ctx_.records.find(id) || exists(ctx_.layout.runDir(id)); });
    });
    attempt([&] { ctx_.snapshots.recover(); });
    attempt([&] { collectLayers(); });
    attempt([&] { ctx_.content.recover(); });
    attempt([&] { ctx_.volumes.recover(); });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  template <class F>
  void attempt(F&& what) {
    try {
      what();
    } catch (const std::exception& e) {
      log::warn("recovery: {}", e.what());
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void settle(const std::string& id) {
    lifecycle_.settle(id, kEngineEnds);
    const auto record = ctx_.records.find(id);
    if (!record) return;
    if (record->state == State::dead || (record->state == State::exited && record->body.host.AutoRemove)) {
      containers_.removeStopped(*record, record->body.host.AutoRemove);
    }
  }

  // Of a build step, or of a container that was removed half-way. Its engine holds the directory while it lives.
  void sweepRun(const std::string& name) {
    const std::string run = ctx_.layout.runDir(name);
    const Fd claim = claimDir(run);
    if (!claim || ctx_.records.find(name)) return;
    if (monitor::isHeld(run) && !monitor::Monitor::at(run).waitGone(kMonitorEnds)) return;
    launcher_.removeGroups(name);
    launcher_.release(name);
  }

  // Layers that were made for an image which never came to be. What the build cache has stays: it would go with them.
  void collectLayers() {
    std::set<snapshot::LayerId> cached;
    for (const auto& entry : build::StepCache(ctx_.pool).list()) cached.insert(entry.record.layer);
    std::vector<snapshot::LayerId> rest;
    for (const auto& layer : ctx_.snapshots.layers().list()) {
      if (!cached.contains(layer.id)) rest.push_back(layer.id);
    }
    ctx_.snapshots.layers().collect(rest);
    ctx_.content.collect();
  }

  static void sweepDir(const std::string& path) {
    const Fd claim = claimDir(path);
    if (claim) removeTree(path);
  }

  // What a build works in, and where older kernels mount a stack for a moment.
  void sweepWork() {
    const std::string tmp = ctx_.config.root + "/tmp";
    for (const auto& name : listDir(tmp)) sweepDir(tmp + "/" + name);
    for (const auto& name : listDir(ctx_.config.root)) {
      if (!name.starts_with("mount-") && !name.starts_with("init.")) continue;
      const std::string path = ctx_.config.root + "/" + name;
      const Fd claim = claimDir(path);
      if (!claim) continue;
      ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);  // nothing is mounted there, most often
      removeTree(path);
    }
  }

  Context& ctx_;
  Containers& containers_;
  Lifecycle& lifecycle_;
  Launcher launcher_;
  std::exception_ptr failure_;
};

}  // namespace

void recover(Context& context, Containers& containers, Lifecycle& lifecycle) {
  Recovery(context, containers, lifecycle).run();
}

}  // namespace estiba::engine
