#pragma once
// -v, --mount, --tmpfs, --volumes-from and VOLUME: what a container sees of volumes and of the host.

#include <functional>
#include <vector>

#include "apitypes/container.h"
#include "engine/context.h"

namespace estiba::engine {

/// Resolves all that is asked for; volumes that are missing are made. Throws Error in docker's words.
std::vector<apitypes::MountPoint> resolveMounts(Context& context, const apitypes::ContainerConfig& config,
                                                const apitypes::HostConfig& host);

/// Binds whose source is missing are made (the -v form), volumes that are empty get the image's content.
/// `mountImage` gives the container's root file system as the image has it, where a volume needs it.
void prepareMounts(Context& context, const container::Record& record, const std::function<Fd()>& mountImage);

}  // namespace estiba::engine
