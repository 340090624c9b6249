#pragma once

#include <map>
#include <string>
#include <vector>

#include "apitypes/container.h"
#include "cli/args.h"
#include "cli/flag.h"

namespace estiba::cli {

/// The flags that `run` and `create` have in common.
std::vector<Flag> containerFlags();
/// The request that these flags, the image and the command make. Throws Error(invalid).
apitypes::ContainerCreateRequest createRequest(const Parsed& parsed);
/// One --env: "NAME=value", or "NAME" for the caller's own value.
void addEnvironment(std::vector<std::string>& env, const std::string& text);
/// The lines of an --env-file. Throws Error(not_found).
void addEnvironmentFile(std::vector<std::string>& env, const std::string& path);
/// --label and --label-file.
std::map<std::string, std::string> labelsOf(const Parsed& parsed);

}  // namespace estiba::cli
