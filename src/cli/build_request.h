#pragma once
// From the flags of a build to what is asked of the engine.

#include "apitypes/build_trace.h"
#include "cli/args.h"

namespace estiba::cli {

/// Everything but contexts and outputs. Throws Error in buildx's words.
apitypes::BuildRequest buildRequest(const Parsed& p);

}  // namespace estiba::cli
