#include "build/stage_state.h"

#include "base/text.h"

namespace estiba::build {

Variables StageState::variables() const {
  Variables out;
  for (const auto& [name, value] : args) out.set(name, value);
  for (const auto& item : config.Env) {
    const auto [name, value] = cut(item, '=');
    out.set(name, value.value_or(""));
  }
  return out;
}

}  // namespace estiba::build
