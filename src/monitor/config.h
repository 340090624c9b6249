#pragma once
// The files between the engine and a container's monitor, in the container's run directory RUN (0700):
//   RUN/monitor.json  in   what to run and how to keep its output (MonitorConfig)
//   RUN/config.json   in   the OCI bundle's configuration
//   RUN/rootfs/       the mount point, in the monitor's own mount namespace only
//   RUN/trees/N       likewise those of MonitorConfig::trees
//   RUN/monitor.sock  its door (monitor/protocol.h), while it can be asked
//   RUN/monitor.pid   its process id; locked (flock) as long as it holds the container's mount, log and cgroup
//   RUN/exit.json     out  how it ended (ExitRecord), renamed into place
// They are a versioned format: a newer engine understands the monitors of every older release. Unknown keys are
// ignored, missing keys have the defaults below.

#include <boost/describe.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace estiba::monitor {

inline constexpr int kFormatVersion = 1;
inline constexpr const char* kConfigFile = "monitor.json";
inline constexpr const char* kBundleFile = "config.json";
inline constexpr const char* kSocketFile = "monitor.sock";
inline constexpr const char* kPidFile = "monitor.pid";
inline constexpr const char* kExitFile = "exit.json";
inline constexpr const char* kRootfsDir = "rootfs";
inline constexpr const char* kTreesDir = "trees";

inline constexpr const char* kModeContainer = "container";
/// A build step: no log, no door but the engine's connection, killed when that goes away.
inline constexpr const char* kModeStep = "step";

/// What becomes BUNDLE/rootfs. Directories are absolute host paths.
struct RootfsConfig {
  std::vector<std::string> lowers;  ///< topmost first; one alone without `upper` is bound read-only
  std::string upper, work;          ///< both or neither; without: nothing can be written
  bool readonly = false;            ///< mounted read-only although there is an upper directory
  bool volatile_ = false;           ///< overlay's `volatile`: no sync; the upper directory is lost in a crash
  std::string bind;                 ///< instead of all the above: this directory, bound
};
BOOST_DESCRIBE_STRUCT(RootfsConfig, (), (lowers, upper, work, readonly, volatile_, bind))

/// A file tree, or a part of one, that binds of the bundle can name as BUNDLE/trees/N.
struct TreeConfig {
  RootfsConfig stack;
  std::string source = "/";  ///< the part: a path inside; links in it are followed inside only
};
BOOST_DESCRIBE_STRUCT(TreeConfig, (), (stack, source))

struct LogConfig {
  std::string driver = "json-file";  ///< json-file or none
  std::string path;                  ///< absolute; rotated ones are beside it: PATH.1 is the youngest
  int64_t maxSize = 10 << 20;        ///< bytes a file; 0 or less: never rotated
  int maxFile = 5;                   ///< files in all; 1: truncated instead of rotated
  /// Docker's "attrs": labels and variables that the log options ask for; written with each line where not empty.
  std::map<std::string, std::string> attrs;
};
BOOST_DESCRIBE_STRUCT(LogConfig, (), (driver, path, maxSize, maxFile, attrs))

struct MonitorConfig {
  int version = kFormatVersion;
  std::string id;
  std::string mode = kModeContainer;
  std::string bundle;  ///< absolute; empty: RUN itself
  RootfsConfig rootfs;
  std::vector<TreeConfig> trees;
  bool stdinOpen = false;  ///< a pipe (or the terminal) on standard input; /dev/null otherwise
  bool stdinOnce = false;  ///< the first client's end of input, or its leaving, closes it
  bool tty = false;        ///< as process.terminal in config.json
  /// Step only: standard output and error are descriptors that the engine handed over (SpawnOptions::stdio), not pipes
  /// of the monitor's.
  bool inheritStdio = false;
  std::vector<uint32_t> consoleSize;  ///< {height, width} in characters, or empty
  LogConfig log;
  int stopSignal = 15;            ///< sent to the container when the monitor gets SIGTERM
  std::vector<std::string> reap;  ///< argv, run after the container's end where no engine did the reaping
  std::string cgroupPath;         ///< "/estiba/<id>"; empty: no cgroup of its own
  std::string cacheDir;           ///< for compiled seccomp filters
};
BOOST_DESCRIBE_STRUCT(MonitorConfig, (),
                      (version, id, mode, bundle, rootfs, trees, stdinOpen, stdinOnce, tty, inheritStdio, consoleSize,
                       log, stopSignal, reap, cgroupPath, cacheDir))

/// How a container ended, or why it never ran (then `error` is not empty and `startedAt` is).
struct ExitRecord {
  int version = kFormatVersion;
  std::string id;
  int64_t pid = 0;
  std::string startedAt, finishedAt;  ///< RFC 3339, nanoseconds, UTC
  int exitCode = 0;                   ///< 0..255; 128+N where signal N ended it; 125, 126, 127 where it never ran
  int signal = 0;                     ///< what ended it, 0 where it exited by itself
  bool oomKilled = false;             ///< the kernel's OOM killer took a process of the container
  std::string error;                  ///< as StageError::what(), or why the monitor gave up
  std::string stage;                  ///< StageError::stage(); "rootfs", "monitor" where the runtime was not reached
  int errorNumber = 0;                ///< errno, 0 where there is none
  std::string detail;
};
BOOST_DESCRIBE_STRUCT(ExitRecord, (),
                      (version, id, pid, startedAt, finishedAt, exitCode, signal, oomKilled, error, stage, errorNumber,
                       detail))

}  // namespace estiba::monitor
