#pragma once
// From a description to a process under a monitor: what containers and build steps have in common.

#include <array>
#include <string>
#include <vector>

#include "container/spec_builder.h"
#include "engine/context.h"
#include "monitor/client.h"
#include "monitor/config.h"
#include "net/network.h"

namespace estiba::engine {

struct LaunchPlan {
  container::SpecInput spec;  ///< `joined`, `filesDir`, `cgroupPath` are filled by the launcher
  monitor::MonitorConfig monitor;
  std::string networkMode;    ///< "", "default", "bridge", "none", "host", "container:ID", or a network's name
  std::string filesDir;       ///< where hosts, hostname and resolv.conf are to lie
  std::array<int, 3> stdio = {-1, -1, -1};
};

/// A process that exists and does not run yet: Monitor::start() lets it.
struct Prepared {
  monitor::Monitor monitor;
  monitor::Created created;
};

class Launcher {
 public:
  explicit Launcher(Context& context) : ctx_(context) {}
  /// Writes the bundle, starts the monitor, waits for its first process and connects it to its networks. It does not
  /// run yet: Monitor::start() lets it. Throws runtime::StageError, Error. After a failure nothing is left but the
  /// addresses, which release() frees.
  Prepared prepare(LaunchPlan plan);
  /// Frees what prepare() reserved on the host, and the run directory.
  void release(const std::string& id);
  /// Kills and removes the control groups that a monitor which was killed has left.
  void removeGroups(const std::string& id);

 private:
  void joinNamespaces(LaunchPlan& plan, const container::SpecInput& spec);
  std::vector<net::Endpoint> connect(const LaunchPlan& plan);
  void writeFiles(const LaunchPlan& plan, const std::vector<net::Endpoint>& endpoints);
  Context& ctx_;
};

/// docker's text around a StageError, and the exit code 125, 126 or 127.
std::string startFailure(const std::exception& e);
int startFailureCode(const std::exception& e);

}  // namespace estiba::engine
