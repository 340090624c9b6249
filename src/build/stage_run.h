#pragma once

#include "build/layer_step.h"

namespace estiba::build {

/// What one stage works with.
struct StageInputs {
  Session& session;
  Sources& sources;
  BaseImages& images;
  const StageGraph& graph;
  const Plan& plan;
  const PlanOptions& options;
  const Dockerfile& file;
};

/// Carries out the instructions of a stage, one after the other. Throws DockerfileError with their lines,
/// Error(cancelled) where the build was stopped or another stage has failed.
StageState runStage(const StageInputs& in, size_t stage);

}  // namespace estiba::build
