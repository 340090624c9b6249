#include "build/dockerfile/glob.h"

#include <algorithm>

#include "base/error.h"
#include "build/dockerfile/chars.h"

namespace estiba::build {
namespace {

using Kind = GlobToken::Kind;

[[noreturn]] void badPattern() {
  fail(Code::invalid, "syntax error in pattern");
}

bool contains(const GlobToken& set, char32_t code) {
  const bool in = std::any_of(set.ranges.begin(), set.ranges.end(),
                              [&](const auto& r) { return r.first <= code && code <= r.second; });
  return in != set.negated;
}

bool skippable(Kind kind) {
  return kind == Kind::many || kind == Kind::dirs || kind == Kind::anything;
}

class PathGlobReader {
 public:
  PathGlobReader(std::string_view pattern, bool deep) : in_(pattern), deep_(deep) {}

  Glob read() {
    while (at_ < in_.size()) token();
    return std::move(glob_);
  }

 private:
  void add(Kind kind, char32_t code = 0) { glob_.tokens.push_back({.kind = kind, .code = code}); }
  char32_t next() {
    const Char c = charAt(in_, at_);
    at_ += c.size;
    return c.code;
  }

  void token() {
    switch (const char32_t c = next()) {
      case '*':
        return star();
      case '?':
        return add(Kind::one);
      case '[':
        return set();
      case '\\':
        if (at_ == in_.size()) badPattern();
        return add(Kind::literal, next());
      default:
        return add(Kind::literal, c);
    }
  }

  void star() {
    if (!deep_ || at_ == in_.size() || in_[at_] != '*') return add(Kind::many);
    const bool leading = at_ == 1;
    ++at_;
    if (at_ == in_.size()) return add(Kind::anything);
    if (in_[at_] == '/') {
      ++at_;
      return add(at_ == in_.size() ? Kind::anything : Kind::dirs);
    }
    // "**foo" alone is "ends in foo"; in any other place the stars stand for whole directories.
    const bool plainRest = in_.find_first_of("*?[]\\", at_) == std::string_view::npos;
    add(leading && plainRest ? Kind::anything : Kind::dirs);
  }

  char32_t setChar() {
    if (at_ == in_.size() || in_[at_] == '-' || in_[at_] == ']') badPattern();
    if (in_[at_] == '\\' && ++at_ == in_.size()) badPattern();
    const char32_t c = next();
    if (at_ == in_.size()) badPattern();
    return c;
  }

  void set() {
    GlobToken token{.kind = Kind::set};
    if (at_ < in_.size() && in_[at_] == '^') {
      token.negated = true;
      ++at_;
    }
    while (at_ == in_.size() || in_[at_] != ']' || token.ranges.empty()) {
      const char32_t low = setChar();
      char32_t high = low;
      if (in_[at_] == '-') {
        ++at_;
        high = setChar();
      }
      token.ranges.emplace_back(low, high);
    }
    ++at_;
    glob_.tokens.push_back(std::move(token));
  }

  std::string_view in_;
  bool deep_;
  size_t at_ = 0;
  Glob glob_;
};

}  // namespace

GlobRun::GlobRun(const Glob& glob) : glob_(glob), at_(glob.tokens.size() + 1), inside_(glob.tokens.size()) {
  enter(0, at_);
}

void GlobRun::enter(size_t state, std::vector<char>& states) {
  while (!states[state]) {
    states[state] = 1;
    if (state == glob_.tokens.size() || !skippable(glob_.tokens[state].kind)) return;
    ++state;
  }
}

void GlobRun::step(char32_t code) {
  std::vector<char> after(at_.size());
  std::vector<char> inside(inside_.size());
  for (size_t i = 0; i < glob_.tokens.size(); ++i) {
    const GlobToken& token = glob_.tokens[i];
    if (!at_[i] && !inside_[i]) continue;
    switch (token.kind) {
      case Kind::literal:
        if (code == token.code) enter(i + 1, after);
        break;
      case Kind::one:
        if (code != glob_.barrier) enter(i + 1, after);
        break;
      case Kind::set:
        if (contains(token, code)) enter(i + 1, after);
        break;
      case Kind::many:
        if (code != glob_.barrier) enter(i, after);
        break;
      case Kind::anything:
        enter(i, after);
        break;
      case Kind::dirs:
        inside[i] = 1;
        if (code == '/') enter(i + 1, after);
        break;
    }
  }
  at_.swap(after);
  inside_.swap(inside);
  const auto set = [](char c) { return c != 0; };
  alive_ = std::any_of(at_.begin(), at_.end(), set) || std::any_of(inside_.begin(), inside_.end(), set);
}

void GlobRun::step(std::string_view text) {
  for (size_t at = 0; at < text.size() && alive_;) {
    const Char c = charAt(text, at);
    step(c.code);
    at += c.size;
  }
}

bool matches(const Glob& glob, std::string_view text) {
  GlobRun run(glob);
  run.step(text);
  return run.alive() && run.accepted();
}

Glob parsePathGlob(std::string_view pattern) {
  return PathGlobReader(pattern, false).read();
}
Glob parseIgnoreGlob(std::string_view pattern) {
  return PathGlobReader(pattern, true).read();
}

Glob parseShellGlob(std::string_view pattern) {
  Glob glob{.tokens = {}, .barrier = '\n'};
  const auto add = [&](Kind kind, char32_t code) { glob.tokens.push_back({.kind = kind, .code = code}); };
  constexpr std::u32string_view kMayEscape = U"*?\\}/";
  for (size_t at = 0; at < pattern.size();) {
    Char c = charAt(pattern, at);
    at += c.size;
    if (c.code == '*' || c.code == '?') {
      add(c.code == '*' ? Kind::many : Kind::one, 0);
      continue;
    }
    if (c.code == '\\') {
      if (at == pattern.size()) fail(Code::invalid, "invalid escape '\\'");
      c = charAt(pattern, at);
      at += c.size;
      if (kMayEscape.find(c.code) == std::u32string_view::npos) {
        fail(Code::invalid, "invalid escape '\\{}'", encodeUtf8(c.code));
      }
    }
    add(Kind::literal, c.code);
  }
  return glob;
}

std::optional<size_t> matchPrefix(const Glob& glob, std::u32string_view text, bool longest) {
  std::optional<size_t> found;
  GlobRun run(glob);
  for (size_t length = 0;; ++length) {
    if (run.accepted()) {
      found = length;
      if (!longest) break;
    }
    if (length == text.size()) break;
    run.step(text[length]);
    if (!run.alive()) break;
  }
  return found;
}

}  // namespace estiba::build
