#pragma once

#include <string>

#include "base/fd.h"

namespace estiba::monitor {

/// A descriptor for execveat(2) of `path` (our own binary) that whoever is executed from it, or sees it as
/// /proc/PID/exe, cannot write through (CVE-2019-5736): a detached read-only clone of its mount; where that is refused,
/// the file as it is if its mount is read-only already, else a sealed copy in memory.
Fd sealedExecutable(const std::string& path);

/// The last resort, for its test: a memfd with every seal.
Fd sealedCopy(const std::string& path);

}  // namespace estiba::monitor
