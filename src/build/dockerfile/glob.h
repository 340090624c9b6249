#pragma once
// One engine for the wildcard patterns of this language: shell patterns of ${v#p} and path patterns. It follows all
// possibilities at once, so that no pattern takes more than pattern x text steps.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace estiba::build {

struct GlobToken {
  enum class Kind {
    literal,
    one,      ///< ?: any character but the barrier
    many,     ///< *: any number of those
    set,      ///< [a-z], [^a-z]
    dirs,     ///< **/: nothing, or anything that ends in '/'
    anything  ///< **: any number of any characters
  };
  Kind kind = Kind::literal;
  char32_t code = 0;
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;
};

struct Glob {
  std::vector<GlobToken> tokens;
  char32_t barrier = '/';  ///< what `one` and `many` stop at
};

/// Where a Glob may stand after the characters seen so far.
class GlobRun {
 public:
  explicit GlobRun(const Glob& glob);
  void step(char32_t code);
  void step(std::string_view text);
  bool alive() const { return alive_; }         ///< some continuation may match
  bool accepted() const { return at_.back(); }  ///< what was seen matches
 private:
  void enter(size_t state, std::vector<char>& states);
  const Glob& glob_;
  std::vector<char> at_;      // before token i; the last: done
  std::vector<char> inside_;  // within `dirs` token i, its '/' still to come
  bool alive_ = true;
};

bool matches(const Glob& glob, std::string_view text);

/// Go's filepath.Match syntax. Throws Error(invalid) "syntax error in pattern".
Glob parsePathGlob(std::string_view pattern);
/// The same with "**", as ignore files have it.
Glob parseIgnoreGlob(std::string_view pattern);
/// '*', '?', '\' before one of "*?\}/". Throws Error(invalid) `invalid escape '\x'`.
Glob parseShellGlob(std::string_view pattern);

/// Length of the shortest or longest prefix of `text` that matches.
std::optional<size_t> matchPrefix(const Glob& glob, std::u32string_view text, bool longest);

}  // namespace estiba::build
