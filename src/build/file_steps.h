#pragma once
// The steps that put files into a layer without a process: COPY, ADD, WORKDIR.

#include "build/layer_step.h"

namespace estiba::build {

void copyStep(const Step& step, const CopyInstruction& copy);
/// Makes the directory `path`, absolute, of the stage's user.
void workdirStep(const Step& step, const std::string& path);

}  // namespace estiba::build
