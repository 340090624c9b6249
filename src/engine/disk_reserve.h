#pragma once

#include <string>

namespace estiba::engine {

/// On a full disk the database can take no row, not even the one that would free space: `rm` and `prune` would be as
/// stuck as the rest. So up to two megabytes are put by in <root>/reserve while there is room, and given back, a part at a time,
/// to commands that find the disk full. Costs one statfs(2). Never throws.
void giveDiskReserve(const std::string& root) noexcept;

}  // namespace estiba::engine
