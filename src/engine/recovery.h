#pragma once
// What killed engines have left half-made is finished, or swept.

#include "engine/containers.h"
#include "engine/context.h"
#include "engine/lifecycle.h"

namespace estiba::engine {

/// Everything that has neither a row nor a living owner goes: directories, mounts, control groups, addresses; what was
/// half-way between two states is brought to one of them. Other engines may be at work meanwhile: what they hold is left
/// alone. One thing that fails does not keep the rest from it; the first failure is thrown at the end.
void recover(Context& context, Containers& containers, Lifecycle& lifecycle);

}  // namespace estiba::engine
