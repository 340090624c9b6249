#pragma once

#include <vector>

#include "build/session.h"
#include "build/stage_state.h"
#include "oci/reference.h"

namespace estiba::build {

/// The target stage becomes an image under `names`.
image::ImageId exportImage(Session& session, const StageState& state, const std::vector<oci::Reference>& names);

}  // namespace estiba::build
