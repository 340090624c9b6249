#include "runtime/init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "runtime/child.h"
#include "runtime/hooks.h"
#include "runtime/process_plan.h"
#include "sys/file.h"
#include "sys/ns.h"

namespace estiba::runtime {

namespace {

struct Joined {
  Fd fd;
  int flag = 0;
  std::string path;
};

struct InitPlan {
  uint64_t newNamespaces = 0;  ///< by the clone
  bool newCgroupNamespace = false;
  std::vector<Joined> joined;
  Fd pidNamespace;
  bool ownMounts = true;  ///< false where the mount namespace is joined: its root is ready
  bool newUsers = false, joinsUsers = false;
  std::string uidMap, gidMap;  ///< of the new user namespace
  bool newClocks = false;
  std::string clockOffsets;
  RootfsSources sources;  ///< where the child could not open them itself
  oci::Hooks hooks;
  oci::State state;
  RootfsPlan rootfs;
  ProcessPlan process;
  std::string hostname, domainname;
  int stdio[3] = {-1, -1, -1};
  int startSocket = -1;
  bool intoCgroup = false;
};

void planNamespaces(const oci::Linux& config, InitPlan& plan) {
  bool mounts = false;
  for (const auto& wanted : config.namespaces) {
    const NamespaceKind* kind = namespaceKind(wanted.type);
    if (kind == nullptr) fail(Code::invalid, "unknown namespace type '{}'", wanted.type);
    mounts = mounts || kind->type == "mount";
    const std::string path = wanted.path.value_or("");
    if (path.empty()) {
      if (kind->type == "cgroup") {
        plan.newCgroupNamespace = true;  // after it has joined its groups: they become the namespace's root
      } else if (kind->type == "time") {
        plan.newClocks = true;
      } else {
        plan.newNamespaces |= static_cast<uint64_t>(kind->flag);
      }
      continue;
    }
    Fd fd = openNamespace(path, *kind);
    if (kind->type == "pid") {
      plan.pidNamespace = std::move(fd);
    } else {
      if (kind->type == "mount") plan.ownMounts = false;
      if (kind->type == "user") plan.joinsUsers = true;
      plan.joined.push_back({std::move(fd), kind->flag, path});
    }
  }
  if (!mounts) fail(Code::invalid, "the spec has no mount namespace");
}

std::string mapText(const std::vector<oci::IdMapping>& mappings) {
  std::string out;
  for (const auto& m : mappings) out += fmt::format("{} {} {}\n", m.containerID, m.hostID, m.size);
  return out;
}

void planUsers(const oci::Linux& config, InitPlan& plan) {
  plan.newUsers = (plan.newNamespaces & CLONE_NEWUSER) != 0;
  if (plan.newUsers) {
    plan.uidMap = mapText(config.uidMappings);
    plan.gidMap = mapText(config.gidMappings);
    if (plan.uidMap.empty() || plan.gidMap.empty()) fail(Code::invalid, "a user namespace needs uid and gid mappings");
  } else if (!config.uidMappings.empty() && !plan.joinsUsers) {
    fail(Code::invalid, "id mappings need a user namespace");
  }
}

void planClocks(const oci::Linux& config, InitPlan& plan) {
  for (const auto& [clock, offset] : config.timeOffsets) {
    if (!plan.newClocks) fail(Code::invalid, "time offsets need a new time namespace");
    if (clock != "boottime" && clock != "monotonic") fail(Code::invalid, "unknown clock '{}'", clock);
    plan.clockOffsets += fmt::format("{} {} {}\n", clock, offset.secs, offset.nanosecs);
  }
}

bool hasNamespace(const oci::Linux& config, std::string_view type) {
  return std::any_of(config.namespaces.begin(), config.namespaces.end(),
                     [&](const oci::LinuxNamespace& ns) { return ns.type == type; });
}

InitPlan planInit(const CreateOptions& options) {
  const oci::RuntimeSpec& spec = *options.spec;
  if (!spec.process) fail(Code::invalid, "the spec has no process");
  if (!spec.linux_) fail(Code::invalid, "the spec has no linux section");
  const oci::Linux& config = *spec.linux_;
  if (config.intelRdt && !config.intelRdt->is_null()) fail(Code::not_implemented, "intelRdt is not supported");
  InitPlan plan;
  planNamespaces(config, plan);
  planUsers(config, plan);
  planClocks(config, plan);
  plan.hooks = spec.hooks.value_or(oci::Hooks{});
  plan.state.id = options.id;
  plan.state.bundle = options.bundle;
  if (!spec.annotations.empty()) plan.state.annotations = spec.annotations;
  if (plan.ownMounts) plan.rootfs = planRootfs(spec, options.bundle);
  plan.rootfs.bindDevices = plan.newUsers || plan.joinsUsers;
  plan.process = planProcess(*spec.process, config.seccomp ? &*config.seccomp : nullptr,
                             config.personality ? &*config.personality : nullptr, options.cacheDir);
  plan.process.keyring = "_ses." + options.id;
  plan.hostname = spec.hostname.value_or("");
  plan.domainname = spec.domainname.value_or("");
  if ((!plan.hostname.empty() || !plan.domainname.empty()) && !hasNamespace(config, "uts")) {
    fail(Code::invalid, "unable to set hostname without a private UTS namespace");
  }
  std::copy(std::begin(options.stdio), std::end(options.stdio), std::begin(plan.stdio));
  plan.startSocket = options.startSocket;
  return plan;
}

// The child's half. Runs in a copy of the parent's memory; leaves by execve or _exit only.
class InitChild {
 public:
  InitChild(InitPlan& plan, const CgroupSet& cgroup, int channel) : plan_(plan), cgroup_(cgroup), fd_(channel) {}

