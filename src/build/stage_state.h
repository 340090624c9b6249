#pragma once
// What a stage is at one point of its instructions: a stack of layers, a config, variables.

#include <string>
#include <vector>

#include "base/clock.h"
#include "build/dockerfile/expand.h"
#include "oci/image_config.h"
#include "snapshot/layers.h"

namespace estiba::build {

struct StageState {
  std::vector<snapshot::LayerId> layers;  ///< bottom first
  std::string key;                        ///< names the content of the layers: chainID of the base, then step keys
  oci::RunConfig config;
  std::vector<oci::History> history;
  Time created;                           ///< of the youngest layer
  std::string author;
  oci::Platform platform;
  bool cmdSet = false;
  /// ARGs that the stage has declared, with values, in order: seen by later instructions.
  std::vector<std::pair<std::string, std::string>> args;

  Variables variables() const;  ///< ARGs, then ENV over them: what expansion sees
};

}  // namespace estiba::build
