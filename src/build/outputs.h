#pragma once
// What a build gives: an image of this engine, or what --output asks for.

#include <optional>
#include <string>
#include <vector>

#include "build/session.h"
#include "build/stage_state.h"
#include "oci/reference.h"

namespace estiba::build {

/// What the target stage stands on: --squash leaves that alone.
struct TargetBase {
  std::string id;  ///< of the image; empty: scratch
  size_t layers = 0;
  size_t history = 0;
};

struct OutputResult {
  std::string id;                  ///< of the image; empty where none was made
  std::vector<std::string> tagged;  ///< the names that it was given in the store
  json::object metadata;            ///< BuildKit's exporter response
};

/// Throws Error(invalid) for an output that cannot be: before anything is built.
void checkOutputs(const apitypes::BuildRequest& request);

/// The config of the image that a stage is.
oci::ImageConfig configOf(const Session& session, const StageState& state);

/// Makes all outputs of the request from the target stage. `names`: of --tag. `base`: where --squash was asked for.
OutputResult makeOutputs(Session& session, const StageState& state, const std::vector<oci::Reference>& names,
                         const std::optional<TargetBase>& base);

}  // namespace estiba::build
