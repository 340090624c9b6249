#pragma once
// Directories of the store (internal to this module).

#include <string>

namespace estiba::snapshot {

/// Makes `path` and its parents 0700, spread over the disk's block groups by EXT4_TOPDIR_FL where that is to be had.
void makeStoreDir(const std::string& path);

}  // namespace estiba::snapshot
