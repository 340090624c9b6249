#pragma once
// --call and --check of a build.

#include <string>

#include "apitypes/build_trace.h"
#include "cli/cli.h"

namespace estiba::cli {

/// What --call names.
struct BuildCallFlag {
  std::string name;    ///< lint, outline, targets, …; empty: a build
  std::string format;  ///< "json" or empty
  bool ignoreStatus = false;
};

/// "outline", "check,format=json", "check,ignorestatus=true". Throws Error(invalid) in buildx's words.
BuildCallFlag parseCall(const std::string& text);

/// Prints the answer. Returns the exit code; throws ExitError with what stopped a lint.
int printCall(Cli& cli, const BuildCallFlag& flag, const apitypes::BuildCall& answer);

}  // namespace estiba::cli
