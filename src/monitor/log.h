#pragma once
// The json-file log driver's writer: Docker's format, byte for byte.
//   {"log":"line\n","stream":"stdout","attrs":{…},"time":"2024-05-01T10:00:00.123456789Z"}
// A line longer than 16 KiB is written in parts; all but the last have no newline. Source: Docker's json-file driver
// and its copier (documented behaviour), Go's JSON escapes (< > & as \u00XX, invalid UTF-8 as \ufffd).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "monitor/config.h"
#include "monitor/frame.h"

namespace estiba::monitor {

/// The longest part of a line, in bytes of the stream.
inline constexpr size_t kLogPart = 16 * 1024;

/// Appends `bytes` as the inside of a JSON string.
void appendJsonEscaped(std::string& out, std::string_view bytes);

/// Lines are written when they are complete (or 16 KiB long), with one write(2) for all those of a call.
/// A log that cannot be written (a full disk) loses lines and never stops the container.
class JsonFileLog {
 public:
  /// Opens the file, appending to what is there. Throws SysError.
  explicit JsonFileLog(const LogConfig& config);

  void write(StreamId stream, std::string_view bytes, Time time);
  /// The stream has ended: an unfinished line is written as it is.
  void finish(StreamId stream, Time time);
  /// The line that has begun and is not in the file yet.
  std::string_view unfinished(StreamId stream) const noexcept { return pending_[stream == StreamId::err ? 1 : 0].text; }
  void trim();  ///< gives the buffers' memory back
  uint64_t lostLines() const noexcept { return lost_; }

 private:
  struct Pending {
    std::string text;
    Time firstPart;  ///< of the line's parts so far; 0: none was written. All parts carry the first one's time.
  };
  void emit(StreamId stream, std::string_view text, bool newline, Time time, Pending& pending);
  void stamp(Time time);
  void flush();
  void rotate();
  void openFile(int flags);

  LogConfig config_;
  std::string attrs_;  ///< `"attrs":{…},` or nothing
  Fd file_;
  uint64_t size_ = 0;
  std::unique_ptr<char[]> out_;
  size_t used_ = 0;  ///< of out_
  uint64_t outLines_ = 0, lost_ = 0;
  Pending pending_[2];
  Time stampOf_{-1};
  std::string tails_[2];  ///< what follows a line's text: stdout's, stderr's
};

}  // namespace estiba::monitor
