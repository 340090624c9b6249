#include "monitor/monitor.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "monitor/execs.h"
#include "monitor/supervisor.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba::monitor {

namespace {

int toFd(const char* text) {
  const auto number = parseUint(text);
  if (!number || *number > 1 << 20 || ::fcntl(static_cast<int>(*number), F_SETFD, FD_CLOEXEC) != 0) {
    fail(Code::invalid, "'{}' is no open descriptor", text);
  }
  return static_cast<int>(*number);
}

// Descriptors 4, 5, 6 where the engine gave them (SpawnOptions::stdio).
std::array<int, 3> inheritedStdio() {
  std::array<int, 3> out = {-1, -1, -1};
  for (int i = 0; i < 3; ++i) {
    if (::fcntl(kInheritedStdio + i, F_SETFD, FD_CLOEXEC) == 0) out[static_cast<size_t>(i)] = kInheritedStdio + i;
  }
  return out;
}

void supervise(const std::string& runDir, int engine) {
  Fd connection(engine);
  try {
    const std::string path = runDir + "/" + kConfigFile;
    auto config = parseJsonAs<MonitorConfig>(readFile(path), path);
    if (config.version != kFormatVersion) fail(Code::invalid, "'{}' has version {}", path, config.version);
    const std::string bundle = config.bundle.empty() ? runDir : config.bundle;
    auto launcher = makeRuntimeLauncher(config, bundle);
    const auto stdio = config.inheritStdio ? inheritedStdio() : std::array<int, 3>{-1, -1, -1};
    Supervisor(runDir, std::move(config), std::move(connection), std::move(launcher), stdio).run();
  } catch (const std::exception& error) {
    log::error("monitor of '{}': {}", runDir, error.what());
    if (!connection) throw;
    sendWithFds(connection.get(), dumpJsonOf(Message{.failed = failureOf(error, "monitor")}) + "\n", {});
  }
}

}  // namespace

int monitorMain(int argc, char** argv) {
  if (argc < 3) {
    log::error("usage: monitor RUN-DIRECTORY DESCRIPTOR");
    return 2;
  }
  try {
    becomeMonitor();
    supervise(argv[1], toFd(argv[2]));
    return 0;
  } catch (const std::exception& error) {
    log::error("monitor: {}", error.what());
    return 1;
  }
}

}  // namespace estiba::monitor