  [[noreturn]] void run() noexcept {
    try {
      setUp();
      becomeProcess(plan_.process, channel_, [this] { waitForStart(); });
    } catch (const ChildFailure& e) {
      report(makeFailure(e.stage(), e.err(), e.detail(), e.what()));
    } catch (const SysError& e) {
      report(makeFailure(stage_, e.err(), "", e.what()));
    } catch (const std::exception& e) {
      report(makeFailure(stage_, 0, "", e.what()));
    }
    ::_exit(1);
  }

 private:
  void report(const Report& what) noexcept {
    try {
      (starter_ ? starter_ : channel_).send(what);
    } catch (const std::exception&) {
      // nobody listens any more
    }
  }

  void setUp() {
    becomeUndumpable();
    resetSignals();
    for (const auto& joined : plan_.joined) enterNamespaces(joined.fd.get(), joined.flag, joined.path);
    dropDescriptors();
    ::setsid();
    ::umask(0);
    if (plan_.newUsers || plan_.joinsUsers) {
      await();       // the mappings
      joinCgroup();  // while we still are the host's root, who owns those files
      becomeNamespaceRoot();
      becomeUndumpable();  // a change of user may have undone it
    }
    if (plan_.ownMounts) {
      buildRoot();
    } else {
      joinCgroup();
      addHome(plan_.process.process.env, "/");
    }
    stage_ = "hostname";
    const auto& [host, domain] = std::tie(plan_.hostname, plan_.domainname);
    if (!host.empty()) sys([&] { return ::sethostname(host.data(), host.size()); }, "sethostname");
    if (!domain.empty()) sys([&] { return ::setdomainname(domain.data(), domain.size()); }, "setdomainname");
  }

  void dropDescriptors() {
    std::vector<int> sources = plan_.sources.release();
    std::vector<int*> kept = {&fd_, &plan_.startSocket};
    for (int& fd : sources) kept.push_back(&fd);
    keepOnly(plan_.stdio, kept);
    channel_ = Channel(Fd(fd_));
    plan_.sources.adopt(sources);
  }

  void buildRoot() {
    oci::Process& process = plan_.process.process;
    stage_ = "mounts";
    if (!plan_.sources.root) plan_.sources = RootfsSources::open(plan_.rootfs);
    RootfsBuilder builder(plan_.rootfs, std::move(plan_.sources), cgroup_, [&] { joinCgroup(); });
    builder.mountAll();
    stage_ = "devices";
    builder.makeDevices();
    stage_ = "console";
    if (plan_.rootfs.terminal) useConsole(builder.makeConsole(process.consoleSize), channel_);
    joinCgroup();
    stage_ = "hooks";
    runHooks("createContainer", plan_.hooks.createContainer, stateNow("creating"));
    stage_ = "masks";
    builder.finish();
    addHome(process.env, builder.home(process.user.uid));
    stage_ = "pivot";
    builder.pivot();
  }

