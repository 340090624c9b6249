#pragma once

#include <string_view>

namespace estiba::build {

/// Whether `name` could be an image: [domain[:port]/]path[:tag][@digest]. Source: distribution-spec, pulling manifests;
/// Docker's familiar names.
bool isImageName(std::string_view name);

}  // namespace estiba::build
