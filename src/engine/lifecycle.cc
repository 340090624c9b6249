#include "engine/lifecycle.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#include <thread>

#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/merge.h"
#include "engine/mounts.h"
#include "sys/file.h"
#include "sys/lease.h"
#include "sys/process.h"

namespace estiba::engine {

namespace {

using container::Record;
using container::State;
using std::chrono::milliseconds;

constexpr milliseconds kDefaultStop{10'000};

std::map<std::string, std::string> attributesOf(const Record& record) {
  auto attributes = record.body.config.Labels;
  attributes["image"] = record.body.config.Image;
  attributes["name"] = record.name;
  return attributes;
}

// Readable whenever the row of a container has changed (Context::poke), or its directory went.
Fd watchContainer(const std::string& dir) {
  Fd fd(sys([] { return ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }, "start watching containers"));
  if (::inotify_add_watch(fd.get(), dir.c_str(), IN_CLOSE_WRITE | IN_DELETE_SELF) < 0 && errno != ENOENT) {
    throw SysError(errno, fmt::format("watch '{}'", dir));
  }
  return fd;
}

void drain(int fd) {
  char buffer[4096];
  while (::read(fd, buffer, sizeof buffer) > 0) {}
}

}  // namespace

int signalNumber(const std::string& name) {
  std::string bare = toUpper(name);
  if (bare.starts_with("SIG")) bare = bare.substr(3);
  if (const auto number = parseUint(bare)) {
    if (*number >= 1 && *number <= 64) return static_cast<int>(*number);
  }
  static constexpr std::pair<std::string_view, int> kNames[] = {
      {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},     {"ILL", SIGILL},   {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},
      {"IOT", SIGIOT},   {"BUS", SIGBUS},   {"FPE", SIGFPE},       {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
      {"USR2", SIGUSR2}, {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},     {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT},
      {"CHLD", SIGCHLD}, {"CLD", SIGCHLD},  {"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
      {"TTOU", SIGTTOU}, {"URG", SIGURG},   {"XCPU", SIGXCPU},     {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
      {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},       {"POLL", SIGPOLL}, {"PWR", SIGPWR},   {"SYS", SIGSYS},
      {"RTMIN", 34},     {"RTMAX", 64}};
  for (const auto& [known, number] : kNames) {
    if (known == bare) return number;
  }
  for (const auto& [base, from] : {std::pair{std::string("RTMIN+"), 34}, std::pair{std::string("RTMAX-"), 64}}) {
    if (!bare.starts_with(base)) continue;
    if (const auto offset = parseUint(bare.substr(base.size())); offset && *offset <= 30) {
      return from == 34 ? 34 + static_cast<int>(*offset) : 64 - static_cast<int>(*offset);
    }
  }
  fail(Code::invalid, "invalid signal: {}", name);
}

// Attach and wait may be asked for before a start: they park here, and the start lets them in before the process runs.
struct Lifecycle::Waiters {
  struct Pending {
    Fd started{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};   // the monitor can be asked now
    Fd attached{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};  // and this one has
    bool mustAttach = false;
  };
  std::mutex mutex;
  std::multimap<std::string, std::shared_ptr<Pending>> pending;

  std::shared_ptr<Pending> add(const std::string& id, bool mustAttach) {
    auto p = std::make_shared<Pending>();
    p->mustAttach = mustAttach;
    std::lock_guard lock(mutex);
    pending.emplace(id, p);
    return p;
  }
  void remove(const std::string& id, const std::shared_ptr<Pending>& p) {
    std::lock_guard lock(mutex);
    for (auto [it, end] = pending.equal_range(id); it != end; ++it) {
      if (it->second == p) {
        pending.erase(it);
        return;
      }
    }
  }
  // Wakes all of `id`; returns when those that must not miss a byte are attached.
  void admit(const std::string& id) {
    std::vector<std::shared_ptr<Pending>> all;
    {
      std::lock_guard lock(mutex);
      for (auto [it, end] = pending.equal_range(id); it != end; ++it) all.push_back(it->second);
    }
    for (const auto& p : all) ::eventfd_write(p->started.get(), 1);
    for (const auto& p : all) {
      if (!p->mustAttach) continue;
      pollfd poll{p->attached.get(), POLLIN, 0};
      ::poll(&poll, 1, 5'000);
    }
  }
};

Lifecycle::Lifecycle(Context& context, Containers& containers)
    : ctx_(context), containers_(containers), launcher_(context), waiters_(new Waiters, [](Waiters* w) { delete w; }) {
  containers_.onLook([this](const Record& record) {
    if (isSettled(record)) return false;
    settle(record.id);
    return true;
  });
}

Record Lifecycle::current(const std::string& ref) {
  const Record record = ctx_.records.get(ref);
  if (isSettled(record)) return record;
  settle(record.id);
  return ctx_.records.get(record.id);
}

void Lifecycle::launch(const Record& record) {
  const auto& config = record.body.config;
  const auto& host = record.body.host;
  LaunchPlan plan;
  plan.networkMode = host.NetworkMode;
  plan.filesDir = ctx_.layout.containerDir(record.id);
  const auto mounts = ctx_.snapshots.mounts(record.snapshot);
  container::SpecInput& in = plan.spec;
  const auto mountImage = [&] {
    const auto layers = ctx_.snapshots.layersOf(record.snapshot);
    return layers.empty() ? openFile(mounts.upper, O_PATH | O_DIRECTORY) : ctx_.snapshots.mountReadOnly(layers);
  };
  {
    // What an earlier run wrote to /etc/passwd counts at the next start.
    std::vector<std::string> stack = {mounts.upper};
    stack.insert(stack.end(), mounts.lowers.begin(), mounts.lowers.end());
    const std::vector<std::string> groups = host.GroupAdd ? *host.GroupAdd : std::vector<std::string>{};
    in.user = image::resolveUser(image::readAccounts(stack, mountImage), config.User, groups);
  }
  prepareMounts(ctx_, record, mountImage);
  in.id = record.id;
  in.hostname = config.Hostname;
  in.domainname = config.Domainname;
  in.args = {record.body.path};
  in.args.insert(in.args.end(), record.body.args.begin(), record.body.args.end());
  in.env = container::completeEnv(config.Env, config.Hostname, config.Tty, in.user.home);
  in.cwd = config.WorkingDir.empty() ? "/" : config.WorkingDir;
  in.tty = config.Tty;
  in.consoleSize = host.ConsoleSize;
  in.host = host;
  in.mounts = record.body.mounts;
  auto& m = plan.monitor;
  m.rootfs.lowers = mounts.lowers;
  m.rootfs.lowers.insert(m.rootfs.lowers.begin(), ctx_.initLayer());
  m.rootfs.upper = mounts.upper;
  m.rootfs.work = mounts.work;
  m.rootfs.volatile_ = host.AutoRemove;  // nothing of it is wanted after a crash
  m.stdinOpen = config.OpenStdin;
  m.stdinOnce = config.StdinOnce;
  m.log.driver = host.LogConfig.Type;
  m.log.path = ctx_.layout.logPath(record.id);
  for (const auto& [key, value] : host.LogConfig.Config) {
    if (key == "max-size") {
      const auto size = parseRamSize(value);
      if (!size) fail(Code::invalid, "invalid value for max-size: {}", value);
      m.log.maxSize = *size;
    } else if (key == "max-file") {
      const auto count = parseUint(value);
      if (!count || *count == 0) fail(Code::invalid, "invalid value for max-file: {}", value);
      m.log.maxFile = static_cast<int>(*count);
    } else {
      fail(Code::invalid, "unknown log opt '{}' for json-file log driver", key);
    }
  }
  m.stopSignal = signalNumber(config.StopSignal.value_or("SIGTERM"));
  m.reap = {"/proc/self/exe", "reap", "--root", ctx_.config.root, "--exec-root", ctx_.config.execRoot, record.id};

  auto [monitor, created] = launcher_.prepare(std::move(plan));
  waiters_->admit(record.id);
  const auto started = monitor.start();
  killPoint("start.started");
  for (const auto& warning : started.warnings) log::warn("container {}: {}", record.name, warning);
  ctx_.records.setRunning(record.id, created.pid, created.startTime, now());
  killPoint("start.running");
}

Changed Lifecycle::start(const std::string& ref) {
  Record record = current(ref);
  if (record.state == State::paused) {
    fail(Code::conflict, "cannot start a paused container, try unpause instead");
  }
  if (record.isUp()) return Changed::no;
  if (record.state == State::removing || record.state == State::dead) {
    fail(Code::conflict, "container is marked for removal and cannot be started");
  }
  const State before = record.state;
  const Fd held = openLockedDir(ctx_.layout.containerDir(record.id));  // recovery leaves it alone meanwhile
  if (before == State::starting || !ctx_.records.move(record.id, before, State::starting)) {
    return Changed::no;  // another engine is at it
  }
  killPoint("start.moved");
  try {
    removeTree(ctx_.layout.runDir(record.id));  // of an earlier run
    launch(record);
  } catch (const std::exception& e) {
    const int code = startFailureCode(e);
    const std::string message = startFailure(e);
    const std::string run = ctx_.layout.runDir(record.id);
    ctx_.tidy("container " + record.name, [&] {  // what was wrong first is what matters
      if (monitor::isHeld(run)) monitor::Monitor::at(run).waitGone();
      launcher_.release(record.id);
      ctx_.records.setExited(record.id, before == State::created ? State::created : State::exited, code, false, message,
                             now());
      ctx_.poke(record.id);
      if (record.body.host.AutoRemove) containers_.removeStopped(refresh(record.id), true);
    });
    const auto* error = dynamic_cast<const Error*>(&e);
    throw Error(code == 126 || code == 127 ? Code::invalid : error != nullptr ? error->code() : Code::internal, message);
  }
  ctx_.events.record("container", "start", record.id, attributesOf(record));
  ctx_.poke(record.id);
  // It may have ended before its row said that it runs: then nobody else has reaped it.
  if (monitor::readExit(ctx_.layout.runDir(record.id))) tryReap(record.id);
  return Changed::yes;
}

void Lifecycle::finished(const Record& record) {
  const auto ended = monitor::readExit(ctx_.layout.runDir(record.id));
  const int code = ended ? ended->exitCode : 137;  // its monitor was killed, and the container with it
  const Time at = ended ? parseRfc3339(ended->finishedAt).value_or(now()) : now();
  const bool won = ctx_.records.setExited(record.id, State::exited, code, ended && ended->oomKilled,
                                          ended ? ended->error : "the container's monitor was killed", at);
  if (!won) return;
  killPoint("reap.exited");
  auto attributes = attributesOf(record);
  attributes["exitCode"] = std::to_string(code);
  attributes["execDuration"] = std::to_string((at.ns - record.startedAt.ns) / 1'000'000'000);
  if (!ended) launcher_.removeGroups(record.id);
  ctx_.networks.release(record.id);
  ctx_.events.record("container", "die", record.id, attributes);
}

void Lifecycle::reap(const std::string& id) {
  auto record = ctx_.records.find(id);
  if (!record) return;
  if (record->isUp()) finished(*record);  // one that is starting belongs to the engine that starts it
  record = ctx_.records.find(id);
  if (!record || record->state != State::exited) return;
  ctx_.poke(id);
  if (!record->body.host.AutoRemove) return;
  try {
    containers_.removeStopped(*record, true);
  } catch (const Error& e) {
    if (e.code() != Code::conflict) throw;  // who waits, who started it and the monitor's own reaper may all come here
  }
}

// A full disk may keep the row from being written: the exit code is known all the same, and the next command recovers.
bool Lifecycle::tryReap(const std::string& id) noexcept {
  return ctx_.tidy("container " + id.substr(0, 12), [&] {
    const auto work = ctx_.presence.join();
    reap(id);
  });
}

apitypes::WaitResponse Lifecycle::wait(const std::string& ref, WaitFor condition, int goneFd,
                                       const std::function<void()>& registered) {
  Record record = ctx_.records.get(ref);
  const std::string id = record.id;
  const Time seen = record.finishedAt;
  const bool wasUp = record.isUp();
  const auto pending = waiters_->add(id, false);
  const Fd changed = watchContainer(ctx_.layout.containerDir(id));
  registered();
  struct Leave {
    Waiters& waiters;
    const std::string& id;
    const std::shared_ptr<Waiters::Pending>& pending;
    ~Leave() { waiters.remove(id, pending); }
  } leave{*waiters_, id, pending};
  apitypes::WaitResponse out;
  const auto tell = [&](const Record& r) {
    out.StatusCode = r.exitCode;
    if (!r.error.empty()) out.Error = apitypes::WaitError{r.error};
  };
  bool started = false;
  for (;;) {
    const auto current = ctx_.records.find(id);
    if (!current) {
      return out;  // removed; the last code that was seen
    }
    tell(*current);
    const bool up = current->isUp() || current->state == State::starting;
    if (condition == WaitFor::not_running && !up) return out;
    const bool endedSince = !up && (wasUp || current->finishedAt > seen);
    if (condition == WaitFor::next_exit && endedSince) return out;
    if (up && (started || current->isUp())) {
      try {
        monitor::WaitOptions options;
        std::optional<bool> reaped;
        options.reap = [&](const monitor::ExitRecord& exited) {
          out.StatusCode = exited.exitCode;
          reaped = tryReap(id);
        };
        // The client may leave while we wait: its socket is watched by a thread only where somebody may hang up.
        std::stop_source stop;
        std::jthread watcher;
        if (goneFd >= 0) {
          watcher = std::jthread([&stop, goneFd](std::stop_token ended) {
            const Fd wake(::eventfd(0, EFD_CLOEXEC));
            std::stop_callback onEnd(ended, [&] { ::eventfd_write(wake.get(), 1); });
            pollfd polls[] = {{goneFd, POLLRDHUP, 0}, {wake.get(), POLLIN, 0}};
            while (::poll(polls, 2, -1) < 0 && errno == EINTR) {}
            if (polls[0].revents != 0 && polls[1].revents == 0) stop.request_stop();
          });
        }
        options.stop = stop.get_token();
        const auto exited = monitor::Monitor::at(ctx_.layout.runDir(id)).wait(options);
        if (!exited) fail(Code::cancelled, "the client has gone");
        out.StatusCode = exited->exitCode;
        if (!reaped) reaped = tryReap(id);  // it had ended already, and its own reaper may not be there yet
        if (condition != WaitFor::removed || !*reaped || !ctx_.records.find(id)) return out;
        continue;
      } catch (const Error& e) {
        if (e.code() != Code::unavailable && e.code() != Code::not_found) throw;
        started = false;  // its monitor has ended already: the row will tell, or does
      }
    }
    pollfd polls[] = {{changed.get(), POLLIN, 0}, {pending->started.get(), POLLIN, 0}, {goneFd, POLLRDHUP, 0}};
    sys([&] { return ::poll(polls, 3, 1'000); }, "wait for container {}", id);
    if (goneFd >= 0 && polls[2].revents != 0) fail(Code::cancelled, "the client has gone");
    if (polls[1].revents != 0) {
      started = true;
      drain(pending->started.get());
    }
    drain(changed.get());
    if (polls[0].revents == 0 && polls[1].revents == 0 && up && !monitor::isHeld(ctx_.layout.runDir(id)) &&
        current->isUp() && !tryReap(id)) {  // a monitor that was killed tells nobody
      return out;
    }
  }
}

Fd Lifecycle::attach(const std::string& ref, const AttachOptions& options, int goneFd,
                     const std::function<void()>& registered) {
  const Record record = ctx_.records.get(ref);
  if (record.state == State::paused) fail(Code::conflict, "container {} is paused, unpause the container before attach", ref);
  monitor::AttachOptions asked;
  asked.in = options.stdinOpen;
  asked.out = options.stdoutOpen;
  asked.err = options.stderrOpen;
  asked.logs = options.logs;
  asked.detachKeys = options.detachKeys;
  const std::string run = ctx_.layout.runDir(record.id);
  if (record.state == State::running) {
    registered();
    return monitor::Monitor::at(run).attach(asked);
  }
  const auto pending = waiters_->add(record.id, true);
  struct Leave {
    Waiters& waiters;
    const std::string& id;
    const std::shared_ptr<Waiters::Pending>& pending;
    ~Leave() {
      ::eventfd_write(pending->attached.get(), 1);  // whatever happened, the start need not wait for us
      waiters.remove(id, pending);
    }
  } leave{*waiters_, record.id, pending};
  const Fd changed = watchContainer(ctx_.layout.containerDir(record.id));
  registered();
  for (;;) {
    pollfd polls[] = {{pending->started.get(), POLLIN, 0}, {changed.get(), POLLIN, 0}, {goneFd, POLLRDHUP, 0}};
    sys([&] { return ::poll(polls, 3, -1); }, "wait for container {}", record.id);
    if (polls[0].revents != 0) return monitor::Monitor::at(run).attach(asked);
    if (goneFd >= 0 && polls[2].revents != 0) fail(Code::cancelled, "the client has gone");
    drain(changed.get());
    const auto current = ctx_.records.find(record.id);
    if (!current) fail(Code::not_found, "No such container: {}", ref);
    if (current->state == State::running) return monitor::Monitor::at(run).attach(asked);  // another engine started it
    if (current->finishedAt > record.finishedAt) return {};                                // it never ran
  }
}

void Lifecycle::resize(const std::string& ref, int height, int width) {
  const Record record = ctx_.records.get(ref);
  if (record.state != State::running) fail(Code::conflict, "container {} is not running", record.id);
  monitor::Monitor::at(ctx_.layout.runDir(record.id)).resize(static_cast<uint32_t>(height), static_cast<uint32_t>(width));
}

Fd Lifecycle::endFd(const Record& record) {
  const auto pid = parseUint(trim(tryReadFile(ctx_.layout.runDir(record.id) + "/" + monitor::kPidFile).value_or("")));
  if (pid && monitor::isHeld(ctx_.layout.runDir(record.id))) {
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(*pid), 0)));
    if (process) return process;
  }
  return Fd(::eventfd(1, EFD_CLOEXEC));  // it has ended already
}

void Lifecycle::kill(const std::string& ref, const std::string& signal) {
  const Record record = current(ref);
  const int number = signalNumber(signal.empty() ? "KILL" : signal);
  if (!record.isUp() || record.pid == 0) {
    fail(Code::conflict, "cannot kill container: {}: container {} is not running", ref, record.id);
  }
  const Fd process = openProcess(static_cast<pid_t>(record.pid), record.pidStartTime);
  if (!process) fail(Code::conflict, "cannot kill container: {}: container {} is not running", ref, record.id);
  sys([&] { return static_cast<int>(::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0)); },
      "send signal {} to container {}", number, record.name);
  auto attributes = attributesOf(record);
  attributes["signal"] = std::to_string(number);
  ctx_.events.record("container", "kill", record.id, attributes);
  if (number != SIGKILL) return;
  ctx_.records.setStoppedByUser(record.id, true);
  waitGone(record.id);
}

void Lifecycle::waitGone(const std::string& id) {
  try {
    wait(id, WaitFor::not_running, -1, [] {});
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;  // --rm took it
  }
}

void Lifecycle::signalAndWait(const Record& record, int signal, milliseconds timeout) {
  const Fd process = openProcess(static_cast<pid_t>(record.pid), record.pidStartTime);
  const auto send = [&](int number) {
    ::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);  // gone is fine
  };
  if (process) {
    if (record.state == State::paused) unpause(record.id);
    send(signal);
    pollfd poll{process.get(), POLLIN, 0};
    const int limit = timeout.count() < 0 ? -1 : static_cast<int>(timeout.count());
    const int ready = sys([&] { return ::poll(&poll, 1, limit); }, "wait for container {}", record.name);
    if (ready == 0) send(SIGKILL);
  }
  waitGone(record.id);
}

Changed Lifecycle::stop(const std::string& ref, std::optional<int64_t> timeoutSeconds, const std::string& signal) {
  const Record record = current(ref);
  if (!record.isUp()) return Changed::no;
  const std::string name = signal.empty() ? record.body.config.StopSignal.value_or("SIGTERM") : signal;
  const int number = signalNumber(name);
  milliseconds timeout = kDefaultStop;
  if (record.body.config.StopTimeout) timeout = std::chrono::seconds(*record.body.config.StopTimeout);
  if (timeoutSeconds) timeout = std::chrono::seconds(*timeoutSeconds);
  ctx_.records.setStoppedByUser(record.id, true);
  signalAndWait(record, number, timeout);
  ctx_.events.record("container", "stop", record.id, attributesOf(record));
  return Changed::yes;
}

void Lifecycle::restart(const std::string& ref, std::optional<int64_t> timeoutSeconds, const std::string& signal) {
  const Record record = ctx_.records.get(ref);
  stop(record.id, timeoutSeconds, signal);
  start(record.id);
  ctx_.events.record("container", "restart", record.id, attributesOf(record));
}

void Lifecycle::pause(const std::string& ref) {
  const Record record = ctx_.records.get(ref);
  if (record.state == State::paused) fail(Code::conflict, "container {} is already paused", record.id);
  if (record.state != State::running) fail(Code::conflict, "container {} is not running", record.id);
  monitor::Monitor::at(ctx_.layout.runDir(record.id)).pause();
  ctx_.records.move(record.id, State::running, State::paused);
  ctx_.events.record("container", "pause", record.id, attributesOf(record));
}

void Lifecycle::unpause(const std::string& ref) {
  const Record record = ctx_.records.get(ref);
  if (record.state != State::paused) fail(Code::conflict, "container {} is not paused", record.id);
  monitor::Monitor::at(ctx_.layout.runDir(record.id)).resume();
  ctx_.records.move(record.id, State::paused, State::running);
  ctx_.events.record("container", "unpause", record.id, attributesOf(record));
}

void Lifecycle::remove(const std::string& ref, const RemoveOptions& options) {
  Record record = current(ref);
  if (record.isUp() || record.state == State::starting) {
    if (!options.force) {
      fail(Code::conflict,
           "cannot remove container {}: container is {}: stop the container before removing or force remove",
           quoted("/" + record.name), record.state == State::paused ? "paused" : "running");
    }
    ctx_.records.setStoppedByUser(record.id, true);
    signalAndWait(record, SIGKILL, milliseconds(-1));
    reap(record.id);  // of one whose monitor was killed nobody has told
    const auto left = ctx_.records.find(record.id);
    if (!left) return;  // --rm took it
    record = *left;
  }
  containers_.removeStopped(record, options.volumes);
}

}  // namespace estiba::engine
