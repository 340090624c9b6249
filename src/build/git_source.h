#pragma once
// Repositories as sources: contexts, ADD. Source: BuildKit's git references.

#include <optional>
#include <string>
#include <vector>

namespace estiba::build {

/// "https://host/repo.git#ref:subdir", "https://host/repo.git?ref=…&subdir=…".
struct GitSource {
  std::string url;       ///< what git fetches from
  std::string ref;       ///< branch, tag or commit; empty: the remote's HEAD
  std::string subdir;    ///< relative; empty: all of it
  std::string checksum;  ///< what the commit must be, or begin with
  std::optional<bool> keepGitDir;
  bool submodules = true;
};

/// Throws Error(invalid) in BuildKit's words: `unexpected query "x"`, `ref conflicts: "a" vs "b"`; also where git would
/// take a part for an option (CVE-2019-13139).
GitSource parseGitSource(const std::string& text);

/// Checks the commit out into `dir` (made by git) and returns it. `keepGitDir`: where the source itself says nothing.
/// Throws Error(unavailable) with git's words, Error(invalid) for another commit than the checksum.
std::string checkOut(const GitSource& source, const std::string& dir, bool keepGitDir);

}  // namespace estiba::build
