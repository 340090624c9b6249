#pragma once

#include "build/outputs.h"

namespace estiba::build {

/// --squash: the layers above the base become one; history keeps its entries as empty ones. Source: docker's classic
/// builder (daemon/images/image_squash.go).
void squash(Session& session, image::Assembly& assembly, const TargetBase& base);

}  // namespace estiba::build
