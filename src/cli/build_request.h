#pragma once
// From the flags of a build to what is asked of the engine.

#include "apitypes/build_trace.h"
#include "base/fd.h"
#include "cli/session.h"

namespace estiba::cli {

/// Everything but the context. Throws Error in buildx's words.
apitypes::BuildRequest buildRequest(const Parsed& p);

/// The context: a directory, or a file without a name that holds a tar; empty where the engine fetches it, or where
/// there is none. Fills in where it and its Dockerfile are.
Fd chooseContext(Session& s, const Parsed& p, apitypes::BuildRequest& request);

}  // namespace estiba::cli
