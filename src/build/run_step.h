#pragma once

#include "build/layer_step.h"

namespace estiba::build {

/// RUN: a process over the stage's layers; what it writes becomes a layer.
void runStep(const Step& step, const RunInstruction& run);

}  // namespace estiba::build
