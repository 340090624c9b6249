#pragma once
// Why a step was not cached.

#include <string>

#include "build/builder.h"

namespace estiba::build {

/// Compares with the nearest earlier record of the same instruction and fills `reasons` and `onlyParent`.
void explainMiss(StepCache& cache, const std::string& text, const Inputs& inputs, StepReport& report);

}  // namespace estiba::build
