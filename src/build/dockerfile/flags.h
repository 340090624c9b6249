#pragma once
// The --flags of an instruction.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace estiba::build {

enum class FlagKind { boolean, text, list };
using FlagTable = std::map<std::string, FlagKind>;

/// The flags that were given, checked against what the instruction knows.
class Flags {
 public:
  /// Throws Error(invalid): "unknown flag: --x (did you mean y?)", "duplicate flag specified: --x", "missing a value
  /// on flag: --x", "expecting boolean value for flag --x, not: y".
  Flags(const std::vector<std::string>& given, const FlagTable& known);

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, std::string_view fallback = "") const;
  bool isTrue(const std::string& name) const { return text(name) == "true"; }
  std::optional<bool> tristate(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

/// Go's strconv.ParseBool.
std::optional<bool> parseGoBool(std::string_view text);
/// The fields of one line of comma-separated values (RFC 4180). Throws Error(invalid) as Go's reader words it.
std::vector<std::string> csvFields(std::string_view line);

}  // namespace estiba::build
