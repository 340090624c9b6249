#pragma once
// What is said on RUN/monitor.sock and on the descriptor that the engine kept when it spawned the monitor: a JSON
// object a line. A connection asks one request after the other; each gets one answer: {"ok":{…}}, {"exited":{…}} or
// {"error":{…}}. After the answer to `attach` and `exec` the connection is a raw stream: to the client Docker's frames
// (monitor/frame.h; bare bytes where there is a terminal), from the client standard input, half-closed at its end.
//
//   start reaper?      lets the created container run (the engine's own connection only); reaper: as with `wait`
//   attach             stdin stdout stderr logs detachKeys
//   exec               id process tty stdin detach detachKeys consoleSize; answered when it runs: {"ok":{"pid":…}}
//   execWait id        answered when it has ended: {"ok":{"exitCode":…}}
//   execState id       {"ok":{"running":…,"exitCode":…,"pid":…}}
//   resize h w exec?   signal N exec?
//   state              {"ok":{"status":…,"pid":…,…}}
//   wait reaper?       answered when the container has ended: {"exited":{…}}; a reaper then says `reaped`
//   reaped             what must happen after the end was done by the engine
//   rootfs             {"ok":{}} with a descriptor (SCM_RIGHTS): a detached clone of the root file system's mount
//   pause, resume      the freezer
//
// Unasked, on the engine's own connection: {"created":{…}} and in answer to `start` {"started":{…}} or {"failed":{…}}.

#include "monitor/config.h"
#include "oci/runtime_spec.h"

namespace estiba::monitor {

/// The longest request line (an exec with a large environment).
inline constexpr size_t kMaxRequest = 4 << 20;
/// The first of three descriptors for MonitorConfig::inheritStdio.
inline constexpr int kInheritedStdio = 4;

struct Request {
  std::string op;
  bool stdin_ = false, stdout_ = false, stderr_ = false;
  bool logs = false;  ///< attach: what the log holds first, then what comes
  bool detach = false, tty = false, reaper = false;
  std::string detachKeys;  ///< empty: kDefaultDetachKeys
  std::string id;          ///< exec, execWait, execState
  std::string exec;        ///< resize, signal: this exec instead of the container
  int signal = 0;
  uint32_t h = 0, w = 0;
  std::vector<uint32_t> consoleSize;
  std::optional<oci::Process> process;
};
BOOST_DESCRIBE_STRUCT(Request, (),
                      (op, stdin_, stdout_, stderr_, logs, detach, tty, reaper, detachKeys, id, exec, signal, h, w,
                       consoleSize, process))

/// The container's first process exists with its namespaces; it does not run yet.
struct Created {
  int64_t pid = 0;
  uint64_t startTime = 0;  ///< field 22 of /proc/PID/stat
};
BOOST_DESCRIBE_STRUCT(Created, (), (pid, startTime))

struct Started {
  std::string at;
  std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(Started, (), (at, warnings))

/// A StageError on its way to the engine.
struct Failed {
  std::string stage;
  int errorNumber = 0;
  std::string detail, message;
  int exitCode = 125;
};
BOOST_DESCRIBE_STRUCT(Failed, (), (stage, errorNumber, detail, message, exitCode))

struct ErrorAnswer {
  std::string code = "internal";  ///< codeName()
  std::string message;
};
BOOST_DESCRIBE_STRUCT(ErrorAnswer, (), (code, message))

/// {"ok":…}: what the request has to tell; the rest keeps its defaults.
struct OkAnswer {
  std::optional<std::string> status;  ///< created, running, paused, exited
  std::optional<int64_t> pid;
  std::optional<uint64_t> startTime;
  std::optional<std::string> startedAt;
  std::optional<bool> running;
  std::optional<int> exitCode;
};
BOOST_DESCRIBE_STRUCT(OkAnswer, (), (status, pid, startTime, startedAt, running, exitCode))

struct Message {
  std::optional<Created> created;
  std::optional<Started> started;
  std::optional<Failed> failed;
  std::optional<OkAnswer> ok;
  std::optional<ExitRecord> exited;
  std::optional<ErrorAnswer> error;
};
BOOST_DESCRIBE_STRUCT(Message, (), (created, started, failed, ok, exited, error))

}  // namespace estiba::monitor
