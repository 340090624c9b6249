#pragma once

#include <string>
#include <vector>

#include "monitor/config.h"
#include "sys/mount.h"

namespace estiba::monitor {

/// A mount namespace of the calling process's own, from which nothing reaches the host's: whatever happens to the
/// process, its mounts go with it. What the host mounts later still comes in. The process must have one thread.
void enterPrivateMounts();
/// The same, but only what is mounted below the mount that `target` is on stays here; every other mount remains a peer
/// of the host's, for volumes that a container shares with it ("rshared").
void enterPeerMounts(const std::string& target);

/// The container's root file system, on the directory `target`, which is made. A volatile upper directory may be used
/// again after its unmount.
void mountRootfs(const RootfsConfig& config, const std::string& target);

/// Mounts tree N on BUNDLE/trees/N, which is made. In the caller's mount namespace, which must be its own. The mounts go
/// with what is returned. Throws SysError: a source is missing.
std::vector<MountPoint> mountTrees(const std::vector<TreeConfig>& trees, const std::string& bundle);

}  // namespace estiba::monitor
