#pragma once
// COPY and ADD: which files, from where, to where, and doing it.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "build/dockerfile/instructions.h"
#include "build/source_tree.h"
#include "image/user.h"

namespace estiba::build {

/// Something that ADD brought from the network: a file of its own in `dir`, or the tree of a repository.
struct Fetched {
  std::string name;    ///< what it is called at its destination
  std::string path;    ///< absolute, on the host
  std::string digest;  ///< of the file's bytes, or a commit
  bool tree = false;
};

/// One COPY or ADD, its sources found and expanded.
struct CopyPlan {
  const CopyInstruction* instruction = nullptr;
  std::shared_ptr<SourceTree> tree;
  std::vector<std::string> paths;  ///< in `tree`
  std::vector<std::string> names;  ///< with --parents: the destination below `destination` of each path
  std::vector<Fetched> fetched;
  std::vector<InlineFile> inlineFiles;
  std::string destination;  ///< absolute
  bool toDirectory = false; ///< the destination was written with a '/' at its end
  IgnoreMatcher excludes;
};

/// Finds the sources. Throws Error(not_found) where one is missing, Error(invalid) in BuildKit's words.
CopyPlan planCopy(const CopyInstruction& instruction, std::shared_ptr<SourceTree> tree, std::vector<Fetched> fetched,
                  const std::string& workdir);

/// All that the result depends on but the parent.
void addInputs(const CopyPlan& plan, Inputs& inputs);

/// Copies into a root file system (mounted, writable). `accounts`: of that root, for --chown.
void runCopy(const CopyPlan& plan, const RootDir& target, const image::Accounts& accounts);

/// A mode out of --chmod: octal, or symbolic ("u=rwX,go=rX") applied to `mode`. Throws Error(invalid).
mode_t changedMode(const std::string& chmod, mode_t mode, bool directory);

}  // namespace estiba::build
