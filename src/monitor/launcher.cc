#include "monitor/launcher.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "monitor/rootfs.h"
#include "runtime/init.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace estiba::monitor {

namespace {

oci::RuntimeSpec loadSpec(const std::string& bundle) {
  const std::string path = bundle + "/" + kBundleFile;
  return parseJsonAs<oci::RuntimeSpec>(readFile(path), path);
}

bool hasOwnPids(const oci::RuntimeSpec& spec) {
  if (!spec.linux_) return false;
  const auto& all = spec.linux_->namespaces;
  return std::any_of(all.begin(), all.end(), [](const auto& ns) { return ns.type == "pid" && !ns.path; });
}

// Whether the container may mount something that the host shall see.
bool sharesMounts(const oci::RuntimeSpec& spec) {
  const auto shared = [](const std::string& option) { return option == "shared" || option == "rshared"; };
  return std::any_of(spec.mounts.begin(), spec.mounts.end(), [&](const oci::Mount& mount) {
    return std::any_of(mount.options.begin(), mount.options.end(), shared);
  });
}

// Nothing of the configuration is kept in memory: an exec, in its child process, reads it again.
class RuntimeLauncher : public Launcher {
 public:
  RuntimeLauncher(const MonitorConfig& config, std::string bundle)
      : rootfs_(config.rootfs),
        trees_(config.trees),
        id_(config.id),
        bundle_(std::move(bundle)),
        cgroupPath_(config.cgroupPath),
        cacheDir_(config.cacheDir) {}

  pid_t create(const std::array<int, 3>& stdio) override {
    const oci::RuntimeSpec spec = loadSpec(bundle_);
    const std::string target = bundle_ + "/" + kRootfsDir;
    makeDir(target);
    sharesMounts(spec) ? enterPeerMounts(target) : enterPrivateMounts();
    mountRootfs(rootfs_, target);
    mount_ = MountPoint(target);
    treeMounts_ = mountTrees(trees_, bundle_);
    slowUnmount_ = rootfs_.bind.empty() && !rootfs_.upper.empty() && !rootfs_.volatile_;
    rootfs_ = {};
    trees_.clear();
    ownPids_ = hasOwnPids(spec);
    runtime::CreateOptions options;
    options.id = id_;
    options.bundle = bundle_;
    options.spec = &spec;
    std::copy(stdio.begin(), stdio.end(), options.stdio);
    options.cgroupPath = cgroupPath_;
    options.cacheDir = cacheDir_;
    init_.emplace(runtime::Init::create(options));
    pid_ = init_->pid();
    return pid_;
  }

  Fd console() override { return init_->takeConsole(); }

  std::vector<std::string> start() override {
    startTime_ = processStartTime(pid_).value_or(0);
    init_->start();
    return init_->warnings();
  }

  runtime::ExecProcess exec(const oci::Process& process, const std::array<int, 3>& stdio) override {
    const oci::RuntimeSpec spec = loadSpec(bundle_);
    runtime::ExecOptions options;
    std::copy(stdio.begin(), stdio.end(), options.stdio);
    options.cgroupPath = cgroupPath_;
    options.cacheDir = cacheDir_;
    if (spec.linux_ && spec.linux_->seccomp) options.seccomp = &*spec.linux_->seccomp;
    if (spec.linux_ && spec.linux_->personality) options.personality = &*spec.linux_->personality;
    return runtime::execIn(pid_, startTime_, process, options);
  }

  uint64_t oomKills() override { return init_ ? init_->cgroup().oomKills() : 0; }
  void killRest() override {
    if (init_ && !ownPids_) init_->cgroup().killAll();
  }
  void freeze() override { init_->cgroup().freeze(); }
  void thaw() override { init_->cgroup().thaw(); }
  Fd cloneRootfs() override { return cloneTree(bundle_ + "/" + kRootfsDir, true); }
  bool unmountIsSlow() const override { return slowUnmount_; }
  void unmountRootfs() override {
    treeMounts_.clear();
    mount_ = MountPoint();
  }
  void removeCgroup() override {
    if (!init_) return;
    try {
      init_->cgroup().remove();
    } catch (const Error&) {  // a process that came late
      init_->cgroup().killAll();
      init_->cgroup().remove();
    }
  }

 private:
  RootfsConfig rootfs_;
  std::vector<TreeConfig> trees_;
  std::string id_, bundle_, cgroupPath_, cacheDir_;
  MountPoint mount_;
  std::vector<MountPoint> treeMounts_;
  std::optional<runtime::Init> init_;  // after mount_: its processes go first
  pid_t pid_ = 0;
  uint64_t startTime_ = 0;
  bool ownPids_ = false, slowUnmount_ = false;
};

}  // namespace

std::unique_ptr<Launcher> makeRuntimeLauncher(const MonitorConfig& config, const std::string& bundle) {
  return std::make_unique<RuntimeLauncher>(config, bundle);
}

}  // namespace estiba::monitor
