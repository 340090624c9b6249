#include "db/db.h"

#include <sqlite3.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace estiba::db {

namespace {

constexpr std::chrono::seconds kPatience{30};

// Others write for some ten microseconds at a time: SQLite's own handler, which sleeps for milliseconds, would wait
// longest for what is over soonest.
int waitForOthers(void* since, int tries) {
  auto& start = *static_cast<std::chrono::steady_clock::time_point*>(since);
  const auto now = std::chrono::steady_clock::now();
  if (tries == 0) start = now;
  if (now - start > kPatience) return 0;
  std::this_thread::sleep_for(std::chrono::microseconds(20 << std::min(tries / 4, 7)));
  return 1;
}

}  // namespace

Connection::Connection(const std::string& path) : path_(path) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = ::sqlite3_open_v2(path.c_str(), &db_, flags, nullptr);
  if (code != SQLITE_OK) {
    const std::string why = db_ != nullptr ? ::sqlite3_errmsg(db_) : "out of memory";
    const int e = db_ != nullptr ? ::sqlite3_system_errno(db_) : 0;
    ::sqlite3_close(db_);
    if (e != 0) throw SysError(e, fmt::format("open database '{}'", path));
    fail(Code::internal, "open database '{}': {}", path, why);
  }
  ::sqlite3_busy_handler(db_, waitForOthers, &waitingSince_);
  // The last to close would move the log into the file, sync both and unlink it: a commitment of milliseconds at the end
  // of every command. The log stays, is read again at the next open, and moved when it has grown (checkpoint()).
  ::sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  int persist = 1;
  ::sqlite3_file_control(db_, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
  try {
    exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON");
  } catch (...) {
    ::sqlite3_close(db_);
    throw;
  }
}

Connection::~Connection() {
  for (auto& [sql, statements] : idle_) {
    for (sqlite3_stmt* stmt : statements) ::sqlite3_finalize(stmt);
  }
  ::sqlite3_close(db_);
}

void Connection::raise(int code, std::string_view what) const {
  const std::string message = fmt::format("database '{}': {}: {}", path_, what, ::sqlite3_errmsg(db_));
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) {
        throw ConstraintError(ConstraintError::Kind::unique, message);
      }
      if (code == SQLITE_CONSTRAINT_FOREIGNKEY) throw ConstraintError(ConstraintError::Kind::foreign_key, message);
      throw ConstraintError(ConstraintError::Kind::other, message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(Code::unavailable, message);
    case SQLITE_FULL:
      throw SysError(ENOSPC, fmt::format("write database '{}'", path_));
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (const int e = ::sqlite3_system_errno(db_); e != 0) throw SysError(e, fmt::format("use database '{}'", path_));
      throw Error(Code::internal, message);
    default:
      throw Error(Code::internal, message);
  }
}

void Connection::exec(const std::string& sql) {
  const int code = ::sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(code, sql);
}

Statement Connection::prepare(std::string_view sql) {
  auto& idle = idle_[std::string(sql)];
  if (!idle.empty()) {
    sqlite3_stmt* stmt = idle.back();
    idle.pop_back();
    return {*this, stmt};
  }
  sqlite3_stmt* stmt = nullptr;
  const int code =
      ::sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (code != SQLITE_OK) raise(code, sql);
  return {*this, stmt};
}

int64_t Connection::lastInsertId() const noexcept {
  return ::sqlite3_last_insert_rowid(db_);
}

void Connection::checkpoint() {
  exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

void Connection::setDurable(bool durable) {
  exec(durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

void Connection::migrate(const std::vector<Schema>& schemas) {
  // One number sums up all versions: the common start reads it and is done.
  int64_t wanted = 0;
  for (const auto& schema : schemas) wanted += static_cast<int64_t>(schema.steps.size());
  const auto present = [&] {
    auto st = prepare("PRAGMA user_version");
    st.step();
    return st.integer(0);
  };
  if (present() == wanted) return;
  Txn txn(*this);
  const int64_t have = present();
  if (have == wanted) return;
  if (have > wanted) {
    fail(Code::conflict, "database '{}' was written by a newer version of estiba: use that one, or another root",
         path_);
  }
  exec("CREATE TABLE IF NOT EXISTS schema_version (module TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT");
  for (const auto& schema : schemas) {
    size_t version = 0;
    {
      auto st = prepare("SELECT version FROM schema_version WHERE module = ?");
      if (st.bind(schema.module).step()) version = static_cast<size_t>(st.integer(0));
    }
    if (version > schema.steps.size()) {
      fail(Code::conflict, "tables of '{}' in '{}' were written by a newer version of estiba", schema.module, path_);
    }
    for (size_t i = version; i < schema.steps.size(); ++i) exec(std::string(schema.steps[i]));
    prepare("INSERT INTO schema_version VALUES (?, ?) ON CONFLICT (module) DO UPDATE SET version = excluded.version")
        .bind(schema.module)
        .bind(static_cast<int64_t>(schema.steps.size()))
        .run();
  }
  exec(fmt::format("PRAGMA user_version = {}", wanted));
  txn.commit();
}

Statement::Statement(Statement&& o) noexcept
    : connection_(o.connection_), stmt_(std::exchange(o.stmt_, nullptr)), next_(o.next_) {}

Statement::~Statement() {
  if (stmt_ == nullptr) return;
  const std::string sql = ::sqlite3_sql(stmt_);
  ::sqlite3_reset(stmt_);
  ::sqlite3_clear_bindings(stmt_);
  connection_->idle_[sql].push_back(stmt_);
}

Statement& Statement::bind(std::string_view text) {
  ::sqlite3_bind_text64(stmt_, next_++, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}
Statement& Statement::bind(int64_t number) {
  ::sqlite3_bind_int64(stmt_, next_++, number);
  return *this;
}
Statement& Statement::bindBlob(std::string_view bytes) {
  ::sqlite3_bind_blob64(stmt_, next_++, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  return *this;
}
Statement& Statement::bindNull() {
  ::sqlite3_bind_null(stmt_, next_++);
  return *this;
}

bool Statement::step() {
  const int code = ::sqlite3_step(stmt_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  connection_->raise(code, ::sqlite3_sql(stmt_));
}

int64_t Statement::run() {
  while (step()) {
  }
  return ::sqlite3_changes64(::sqlite3_db_handle(stmt_));
}

std::string Statement::text(int column) {
  const void* data = ::sqlite3_column_blob(stmt_, column);
  const int size = ::sqlite3_column_bytes(stmt_, column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}
int64_t Statement::integer(int column) {
  return ::sqlite3_column_int64(stmt_, column);
}
bool Statement::isNull(int column) {
  return ::sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}
std::optional<std::string> Statement::optText(int column) {
  if (isNull(column)) return std::nullopt;
  return text(column);
}
std::optional<int64_t> Statement::optInteger(int column) {
  if (isNull(column)) return std::nullopt;
  return integer(column);
}

Txn::Txn(Connection& connection) : connection_(connection) {
  connection_.exec("BEGIN IMMEDIATE");
}

Txn::~Txn() {
  if (!open_) return;
  try {
    connection_.exec("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back by itself already
  }
}

void Txn::commit() {
  connection_.exec("COMMIT");
  open_ = false;
}

Pool::Lease::~Lease() {
  if (connection_) pool_->put(std::move(connection_));
}

Pool::Lease Pool::get() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return {*this, std::move(connection)};
    }
  }
  return {*this, std::make_unique<Connection>(path_)};
}

void Pool::put(std::unique_ptr<Connection> connection) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(connection));
}

}  // namespace estiba::db
