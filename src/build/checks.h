#pragma once
// The checks of a Dockerfile, as a build makes them and as a call asks for them.

#include "apitypes/build_trace.h"
#include "build/context.h"
#include "build/dockerfile/stages.h"

namespace estiba::build {

/// The answer to a request that is a call (--check, --call=outline…): nothing is built.
apitypes::BuildCall answerRequest(Session& session, BuildContext& context, const PlanOptions& options);

/// The checks of a build: warnings beside the definition's vertex. Throws Error(invalid) where the file wants that.
void checkDockerfile(Session& session, BuildContext& context, const PlanOptions& options, const Plan& plan);

}  // namespace estiba::build
