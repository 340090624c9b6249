#pragma once

#include <string>
#include <vector>

#include "oci/runtime_spec.h"

namespace estiba::runtime {

/// Runs them one after the other with `state` as JSON on their standard input, in the calling process' namespaces, and
/// waits. `kind` ("prestart") is for errors. Throws Error where one cannot be started, ends with another code than 0 or
/// takes longer than its timeout (it is killed then); the ones after it do not run.
/// Source: runtime-spec config.md "POSIX-platform Hooks".
void runHooks(const char* kind, const std::vector<oci::Hook>& hooks, const oci::State& state);

}  // namespace estiba::runtime
