#pragma once
// What the engine knows of a container, and its place in the database.

#include <optional>
#include <string>
#include <vector>

#include "apitypes/container.h"
#include "base/clock.h"
#include "db/db.h"

namespace estiba::container {

enum class State { created, starting, running, paused, restarting, exited, removing, dead };

/// May a container in `from` be moved to `to`?
constexpr bool mayMove(State from, State to) {
  using enum State;
  switch (from) {
    case created: return to == starting || to == removing;
    case starting: return to == running || to == exited || to == created;
    case running: return to == paused || to == restarting || to == exited;
    case paused: return to == running || to == exited;
    case restarting: return to == starting || to == exited || to == removing;
    case exited: return to == starting || to == removing;
    case removing: return to == dead;
    case dead: return to == removing || to == starting;
  }
  return false;
}  // no default: -Wswitch finds the state someone adds

/// Docker's word; `starting` is told as "created".
std::string_view stateName(State state) noexcept;

/// What does not change between creation and removal, but for commits and updates: kept as one JSON document.
struct Body {
  apitypes::ContainerConfig config;
  apitypes::HostConfig host;
  apitypes::NetworkingConfig networking;
  std::vector<apitypes::MountPoint> mounts;  ///< resolved: sources are host paths, volumes have names
  std::string path;                          ///< the executable, as `inspect` shows it
  std::vector<std::string> args;
  std::string os = "linux";
};
BOOST_DESCRIBE_STRUCT(Body, (), (config, host, networking, mounts, path, args, os))

struct Record {
  std::string id;       ///< 64 hex digits
  std::string name;     ///< without '/'
  std::string imageId;  ///< "sha256:…"
  Time created;
  State state = State::created;
  int64_t pid = 0;            ///< 0 when it does not run
  uint64_t pidStartTime = 0;  ///< with the pid: one process for ever
  Time startedAt, finishedAt;
  int exitCode = 0;
  bool oomKilled = false;
  std::string error;
  int64_t restartCount = 0;
  bool stoppedByUser = false;  ///< `unless-stopped` and `always` leave it down
  std::string snapshot;        ///< ID of its writable layer
  Body body;

  bool isUp() const noexcept {
    return state == State::running || state == State::paused || state == State::restarting;
  }
};

extern const db::Schema kSchema;

/// The container rows of one engine root. Any thread. State moves by compare-and-set: two engines never both win.
class Records {
 public:
  explicit Records(db::Pool& pool) : pool_(pool) {}

  /// In the caller's transaction, which keeps the snapshot's rows too. Throws Error(conflict) in docker's words where the
  /// name is taken, Error(not_found) where the image went away.
  void insert(db::Connection& connection, const Record& record);
  /// By ID, name (with or without '/') or unambiguous ID prefix: docker's order.
  /// Throws Error(not_found) "No such container: REF", Error(invalid) where a prefix names several.
  Record get(const std::string& ref);
  std::optional<Record> find(const std::string& ref);
  std::vector<Record> list();  ///< newest first

  /// One UPDATE … WHERE state = from. False: somebody else has moved it.
  bool move(const std::string& id, State from, State to);
  void setRunning(const std::string& id, int64_t pid, uint64_t pidStartTime, Time startedAt);
  /// To `exited` (or `created`, where a first start failed), from starting, running or paused.
  bool setExited(const std::string& id, State to, int exitCode, bool oomKilled, const std::string& error, Time at);
  void setStoppedByUser(const std::string& id, bool stopped);
  void setRestartCount(const std::string& id, int64_t count);
  /// Throws Error(conflict) where the new name is taken.
  void rename(const std::string& id, const std::string& name);
  void setBody(const std::string& id, const Body& body);
  void erase(db::Connection& connection, const std::string& id);
  /// IDs and names of the containers that stand on this image.
  std::vector<Record> usersOfImage(const std::string& imageId);

 private:
  db::Pool& pool_;
};

}  // namespace estiba::container
