#pragma once

#include <string>
#include <vector>

#include "build/dockerfile/instructions.h"
#include "oci/image_config.h"

namespace estiba::build {

/// Lets an instruction that changes nothing but the image's config do so: ENV LABEL CMD ENTRYPOINT WORKDIR USER VOLUME
/// EXPOSE SHELL STOPSIGNAL HEALTHCHECK ONBUILD. `cmdSet`: whether this stage has said CMD (an ENTRYPOINT then leaves it
/// alone); updated. False: it is none of these. Variables are expanded already.
bool applyToConfig(oci::RunConfig& config, const Instruction& instruction, bool& cmdSet);

/// The shell that shell forms run in: the config's, or {"/bin/sh", "-c"}.
std::vector<std::string> shellOf(const oci::RunConfig& config);
/// A command line as it is executed: shell forms wrapped.
std::vector<std::string> commandOf(const CommandLine& line, const oci::RunConfig& config);
/// Sets or replaces one variable, in its place.
void setEnv(std::vector<std::string>& env, const std::string& key, const std::string& value);
/// WORKDIR's rule: relative to the one before.
std::string joinWorkdir(const std::string& base, const std::string& path);

/// --change of commit and import: each a Dockerfile instruction (CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME
/// WORKDIR HEALTHCHECK SHELL STOPSIGNAL). Throws Error(invalid) "x is not a valid change command".
void applyChanges(oci::RunConfig& config, const std::vector<std::string>& changes);

}  // namespace estiba::build
