#pragma once
// What a container's first process and its parent tell each other while it sets itself up: fixed structs over a
// SOCK_SEQPACKET pair (or, for a start from another process, over a stream connection).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/fd.h"

namespace estiba::runtime {

/// A failure inside the child; crosses to the parent as a Report and becomes a StageError there.
class ChildFailure : public Error {
 public:
  ChildFailure(const char* stage, int err, std::string detail, const std::string& message)
      : Error(Code::internal, message), stage_(stage), err_(err), detail_(std::move(detail)) {}
  const char* stage() const noexcept { return stage_; }
  int err() const noexcept { return err_; }
  const std::string& detail() const noexcept { return detail_; }

 private:
  const char* stage_;
  int err_;
  std::string detail_;
};

/// Child to parent. Texts end with NUL and are cut where they are too long.
struct Report {
  enum Kind : uint32_t { warning = 1, console, ready, failed, proceed };
  uint32_t kind = 0;
  int32_t err = 0;
  char stage[16] = {};
  char detail[256] = {};
  char message[1768] = {};
};
static_assert(sizeof(Report) == 2048);

Report makeReport(Report::Kind kind, std::string_view message = {});
Report makeFailure(const char* stage, int err, std::string_view detail, std::string_view message);
/// Throws the StageError that `report` (a failed one) tells of.
[[noreturn]] void throwFailure(const Report& report);

/// One end. Both sides send whole Reports; a descriptor may come along.
class Channel {
 public:
  Channel() = default;
  explicit Channel(Fd fd) : fd_(std::move(fd)) {}
  /// {the parent's end, the child's end}
  static std::pair<Channel, Channel> pair();

  void send(const Report& report, int fd = -1) const;
  /// nullopt at the end of the stream.
  std::optional<Report> receive(Fd* fd = nullptr) const;
  int fd() const noexcept { return fd_.get(); }
  void reset() noexcept { fd_.reset(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

 private:
  Fd fd_;
};

}  // namespace estiba::runtime
