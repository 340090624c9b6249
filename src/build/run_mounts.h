#pragma once
// The --mounts of a RUN: what they are made of, and what they leave behind.

#include <string>
#include <utility>
#include <vector>

#include "build/layer_step.h"
#include "build/step_runner.h"
#include "sys/lock.h"

namespace estiba::build {

/// Good for as long as the object lives.
struct PreparedMounts {
  std::vector<StepMount> mounts;
  std::vector<std::pair<std::string, std::string>> secretEnv;
  std::vector<FileLock> locks;  ///< of caches
  Inputs inputs;                ///< what the step depends on through them
};

/// Throws Error: a source is missing, a secret is required.
PreparedMounts prepareMounts(const Step& step, const RunInstruction& run);

/// Directories and files that will only exist because something is mounted on them, outermost first.
std::vector<std::string> missingTargets(const Step& step, const std::vector<StepMount>& mounts);
/// Removes them from the step's upper directory. Never follows a link (CVE-2024-23652), never takes what the step has
/// filled.
void removeStubs(const std::string& upper, const std::vector<std::string>& stubs);

}  // namespace estiba::build
