#pragma once
// Reads what the json-file log driver wrote: this monitor's, and Docker's own files.

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "monitor/config.h"

namespace estiba::monitor {

struct LogEntry {
  Time time;
  std::string stream;  ///< stdout or stderr
  std::string line;    ///< with its newline, unless it is a part of a long line or the last bytes of a stream
  std::map<std::string, std::string> attrs;
};

struct LogReadOptions {
  std::optional<uint64_t> tail;      ///< only the last so many entries; nullopt: all
  std::optional<Time> since, until;  ///< inclusive; what `tail` chose is filtered by them, as in Docker
  bool follow = false;
  bool stdout_ = true, stderr_ = true;
};

/// A pass over a container's log, oldest entry first, rotated files included. One thread.
class LogReader {
 public:
  /// `path` is LogConfig::path. A log that is not there (yet) is empty.
  LogReader(std::string path, LogReadOptions options);
  ~LogReader();
  LogReader(LogReader&&) noexcept;

  /// The next entry that fits. nullopt: there is no more now (without `follow`: for ever), or `until` is past.
  std::optional<LogEntry> next();
  /// With `follow`: waits until there may be more: true. False: `stop` was asked, or `endFd` (-1: none) became readable
  /// or closed: the container has ended, nothing will be written any more; read next() to its end then.
  bool waitForMore(const std::stop_token& stop, int endFd = -1);
  /// The whole loop: every entry to `sink` until the end; `sink` returns false to stop.
  void run(const std::function<bool(const LogEntry&)>& sink, const std::stop_token& stop = {}, int endFd = -1);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One line of the file (without its newline); nullopt where it is damaged.
std::optional<LogEntry> parseLogLine(std::string_view line);

/// "2024-05-01T10:00:00.000000000Z line": as `docker logs --timestamps` shows it, with `attrs` ("k=v,k=v ") where
/// asked.
std::string formatLogEntry(const LogEntry& entry, bool timestamps, bool details);

}  // namespace estiba::monitor
