#pragma once
// SQLite, thinly: connections, statements, transactions, migrations. The database is the truth that several engines
// share; every write is a short transaction.

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace estiba::db {

class Connection;

/// A row that UNIQUE, PRIMARY KEY or FOREIGN KEY forbids. Its code is conflict.
class ConstraintError : public Error {
 public:
  enum class Kind { unique, foreign_key, other };
  ConstraintError(Kind kind, const std::string& message) : Error(Code::conflict, message), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

/// One use of a prepared statement: bind, step, read columns. Returned to the connection's cache when it goes.
class Statement {
 public:
  Statement(Statement&& o) noexcept;
  ~Statement();

  /// Binds the next parameter, from 1 on.
  Statement& bind(std::string_view text);
  Statement& bind(const char* text) { return bind(std::string_view(text)); }
  Statement& bind(const std::string& text) { return bind(std::string_view(text)); }
  Statement& bind(int64_t number);
  Statement& bind(int number) { return bind(static_cast<int64_t>(number)); }
  Statement& bind(uint64_t number) { return bind(static_cast<int64_t>(number)); }
  Statement& bind(bool flag) { return bind(static_cast<int64_t>(flag)); }
  Statement& bindBlob(std::string_view bytes);
  Statement& bindNull();
  template <class T>
  Statement& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bindNull();
  }

  /// True while there is a row. Throws ConstraintError or Error(internal; unavailable when busy for 30 s).
  bool step();
  /// For statements without rows: steps once and returns the number of rows changed.
  int64_t run();

  std::string text(int column);  ///< "" for NULL; blobs too
  int64_t integer(int column);   ///< 0 for NULL
  bool isNull(int column);
  std::optional<std::string> optText(int column);
  std::optional<int64_t> optInteger(int column);

 private:
  friend class Connection;
  Statement(Connection& connection, sqlite3_stmt* stmt) : connection_(&connection), stmt_(stmt) {}
  Connection* connection_;
  sqlite3_stmt* stmt_;
  int next_ = 1;
};

/// BEGIN IMMEDIATE … COMMIT; rolled back unless commit() was called. Not to be nested; never open during a mount, a
/// download or an fsync.
class Txn {
 public:
  explicit Txn(Connection& connection);
  ~Txn();
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;
  void commit();

 private:
  Connection& connection_;
  bool open_ = true;
};

/// The tables of one module. `steps[i]` brings it from version i to i+1; steps are never changed once released.
struct Schema {
  std::string_view module;
  std::vector<std::string_view> steps;
};

/// One connection: one thread at a time. WAL, foreign keys on, synchronous NORMAL, 30 s busy timeout.
class Connection {
 public:
  explicit Connection(const std::string& path);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Brings every schema to its newest version in one transaction; a database newer than us throws Error(conflict).
  void migrate(const std::vector<Schema>& schemas);
  /// Prepared once per text, then reused.
  Statement prepare(std::string_view sql);
  /// For statements without parameters and rows; several may be separated by ';'.
  void exec(const std::string& sql);
  int64_t lastInsertId() const noexcept;
  /// A later write in this connection waits for the disk (synchronous FULL), or not.
  void setDurable(bool durable);
  /// Moves what the write-ahead log holds into the database file, as far as no reader needs it, and waits for the disk.
  void checkpoint();
  const std::string& path() const noexcept { return path_; }

 private:
  friend class Statement;
  [[noreturn]] void raise(int code, std::string_view what) const;
  std::string path_;
  sqlite3* db_ = nullptr;
  std::chrono::steady_clock::time_point waitingSince_;
  std::unordered_map<std::string, std::vector<sqlite3_stmt*>> idle_;
};

/// Connections of one database file, one per thread at a time.
class Pool {
 public:
  explicit Pool(std::string path) : path_(std::move(path)) {}
  explicit Pool(std::unique_ptr<Connection> first) : path_(first->path()) { put(std::move(first)); }
  /// A connection for the caller's use until the lease goes; open ones are reused.
  class Lease {
   public:
    Lease(Pool& pool, std::unique_ptr<Connection> c) : pool_(&pool), connection_(std::move(c)) {}
    Lease(Lease&&) noexcept = default;
    ~Lease();
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_.get(); }

   private:
    Pool* pool_;
    std::unique_ptr<Connection> connection_;
  };
  Lease get();

 private:
  friend class Lease;
  void put(std::unique_ptr<Connection> connection);
  std::string path_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace estiba::db
