#pragma once
// Path patterns: .dockerignore, --exclude, and the wildcards of COPY. Pure; paths are relative, with '/', no "./".

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace estiba::build {

/// The patterns of an ignore file: comments and blank lines dropped, cleaned, leading '/' off, '!' kept.
/// Source: Dockerfile reference, ".dockerignore file".
std::vector<std::string> parseIgnoreFile(std::string_view text);

/// Whether `name` as a whole matches `pattern`: Go's filepath.Match ('*' and '?' stop at '/', classes, escapes).
/// Throws Error(invalid) "syntax error in pattern".
bool globMatch(std::string_view pattern, std::string_view name);
/// Throws as globMatch does.
void checkGlob(std::string_view pattern);
bool hasWildcard(std::string_view path);
/// "a/b*/c" -> {"a", "b*/c"}: the directory to walk and the pattern for the paths below it. No wildcard: {path, ""}.
std::pair<std::string, std::string> splitWildcard(std::string_view path);
/// Go's path.Clean: "a//b/../c/" -> "a/c"; "" -> ".".
std::string cleanPath(std::string_view path);

/// Tells which paths a list of patterns leaves out. The last pattern that matches a path or one of its parents decides.
/// Immutable; any number of threads. Source: moby/patternmatcher, MatchesOrParentMatches.
class IgnoreMatcher {
 public:
  IgnoreMatcher();
  /// Throws Error(invalid): "syntax error in pattern", `illegal exclusion pattern: "!"`.
  explicit IgnoreMatcher(const std::vector<std::string>& patterns);
  ~IgnoreMatcher();
  IgnoreMatcher(IgnoreMatcher&&) noexcept;
  IgnoreMatcher& operator=(IgnoreMatcher&&) noexcept;

  bool empty() const;
  bool hasExceptions() const;  ///< any '!'
  bool hasCatchAll() const;    ///< "*", "**" or "**/*" among them
  bool ignored(std::string_view path) const;

  /// What a walk knows of a directory: which patterns match it or a parent of it. Default: the context's root.
  struct Dir {
    std::vector<bool> matched;
  };
  /// As ignored(), for an entry of a directory whose Dir is known: no parent is matched again. `self` receives the
  /// entry's own Dir.
  bool ignored(std::string_view path, const Dir& parent, Dir& self) const;
  /// Whether something below the directory `path` may still be included; false: a walk may skip it.
  bool mayInclude(std::string_view path, const Dir& self) const;
  bool mayInclude(std::string_view path) const;

 private:
  struct Pattern;
  std::vector<Pattern> patterns_;
};

}  // namespace estiba::build
