#pragma once
// The calls of a build that build nothing: --check, --call=outline, --call=targets.

#include <string>

#include "apitypes/build_trace.h"
#include "build/dockerfile/lint.h"

namespace estiba::build {

/// A Dockerfile, and what it is looked at with.
struct CallSubject {
  std::string_view text;
  std::string_view fileName;   ///< its last name: in JSON
  std::string_view shownName;  ///< in excerpts
  const LintOptions& options;
};

/// name: lint, outline or targets. Throws Error(not_implemented) "unsupported request frontend.x", and what the file's
/// errors are, but of lint, which reports them.
apitypes::BuildCall answerCall(const std::string& name, const CallSubject& subject);

}  // namespace estiba::build
