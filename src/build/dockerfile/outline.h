#pragma once
// What can be asked of a Dockerfile without building it: its targets, and what one target takes from outside.
// Source: BuildKit, frontend/subrequests (outline, targets).

#include <string>
#include <vector>

#include "build/dockerfile/stages.h"

namespace estiba::build {

/// What one target can be given.
struct Outline {
  struct Arg {
    std::string name;
    std::string value;  ///< its default, or what --build-arg gives
    std::string description;
    LineRange lines;
  };
  /// A secret or an ssh agent by its id.
  struct Mount {
    std::string id;
    bool required = false;
    LineRange lines;
  };
  std::string name;         ///< of the stage; empty where it has none
  std::string description;  ///< of the comment before its FROM
  std::vector<Arg> args;    ///< those that the target and the stages it needs ask for; by line
  std::vector<Mount> secrets;
  std::vector<Mount> agents;
};

/// Throws DockerfileError and Error as planBuild does.
Outline outlineOf(const Dockerfile& file, const PlanOptions& options);

}  // namespace estiba::build
