#pragma once
// The functions every template may call: Go's predefined ones and docker's.

#include <span>
#include <string>
#include <string_view>

#include "cli/value.h"

namespace estiba::cli::gotemplate {

struct Builtin {
  std::string_view name;
  /// One letter for each parameter: a any, s string, i int, l list of strings; '*' before the last: any number of it.
  std::string_view parameters;
  /// Throws Error(invalid): what follows "error calling NAME: ".
  Value (*call)(std::span<const Value> args);
};

/// nullptr: there is no such function.
const Builtin* findBuiltin(std::string_view name);

/// Go's fmt.Sprint: blanks between operands where neither is a string.
std::string sprint(std::span<const Value> args);

}  // namespace estiba::cli::gotemplate
