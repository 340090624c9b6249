#pragma once

#include <string>
#include <vector>

#include "engine/containers.h"
#include "engine/lifecycle.h"

namespace estiba::engine {

struct CommitOptions {
  std::string container;
  std::string repo, tag;  ///< repo empty: untagged
  std::string comment, author;
  bool pause = true;
  std::vector<std::string> changes;  ///< Dockerfile instructions
};

/// The writable layer of a container becomes the top layer of a new image: of a stopped container without a copy.
/// Returns the image ID. Throws Error.
std::string commitContainer(Context& context, Lifecycle& lifecycle, const CommitOptions& options);

}  // namespace estiba::engine
