#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "build/dockerfile/instructions.h"

namespace estiba::build {

/// Reads a --mount value; every value but the keys goes through `expand` first.
RunMount readRunMount(std::string_view text, const std::function<std::string(std::string_view)>& expand);

/// Only `from`, which may hold no variable: it makes the graph of stages. Throws Error(invalid).
std::string runMountFrom(std::string_view text);

}  // namespace estiba::build
