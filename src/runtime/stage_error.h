#pragma once

#include <string>
#include <utility>

#include "base/error.h"

namespace estiba::runtime {

/// A container's (or exec's) process that could not be made. what() is the text that Docker shows after
/// "OCI runtime create failed: runc create failed: unable to start container process: ":
///   exec: "nohay": executable file not found in $PATH
///   exec: "/etc": is a directory
///   error mounting "/x" to rootfs at "/y": …
class StageError : public Error {
 public:
  StageError(std::string stage, int err, std::string detail, const std::string& message)
      : Error(Code::internal, message), stage_(std::move(stage)), err_(err), detail_(std::move(detail)) {}

  /// Where: plan clone namespaces cgroup mounts devices console hooks masks pivot hostname limits labels cwd user
  /// capabilities lookup start seccomp (stable words, for exit.json).
  const std::string& stage() const noexcept { return stage_; }
  int err() const noexcept { return err_; }  ///< errno, 0 where there is none
  const std::string& detail() const noexcept { return detail_; }
  /// As Docker: 127 the command is not there, 126 it cannot be executed, 125 everything else.
  int exitCode() const noexcept;

 private:
  std::string stage_;
  int err_;
  std::string detail_;
};

}  // namespace estiba::runtime
