// One executable, several roles: looks at how it was called and takes one.
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include "api/router.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/session.h"
#include "cli/command.h"
#include "monitor/monitor.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba {

namespace {

// The engine that a command runs in its own process, and the threads that serve its connections.
class InProcessEngine {
 public:
  explicit InProcessEngine(engine::Config config) : config_(std::move(config)) {}
  ~InProcessEngine() {
    stop_.request_stop();
    std::lock_guard lock(mutex_);
    threads_.clear();  // joins
    if (engine_) sweepLater();
  }

  Fd dial() {
    auto [ours, theirs] = socketPair();
    std::lock_guard lock(mutex_);
    if (!engine_) engine_ = std::make_unique<engine::Engine>(config_);
    // The command's own thread deals with signals; the engine's must never be the one that takes them.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    threads_.emplace_back([this, fd = std::move(theirs)]() mutable { api::serve(*engine_, std::move(fd), stop_.get_token()); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::move(ours);
  }

 private:
  // A process of its own deletes what was thrown away, and moves the database's log, after the command: both take long.
  void sweepLater() noexcept {
    try {
      if (!engine_->context.needsSweep()) return;
      const Fd null = openFile("/dev/null", O_RDWR);
      SpawnOptions options;
      options.path = "/proc/self/exe";
      options.args = {"estiba", "sweep", config_.root};
      options.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
      options.newSession = true;
      Process::spawn(options).release();
    } catch (const std::exception& e) {
      log::debug("start the sweep: {}", e.what());  // the next command tries again
    }
  }

  engine::Config config_;
  std::unique_ptr<engine::Engine> engine_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::vector<std::jthread> threads_;
};

int cliMain(const std::string& program, const std::vector<std::string>& argv) {
  std::unique_ptr<InProcessEngine> engine;  // goes after the session, whose connections end first
  const auto makeDial = [&engine](const cli::LocalEngine& where) -> cli::Dial {
    engine::Config config;
    config.root = where.root;
    config.execRoot = where.execRoot;
    config.debug = where.debug;
    engine = std::make_unique<InProcessEngine>(std::move(config));
    return [&engine] { return engine->dial(); };
  };
  cli::Session session(program, {&std::cout, &std::cerr}, makeDial);
  return cli::runCli(cli::commandTree(), session, argv, [&](const cli::Parsed& globals) { session.configure(globals); });
}

// estiba reap --root DIR --exec-root DIR ID: what the monitor starts when no engine waited for its container's end.
int reapMain(int argc, char** argv) {
  engine::Config config;
  std::string id;
  for (int i = 2; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--root" && i + 1 < argc) config.root = argv[++i];
    else if (arg == "--exec-root" && i + 1 < argc) config.execRoot = argv[++i];
    else id = arg;
  }
  engine::Engine engine(std::move(config));
  const auto work = engine.work();
  engine.lifecycle.reap(id);
  return 0;
}

// estiba sweep ROOT: the housekeeping that earlier commands did not wait for.
int sweepMain(const std::string& root) {
  db::Pool pool(root + "/estiba.db");
  snapshot::Layers(pool, root).emptyTrash();
  pool.get()->checkpoint();
  return 0;
}

// ESTIBA_KILL_AT=NAME[:N]: this process ends, as by kill -9, when it comes to that place for the Nth time (tests/chaos).
void armKillPoint() {
  static const char* const wanted = ::getenv("ESTIBA_KILL_AT");
  if (wanted == nullptr) return;
  static const auto place = cut(wanted, ':');
  static std::atomic<uint64_t> left{place.second ? parseUint(*place.second).value_or(1) : 1};
  killHook = [](const char* name) {
    if (place.first == name && --left == 0) ::kill(::getpid(), SIGKILL);
  };
}

int roleMain(int argc, char** argv) {
  armKillPoint();
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error to tell, not a death; children have it by default
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "monitor") return monitor::monitorMain(argc - 1, argv + 1);
  if (role == "reap") return reapMain(argc, argv);
  if (role == "sweep" && argc == 3) return sweepMain(argv[2]);
  ::signal(SIGPIPE, SIG_IGN);
  // A thread per connection, few at a time: one heap that grows in large steps spares each an arena of its own.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TOP_PAD, 1 << 20);
  std::vector<std::string> args(argv, argv + argc);
  std::string program = args.empty() ? "estiba" : args[0].substr(args[0].rfind('/') + 1);
  if (program != "docker") program = "estiba";
  return cliMain(program, args);
}

}  // namespace

}  // namespace estiba

int main(int argc, char** argv) {
  try {
    const int code = estiba::roleMain(argc, argv);
    std::cout.flush();
    return code;
  } catch (const std::exception& e) {
    std::cerr << "estiba: " << e.what() << '\n';
    return 1;
  }
}