  void await() {
    if (const auto go = channel_.receive(); !go || go->kind != Report::proceed) ::_exit(1);
  }

  // The parent makes the groups meanwhile, and says when they are there. Once.
  void joinCgroup() {
    if (std::exchange(joined_, true)) return;
    const char* const before = stage_;
    stage_ = "cgroup";
    await();
    cgroup_.attachSelf(/*unifiedToo=*/!plan_.intoCgroup);
    if (plan_.newCgroupNamespace) sys([&] { return ::unshare(CLONE_NEWCGROUP); }, "make a cgroup namespace");
    stage_ = before;
  }

  oci::State stateNow(const char* status) const {
    oci::State state = plan_.state;
    state.status = status;
    state.pid = ::getpid();
    return state;
  }

  void waitForStart() {
    channel_.send(makeReport(Report::ready));
    if (plan_.startSocket >= 0) {
      channel_.reset();  // the creator is done with us
      const int fd =
          sys([&] { return ::accept4(plan_.startSocket, nullptr, nullptr, SOCK_CLOEXEC); }, "wait for the start");
      starter_ = Channel(Fd(fd));
    }
    const auto go = (starter_ ? starter_ : channel_).receive();
    if (!go || go->kind != Report::proceed) ::_exit(1);
    stage_ = "hooks";
    runHooks("startContainer", plan_.hooks.startContainer, stateNow("created"));
  }

  InitPlan& plan_;
  const CgroupSet& cgroup_;
  int fd_;
  Channel channel_, starter_;
  bool joined_ = false;
  const char* stage_ = "namespaces";
};

// Pipes and files that the container's user shall be able to open again; the child may not change what is the host's.
void giveStdioToMapped(const InitPlan& plan) {
  const oci::User& user = plan.process.process.user;
  const auto uid = mappedId(plan.uidMap, user.uid);
  const auto gid = mappedId(plan.gidMap, user.gid);
  if (!uid || !gid) fail(Code::invalid, "user {}:{} is not mapped", user.uid, user.gid);
  for (const int fd : plan.stdio) {
    struct stat st {};
    if (::fstat(fd, &st) == 0 && !S_ISCHR(st.st_mode)) (void)!::fchown(fd, *uid, *gid);
  }
}

void writeMaps(pid_t pid, const InitPlan& plan) {
  writeFile(fmt::format("/proc/{}/uid_map", pid), plan.uidMap);
  writeFile(fmt::format("/proc/{}/gid_map", pid), plan.gidMap);
}

[[noreturn]] void throwPlanFailure(const char* stage, const Error& e) {
  const auto* system = dynamic_cast<const SysError*>(&e);
  throw StageError(stage, system != nullptr ? system->err() : 0, "", e.what());
}

}  // namespace

struct Init::Impl {
  CgroupSet cgroup;  // goes last: its groups must be empty
  Channel channel;
  pid_t pid = 0;
  Fd pidFd, console;
  bool terminal = false, started = false, ready = false, released = false, reaped = false;
  std::vector<std::string> warnings;
  oci::Hooks hooks;
  oci::State state;

  // It may have failed already: then its report waits in the channel.
  void proceed() {
    try {
      channel.send(makeReport(Report::proceed));
    } catch (const SysError& e) {
      if (e.err() != EPIPE) throw;
    }
  }

  void await(uint32_t wanted) {
    try {
      awaitReport(channel, pid, wanted, warnings, console);
    } catch (const StageError&) {
      reaped = true;
      throw;
    }
    if (wanted == Report::ready) ready = true;
  }

  void killAndReap() noexcept {
    if (pid <= 0 || started || released || reaped) return;
    const int e = errno;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) == -1 && errno == EINTR) {
    }
    reaped = true;
    errno = e;
  }
  ~Impl() { killAndReap(); }
};

