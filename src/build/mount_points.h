#pragma once

#include <string>
#include <vector>

#include "build/layer_step.h"
#include "build/step_runner.h"

namespace estiba::build {

/// A directory that, as the topmost layer of a step's stack, has what its mounts are put on and the stage has not:
/// nothing of it gets into the layer that the step makes, so that nothing is to be removed afterwards. Empty where all
/// is there.
std::string makeMountPoints(const Step& step, const std::vector<StepMount>& mounts);

}  // namespace estiba::build
