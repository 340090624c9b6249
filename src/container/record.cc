#include "container/record.h"

#include "base/json.h"

namespace estiba::container {

const db::Schema kSchema{"container",
                         {R"(
CREATE TABLE container (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  image_id TEXT NOT NULL REFERENCES image (id),
  created INTEGER NOT NULL,
  state TEXT NOT NULL,
  pid INTEGER NOT NULL DEFAULT 0,
  pid_start INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER NOT NULL DEFAULT 0,
  finished_at INTEGER NOT NULL DEFAULT 0,
  exit_code INTEGER NOT NULL DEFAULT 0,
  oom_killed INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  restart_count INTEGER NOT NULL DEFAULT 0,
  stopped_by_user INTEGER NOT NULL DEFAULT 0,
  snapshot TEXT NOT NULL REFERENCES snapshot (id),
  body TEXT NOT NULL
) STRICT;
CREATE INDEX container_image ON container (image_id);
)"}};

namespace {

constexpr std::string_view kStates[] = {"created", "starting", "running", "paused",
                                        "restarting", "exited", "removing", "dead"};

std::string_view dbName(State state) { return kStates[static_cast<size_t>(state)]; }

State stateOf(std::string_view name) {
  for (size_t i = 0; i < std::size(kStates); ++i) {
    if (kStates[i] == name) return static_cast<State>(i);
  }
  fail(Code::internal, "unknown container state '{}' in the database", name);
}

constexpr const char* kSelect =
    "SELECT id, name, image_id, created, state, pid, pid_start, started_at, finished_at, exit_code, oom_killed, error, "
    "restart_count, stopped_by_user, snapshot, body FROM container ";

Record read(db::Statement& row) {
  Record r;
  r.id = row.text(0);
  r.name = row.text(1);
  r.imageId = row.text(2);
  r.created = {row.integer(3)};
  r.state = stateOf(row.text(4));
  r.pid = row.integer(5);
  r.pidStartTime = static_cast<uint64_t>(row.integer(6));
  r.startedAt = {row.integer(7)};
  r.finishedAt = {row.integer(8)};
  r.exitCode = static_cast<int>(row.integer(9));
  r.oomKilled = row.integer(10) != 0;
  r.error = row.text(11);
  r.restartCount = row.integer(12);
  r.stoppedByUser = row.integer(13) != 0;
  r.snapshot = row.text(14);
  fromJson(parseJson(row.text(15), "container record"), r.body);
  return r;
}

std::vector<Record> readAll(db::Statement& row) {
  std::vector<Record> out;
  while (row.step()) out.push_back(read(row));
  return out;
}

[[noreturn]] void nameTaken(db::Connection& connection, const std::string& name) {
  auto row = connection.prepare("SELECT id FROM container WHERE name = ?");
  const std::string owner = row.bind(name).step() ? row.text(0) : "";
  fail(Code::conflict,
       "Conflict. The container name \"/{}\" is already in use by container \"{}\". You have to remove (or rename) that "
       "container to be able to reuse that name.",
       name, owner);
}

}  // namespace

std::string_view stateName(State state) noexcept {
  return state == State::starting ? "created" : kStates[static_cast<size_t>(state)];
}

void Records::insert(db::Connection& connection, const Record& r) {
  try {
    connection
        .prepare("INSERT INTO container (id, name, image_id, created, state, snapshot, body) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(r.id)
        .bind(r.name)
        .bind(r.imageId)
        .bind(r.created.ns)
        .bind(dbName(r.state))
        .bind(r.snapshot)
        .bind(dumpJsonOf(r.body))
        .run();
  } catch (const db::ConstraintError& e) {
    if (e.kind() == db::ConstraintError::Kind::unique) nameTaken(connection, r.name);
    fail(Code::not_found, "No such image: {}", r.imageId);
  }
}

std::optional<Record> Records::find(const std::string& ref) {
  auto connection = pool_.get();
  const std::string bare = ref.starts_with('/') ? ref.substr(1) : ref;
  {
    auto row = connection->prepare(std::string(kSelect) + "WHERE id = ?");
    if (row.bind(bare).step()) return read(row);
  }
  {
    auto row = connection->prepare(std::string(kSelect) + "WHERE name = ?");
    if (row.bind(bare).step()) return read(row);
  }
  if (bare.empty() || bare.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;
  auto row = connection->prepare(std::string(kSelect) + "WHERE id >= ? AND id < ? LIMIT 2");
  auto matches = readAll(row.bind(bare).bind(bare + "g"));
  if (matches.size() > 1) fail(Code::invalid, "Multiple IDs found with provided prefix: {}", ref);
  if (matches.empty()) return std::nullopt;
  return std::move(matches[0]);
}

Record Records::get(const std::string& ref) {
  if (auto found = find(ref)) return std::move(*found);
  fail(Code::not_found, "No such container: {}", ref);
}

std::vector<Record> Records::list() {
  auto connection = pool_.get();
  auto row = connection->prepare(std::string(kSelect) + "ORDER BY created DESC, rowid DESC");
  return readAll(row);
}

bool Records::move(const std::string& id, State from, State to) {
  if (!mayMove(from, to)) {
    fail(Code::internal, "container {} cannot go from {} to {}", id, dbName(from), dbName(to));
  }
  auto connection = pool_.get();
  return connection->prepare("UPDATE container SET state = ? WHERE id = ? AND state = ?")
             .bind(dbName(to))
             .bind(id)
             .bind(dbName(from))
             .run() == 1;
}

void Records::setRunning(const std::string& id, int64_t pid, uint64_t pidStartTime, Time startedAt) {
  auto connection = pool_.get();
  connection
      ->prepare("UPDATE container SET state = 'running', pid = ?, pid_start = ?, started_at = ?, error = '', "
                "exit_code = 0, oom_killed = 0, stopped_by_user = 0, finished_at = finished_at "
                "WHERE id = ? AND state = 'starting'")
      .bind(pid)
      .bind(pidStartTime)
      .bind(startedAt.ns)
      .bind(id)
      .run();
}

bool Records::setExited(const std::string& id, State to, int exitCode, bool oomKilled, const std::string& error,
                        Time at) {
  auto connection = pool_.get();
  return connection
             ->prepare("UPDATE container SET state = ?, pid = 0, pid_start = 0, exit_code = ?, oom_killed = ?, error = ?, "
                       "finished_at = ? WHERE id = ? AND state IN ('starting', 'running', 'paused')")
             .bind(dbName(to))
             .bind(exitCode)
             .bind(oomKilled)
             .bind(error)
             .bind(at.ns)
             .bind(id)
             .run() == 1;
}

void Records::setStoppedByUser(const std::string& id, bool stopped) {
  auto connection = pool_.get();
  connection->prepare("UPDATE container SET stopped_by_user = ? WHERE id = ?").bind(stopped).bind(id).run();
}

void Records::setRestartCount(const std::string& id, int64_t count) {
  auto connection = pool_.get();
  connection->prepare("UPDATE container SET restart_count = ? WHERE id = ?").bind(count).bind(id).run();
}

void Records::rename(const std::string& id, const std::string& name) {
  auto connection = pool_.get();
  try {
    connection->prepare("UPDATE container SET name = ? WHERE id = ?").bind(name).bind(id).run();
  } catch (const db::ConstraintError&) {
    nameTaken(*connection, name);
  }
}

void Records::setBody(const std::string& id, const Body& body) {
  auto connection = pool_.get();
  connection->prepare("UPDATE container SET body = ? WHERE id = ?").bind(dumpJsonOf(body)).bind(id).run();
}

void Records::erase(db::Connection& connection, const std::string& id) {
  connection.prepare("DELETE FROM container WHERE id = ?").bind(id).run();
}

std::vector<Record> Records::usersOfImage(const std::string& imageId) {
  auto connection = pool_.get();
  auto row = connection->prepare(std::string(kSelect) + "WHERE image_id = ?");
  return readAll(row.bind(imageId));
}

}  // namespace estiba::container