Init::Init(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Init::Init(Init&&) noexcept = default;
Init& Init::operator=(Init&&) noexcept = default;
Init::~Init() = default;

Init Init::create(const CreateOptions& options) {
  const char* stage = "plan";
  try {
    InitPlan plan = planInit(options);
    Init init(std::make_unique<Impl>());
    Impl& impl = *init.impl_;
    impl.warnings = plan.process.warnings;
    impl.terminal = plan.rootfs.terminal;
    const Fd null = openFile("/dev/null", O_RDWR);
    for (int& fd : plan.stdio) {
      if (fd < 0 || plan.rootfs.terminal) fd = null.get();
    }
    stage = "mounts";
    if (plan.newUsers || plan.joinsUsers) plan.sources = RootfsSources::open(plan.rootfs);
    if (plan.newUsers) giveStdioToMapped(plan);
    stage = "cgroup";
    if (!options.cgroupPath.empty()) impl.cgroup = CgroupSet::prepare(options.cgroupPath);
    stage = "clone";
    auto [ours, theirs] = Channel::pair();
    {
      ChildNamespace place;
      if (plan.pidNamespace) place = ChildNamespace(plan.pidNamespace.get(), "of the spec");
      ChildClocks clocks;
      if (plan.newClocks) clocks = ChildClocks(plan.clockOffsets);
      plan.intoCgroup = impl.cgroup.unifiedFd() >= 0;
      Cloned child = cloneProcess(plan.newNamespaces, impl.cgroup.unifiedFd());
      if (child.pid == 0) InitChild(plan, impl.cgroup, theirs.fd()).run();
      impl.pid = child.pid;
      impl.pidFd = std::move(child.pidFd);
    }
    theirs.reset();
    impl.channel = std::move(ours);
    stage = "namespaces";
    if (plan.newUsers) writeMaps(impl.pid, plan);
    if (plan.newUsers || plan.joinsUsers) impl.proceed();
    stage = "cgroup";
    const auto& config = *options.spec->linux_;
    if (!impl.cgroup.empty()) {
      impl.cgroup.make(config.resources ? *config.resources : oci::LinuxResources{}, impl.warnings);
    }
    if (plan.process.process.oomScoreAdj) setOomScore(impl.pid, *plan.process.process.oomScoreAdj, impl.warnings);
    stage = "hooks";
    impl.hooks = plan.hooks;
    impl.state = plan.state;
    impl.state.pid = impl.pid;
    impl.state.status = "creating";
    runHooks("prestart", plan.hooks.prestart, impl.state);
    runHooks("createRuntime", plan.hooks.createRuntime, impl.state);
    impl.proceed();
    return init;
  } catch (const StageError&) {
    throw;
  } catch (const ChildFailure& e) {
    throw StageError(e.stage(), e.err(), e.detail(), e.what());
  } catch (const Error& e) {
    throwPlanFailure(stage, e);
  }
}

pid_t Init::pid() const noexcept {
  return impl_->pid;
}

int Init::pidFd() const noexcept {
  return impl_->pidFd.get();
}

Fd Init::takeConsole() {
  if (impl_->terminal && !impl_->console && !impl_->ready) impl_->await(Report::console);
  return std::move(impl_->console);
}

void Init::waitReady() {
  if (!impl_->ready) impl_->await(Report::ready);
}

void Init::start() {
  waitReady();
  impl_->channel.send(makeReport(Report::proceed));
  impl_->await(0);
  impl_->started = true;
  impl_->channel.reset();
  impl_->cgroup.keep();
  impl_->state.status = "running";
  try {
    runHooks("poststart", impl_->hooks.poststart, impl_->state);
  } catch (const Error& e) {
    impl_->warnings.emplace_back(e.what());  // the container runs: it is told, nothing else (runtime.md, "Lifecycle")
  }
}

void Init::release() noexcept {
  impl_->released = true;
  impl_->cgroup.keep();
}

CgroupSet& Init::cgroup() noexcept {
  return impl_->cgroup;
}

const std::vector<std::string>& Init::warnings() const noexcept {
  return impl_->warnings;
}

void startOver(int socket) {
  const Channel channel{Fd(sys([&] { return ::fcntl(socket, F_DUPFD_CLOEXEC, 0); }, "duplicate the socket"))};
  channel.send(makeReport(Report::proceed));
  if (const auto report = channel.receive(); report && report->kind == Report::failed) throwFailure(*report);
}

}  // namespace estiba::runtime
