#pragma once
// What a build takes from the network: ADD of URLs and repositories, remote contexts.

#include <stop_token>
#include <string>

#include "build/copy_step.h"

namespace estiba::build {

/// Downloads a URL or clones a repository into `dir` (empty, ours). --checksum is verified. Throws Error.
Fetched fetchSource(const std::string& source, const CopyInstruction& copy, const std::string& dir,
                    std::stop_token stop);

/// A remote context: a repository ("URL#ref:subdir"), or a URL of a tar (or of a Dockerfile alone) into `dir`.
void fetchContext(const std::string& remote, const std::string& dir, std::stop_token stop);

}  // namespace estiba::build
