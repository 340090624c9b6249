#pragma once
// Read-only mounts of stacks (internal to this module).

#include <string>
#include <vector>

#include "base/fd.h"

namespace estiba::snapshot {

/// A detached read-only overlay (of one directory: a bind) of `lowers`, topmost first.
Fd mountLowers(const std::vector<std::string>& lowers);

/// The same by mount(2), for kernels that do not know `lowerdir+` (before 6.7): on `scratch`, an empty directory, for a
/// moment.
Fd mountLowersClassic(const std::vector<std::string>& lowers, const std::string& scratch);

}  // namespace estiba::snapshot
