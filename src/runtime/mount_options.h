#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci/runtime_spec.h"

namespace estiba::runtime {

/// A mount of the spec with its options sorted. Source: config-linux.md "Mount options", mount(8).
struct MountPlan {
  std::string destination;  ///< clean, absolute
  std::string type, source;
  bool bind = false, recursiveBind = false, copyUp = false;
  uint64_t set = 0, clear = 0;                    ///< MOUNT_ATTR_* of this mount
  uint64_t recursiveSet = 0, recursiveClear = 0;  ///< and of all below it ("rro")
  uint64_t propagation = 0;                       ///< MS_PRIVATE…; 0: not named
  bool recursivePropagation = false;
  std::vector<std::pair<std::string, std::string>> data;  ///< key, value for the file system; flags have no value
  bool has(std::string_view key) const;
};

/// Throws Error(invalid, not_implemented). Relative sources of binds start at `bundle`.
MountPlan planMount(const oci::Mount& mount, const std::string& bundle);
/// MS_* of "rshared" and the like; 0 where the word is none. `recursive` says whether it began with 'r'.
uint64_t propagationOf(std::string_view word, bool& recursive);
/// Throws Error as Docker knows it where something other than a procfs would be mounted on or inside /proc.
void checkProcDestination(const MountPlan& mount);
/// Whether `destination` is one of the files in /proc that may be mounted over (lxcfs).
bool isAllowedInProc(const std::string& destination);

}  // namespace estiba::runtime
