#pragma once
// The port through which a build runs the processes of RUN. The engine implements it with the container module's spec
// builder and a monitor: a build step is a bundle without a container record.

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "apitypes/container_config.h"

namespace estiba::build {

/// The stack of layers that is a step's root file system.
struct StepStack {
  std::vector<std::string> lowers;  ///< absolute directories, topmost first
  std::string upper, work;          ///< what is written is volatile (not synced)
};

/// A directory, file or socket of the engine's own: a cache, a copy.
struct HostMount {
  std::string path;
};
/// A file that only the step may see: kept in the run-time directory, not on the disk.
struct FileMount {
  std::string content;
  uint32_t mode = 0400, uid = 0, gid = 0;
};
/// A part of a stack of layers, or of a directory of the host where that is set.
struct TreeMount {
  StepStack stack;
  std::string directory;
  std::string source = "/";  ///< the part; links in it are followed inside only
};
struct TmpfsMount {
  int64_t size = 0;  ///< bytes; 0: the kernel's default
};

/// One --mount of a RUN.
struct StepMount {
  std::string target;  ///< absolute, in the step's root
  bool readonly = true;
  bool file = false;  ///< what is mounted is no directory
  std::variant<HostMount, FileMount, TreeMount, TmpfsMount> what;
};

/// What a RUN starts.
struct StepProcess {
  std::string id;                    ///< 64 hex digits, unique: names the bundle, the cgroup
  StepStack root;
  std::vector<std::string> args;
  std::vector<std::string> env;      ///< "K=V"; PATH, HOSTNAME, HOME are completed where unset
  std::string user;                  ///< as USER says it; resolved in the step's own root
  std::string cwd = "/";             ///< made where it is missing
  std::string network;               ///< "", "default", "none", "host"
  bool insecure = false;             ///< RUN --security=insecure, granted
  std::string hostname = "buildkitsandbox";
  std::vector<std::string> extraHosts;  ///< "name:address", also "host-gateway"
  apitypes::HostConfig limits;       ///< Resources, ShmSize, Ulimits, CgroupParent of the build's flags
  std::vector<StepMount> mounts;
};

/// Output of a step as it comes. stream: 1 standard output, 2 standard error.
using StepOutput = std::function<void(int stream, std::string_view bytes)>;

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  /// Runs it to its end; the exit code (128+N for a signal). Throws Error where it could not be started, cancelled
  /// where `stop` was requested (the process is dead then). Any thread, several at a time.
  virtual int run(const StepProcess& process, const StepOutput& output, std::stop_token stop) = 0;
};

}  // namespace estiba::build
