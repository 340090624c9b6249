#pragma once
// Shell words as a Dockerfile knows them: quotes, escapes, $name and ${name...}. No command substitution, no globbing.
// Source: Dockerfile reference, "Environment replacement"; POSIX XCU 2.6.2 for the modifiers.

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace estiba::build {

/// Variables in the order of their definition.
class Variables {
 public:
  Variables() = default;
  /// From "NAME=value" lines, as an image's config has them; a later one wins.
  explicit Variables(const std::vector<std::string>& env);

  std::optional<std::string> get(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// Replaces in place, or appends.
  void set(std::string_view name, std::string_view value);
  void erase(std::string_view name);
  std::vector<std::string> names() const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }
  std::vector<std::string> toEnv() const;  ///< "NAME=value"

 private:
  const std::string* find(std::string_view name) const;
  std::vector<std::pair<std::string, std::string>> all_;
};

struct Expanded {
  std::string text;                ///< as one word, inner spaces kept
  std::vector<std::string> words;  ///< split at unquoted spaces, after the substitution
  std::set<std::string> used;      ///< names that were found: part of a step's cache key
  std::set<std::string> unset;     ///< names that were looked for and not found, defaults or not
};

/// How to read words. Any number of threads may use one.
struct Expander {
  char escape = '\\';
  bool keepQuotes = false;   ///< quotes stay in the result
  bool keepEscapes = false;  ///< escape characters stay
  bool plainQuotes = false;  ///< quotes mean nothing, as in here-documents
  bool keepUnset = false;    ///< "$name" stays where name is not set

  /// Throws Error(invalid) `failed to process "WORD": …` for bad syntax, an unknown modifier, ${x:?…}, nesting deeper
  /// than 200 or a result over 16 MiB.
  Expanded expand(std::string_view word, const Variables& env) const;
  std::string text(std::string_view word, const Variables& env) const { return expand(word, env).text; }
};

}  // namespace estiba::build
