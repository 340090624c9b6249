#pragma once

#include <string>
#include <vector>

#include "oci/runtime_spec.h"

namespace estiba::runtime {

/// Docker's default seccomp profile (Docker 28) for a container whose bounding set is `capabilities` ("CAP_SYS_ADMIN"):
/// allowed system calls, those that come with a capability, ENOSYS for clone3, EPERM for the rest. x86-64 with x86 and
/// x32. Pure: the same set gives the same filter, so that its compiled form is cached.
oci::LinuxSeccomp defaultSeccomp(const std::vector<std::string>& capabilities);

}  // namespace estiba::runtime
