#pragma once
// How a build shows its progress.

#include <memory>
#include <string>

#include "apitypes/build_trace.h"
#include "cli/session.h"

namespace estiba::cli {

class BuildRenderer {
 public:
  virtual ~BuildRenderer() = default;
  virtual void take(const apitypes::BuildTrace& trace) = 0;
  virtual void finish() {}
  /// The error that ended the build, after all else.
  virtual void failed(const std::string& message) = 0;
};

/// mode: auto, plain, tty, rawjson, quiet. Throws Error(invalid) for another.
std::unique_ptr<BuildRenderer> makeBuildRenderer(Session& session, const std::string& mode);

/// A name for an image: refused here, before anything is sent. Throws Error(invalid) in docker's words.
void checkTag(const std::string& tag);

}  // namespace estiba::cli
