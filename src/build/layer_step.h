#pragma once
// What every step that makes a layer has in common.

#include <functional>
#include <string>
#include <vector>

#include "build/sources.h"
#include "image/user.h"

namespace estiba::build {

/// One instruction that makes a layer, about to be carried out.
struct Step {
  Session& session;
  Sources& sources;
  const std::vector<Origin>& origins;  ///< where its COPY --from or its mounts lead
  const Instruction& raw;              ///< as in the file, variables in place
  StageState& state;                   ///< of its stage: moves on with the step
  std::string shown;                   ///< "[2/5] RUN …"
  bool ignoreCache = false;

  /// Of its `which`th source; the context where the plan says nothing.
  const Origin& origin(size_t which) const;
};

/// A hit is looked up; a miss is made, timed, hashed and explained. `inputs` hold all that the layer depends on.
void layerStep(const Step& step, const Inputs& inputs, const std::function<snapshot::LayerId(Vertex&)>& make);

/// The users and groups of the stage's own files.
image::Accounts accountsOf(const Step& step);

/// A stack with its writable layer, mounted nowhere but behind the descriptor.
RootDir mounted(const Step& step, const snapshot::Active& active);

}  // namespace estiba::build
