#pragma once
// What a build takes from the network: ADD of URLs and repositories, remote contexts.

#include <stop_token>
#include <string>

#include "base/fd.h"
#include "build/copy_step.h"

namespace estiba::build {

/// Downloads a URL or clones a repository into `dir` (empty, ours). --checksum is verified. Throws Error.
Fetched fetchSource(const std::string& source, const CopyInstruction& copy, const std::string& dir,
                    std::stop_token stop);

/// A remote context into `dir` (empty, ours): a repository (see git_source.h), or a URL of a tar, or of a Dockerfile
/// alone. Returns the context's directory.
Fd fetchContext(const std::string& remote, const std::string& dir, bool keepGitDir, std::stop_token stop);
/// The same of --build-context: what a URL holds is the file "context".
Fd fetchNamedContext(const std::string& remote, const std::string& dir, std::stop_token stop);

}  // namespace estiba::build
