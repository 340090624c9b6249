#pragma once
// Arguments against a table of flags, as pflag reads them.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/flag.h"

namespace estiba::cli {

/// What was wrong with the command line: what() is pflag's sentence ("unknown flag: --x").
class FlagError : public Error {
 public:
  explicit FlagError(const std::string& message) : Error(Code::invalid, message) {}
};

/// A command line that fits its table. Values were validated; asking for a flag the table does not have, or by the
/// wrong type, is a bug and throws Error(internal).
class Parsed {
 public:
  std::vector<std::string> args;      ///< positional
  std::optional<size_t> argsAtDash;   ///< how many of them stood before "--"
  bool help = false;                  ///< --help or -h: nothing else counts
  bool helpByShorthand = false;       ///< … said as -h, which docker deprecates
  std::vector<std::string> warnings;  ///< "Flag --time has been deprecated, …"

  bool given(std::string_view flag) const;  ///< it stands on the command line
  bool flag(std::string_view name) const;
  std::string str(std::string_view name) const;
  std::optional<std::string> optString(std::string_view name) const;  ///< empty unless given
  int64_t integer(std::string_view name) const;                       ///< integers, bytes, nanos of decimals
  std::optional<int64_t> optInt(std::string_view name) const;
  uint64_t uinteger(std::string_view name) const;
  std::chrono::nanoseconds duration(std::string_view name) const;
  std::vector<std::string> list(std::string_view name) const;  ///< list, strings, custom: in the order given
  std::map<std::string, std::string> map(std::string_view name) const;

 private:
  friend class ArgReader;
  const Flag& find(std::string_view name) const;
  const std::string* last(std::string_view name) const;
  std::span<const Flag> table_;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

/// Reads `args` (without the program and command names). The table must outlive the result.
/// @param interspersed  false: flags end at the first positional argument (run, exec, create)
/// @throws FlagError; Error(not_implemented) for a flag with a refusal
Parsed parseArgs(std::span<const std::string> args, std::span<const Flag> flags, bool interspersed = true);

/// Help's rows for the flags that are not hidden, sorted by name, wrapped at `columns` (0: never).
/// `withHelp` adds "--help  Print usage" as run and create show it.
std::string flagUsages(std::span<const Flag> flags, int columns);

}  // namespace estiba::cli
