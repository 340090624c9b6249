#pragma once
// The engine about itself.

#include "apitypes/system.h"
#include "engine/context.h"

namespace estiba::engine {

class System {
 public:
  explicit System(Context& context) : ctx_(context) {}
  apitypes::Info info();
  apitypes::Version version() const;
  /// Verifies rows, directories and (with `digests`) every byte of the store; what it found, one line each.
  std::vector<std::string> check(bool digests);

 private:
  Context& ctx_;
};

}  // namespace estiba::engine
