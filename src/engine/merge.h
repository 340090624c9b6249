#pragma once
// A container's config out of what was asked for and what the image says.

#include "apitypes/container_config.h"
#include "oci/image_config.h"

namespace estiba::engine {

/// Docker's rules: what the request leaves unset comes from the image; ports, volumes, labels are united; environment
/// variables too, the request's first by name; an entrypoint of the request drops the image's command.
void mergeImageConfig(apitypes::ContainerConfig& config, const oci::RunConfig& image);

/// {entrypoint + cmd}. Throws Error(invalid) "no command specified" where there is none.
std::vector<std::string> commandOf(const apitypes::ContainerConfig& config);

/// The parts of a container's config that an image keeps.
oci::RunConfig imagePartOf(const apitypes::ContainerConfig& config);

}  // namespace estiba::engine
