#pragma once
// Directories of the store (internal to this module): made locked, so that no sweeper takes them for litter.

#include <string>
#include <utility>

#include "base/fd.h"

namespace estiba::snapshot {

/// Makes `path` and its parents 0700, spread over the disk's block groups by EXT4_TOPDIR_FL where that is to be had.
void makeStoreDir(const std::string& path);

/// Makes a new directory <parent>/<random id> (0700), opened and with a shared lock. Returns {id, locked descriptor}.
std::pair<std::string, Fd> makeLockedDir(const std::string& parent);

/// Opens a directory and locks it shared (waits); empty where it is missing or has just been removed.
Fd openLockedDir(const std::string& path);

/// Opens a directory and locks it exclusively; empty where it is missing or anybody holds it.
Fd claimDir(const std::string& path);

}  // namespace estiba::snapshot
