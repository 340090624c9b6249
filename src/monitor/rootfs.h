#pragma once

#include <string>

#include "base/fd.h"
#include "monitor/config.h"

namespace estiba::monitor {

/// A mount namespace of the calling process's own, from which nothing reaches the host's: whatever happens to the
/// process, its mounts go with it. What the host mounts later still comes in. The process must have one thread.
void enterPrivateMounts();
/// The same, but only what is mounted below the mount that `target` is on stays here; every other mount remains a peer
/// of the host's, for volumes that a container shares with it ("rshared").
void enterPeerMounts(const std::string& target);

/// The container's root file system, detached (an O_PATH directory). overlay with any number of lower directories;
/// index, redirect_dir, metacopy and xino are off. Source: kernel filesystems/overlayfs.
Fd makeRootfs(const RootfsConfig& config);
/// makeRootfs(), attached to the directory `target`. A volatile upper directory may be used again after its unmount.
void mountRootfs(const RootfsConfig& config, const std::string& target);

/// For kernels without `lowerdir+` (before 6.8): mount(2), whose options are one page, with short names that are links
/// in a directory of its own. Exposed for its test; mountRootfs() takes it by itself.
void mountOverlayByPage(const RootfsConfig& config, const std::string& target);

}  // namespace estiba::monitor
