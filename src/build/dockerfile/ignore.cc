#include "build/dockerfile/ignore.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "build/dockerfile/chars.h"
#include "build/dockerfile/glob.h"

namespace estiba::build {

struct IgnoreMatcher::Pattern {
  std::string text;
  bool exception = false;
  bool literal = false;  ///< no wildcard: `text` is a path
  Glob glob;

  bool matches(std::string_view path) const { return literal ? path == text : build::matches(glob, path); }
  bool mayMatchBelow(std::string_view path) const {
    const std::string dir = std::string(path) + "/";
    if (literal) return text.starts_with(dir);
    GlobRun run(glob);
    run.step(dir);
    return run.alive();
  }
};

std::string cleanPath(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(std::move(part));
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!rooted) {
      parts.push_back(std::move(part));
    }
  }
  const std::string joined = join(parts, "/");
  if (rooted) return "/" + joined;
  return joined.empty() ? "." : joined;
}

std::vector<std::string> parseIgnoreFile(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<std::string> patterns;
  for (const std::string& line : split(text, '\n')) {
    std::string_view pattern = line;
    if (pattern.starts_with('#')) continue;
    pattern = trimSpace(pattern);
    if (pattern.empty()) continue;
    const bool exception = pattern.front() == '!';
    if (exception) pattern = trimSpace(pattern.substr(1));
    std::string cleaned = pattern.empty() ? "" : cleanPath(pattern);
    if (cleaned.size() > 1 && cleaned.front() == '/') cleaned.erase(0, 1);
    patterns.push_back((exception ? "!" : "") + cleaned);
  }
  return patterns;
}

bool globMatch(std::string_view pattern, std::string_view name) {
  return matches(parsePathGlob(pattern), name);
}

void checkGlob(std::string_view pattern) {
  parsePathGlob(pattern);
}

bool hasWildcard(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') {
      ++i;
    } else if (path[i] == '*' || path[i] == '?' || path[i] == '[') {
      return true;
    }
  }
  return false;
}

std::pair<std::string, std::string> splitWildcard(std::string_view path) {
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    if (hasWildcard(path.substr(start, end - start))) {
      const std::string_view fixed = path.substr(0, start == 0 ? 0 : start - 1);
      const bool rooted = start == 1;
      return {rooted ? "/" : std::string(fixed), std::string(path.substr(start))};
    }
    start = end + 1;
  }
  return {std::string(path), ""};
}

IgnoreMatcher::IgnoreMatcher() = default;
IgnoreMatcher::~IgnoreMatcher() = default;
IgnoreMatcher::IgnoreMatcher(IgnoreMatcher&&) noexcept = default;
IgnoreMatcher& IgnoreMatcher::operator=(IgnoreMatcher&&) noexcept = default;

IgnoreMatcher::IgnoreMatcher(const std::vector<std::string>& patterns) {
  for (const std::string& given : patterns) {
    const std::string_view trimmed = trimSpace(given);
    if (trimmed.empty()) continue;
    std::string text = cleanPath(trimmed);
    const bool exception = text.front() == '!';
    if (exception) text.erase(0, 1);
    if (text.empty()) fail(Code::invalid, "illegal exclusion pattern: \"!\"");
    checkGlob(text);
    Glob glob = parseIgnoreGlob(text);
    const bool literal = text.find_first_of("*?[\\") == std::string::npos;
    patterns_.push_back({std::move(text), exception, literal, std::move(glob)});
  }
}

bool IgnoreMatcher::empty() const {
  return patterns_.empty();
}

bool IgnoreMatcher::hasExceptions() const {
  return std::any_of(patterns_.begin(), patterns_.end(), [](const Pattern& p) { return p.exception; });
}

bool IgnoreMatcher::hasCatchAll() const {
  return std::any_of(patterns_.begin(), patterns_.end(), [](const Pattern& p) {
    return !p.exception && (p.text == "*" || p.text == "**" || p.text == "**/*");
  });
}

bool IgnoreMatcher::ignored(std::string_view path, const Dir& parent, Dir& self) const {
  self.matched.assign(patterns_.size(), false);
  bool result = false;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const bool byParent = i < parent.matched.size() && parent.matched[i];
    if (!byParent && !patterns_[i].matches(path)) continue;
    self.matched[i] = true;
    result = !patterns_[i].exception;
  }
  return result;
}

bool IgnoreMatcher::ignored(std::string_view path) const {
  if (patterns_.empty() || path.empty() || path == ".") return false;
  Dir parent;
  Dir self;
  for (size_t end = path.find('/'); end != std::string_view::npos; end = path.find('/', end + 1)) {
    ignored(path.substr(0, end), parent, self);
    std::swap(parent, self);
  }
  return ignored(path, parent, self);
}

bool IgnoreMatcher::mayInclude(std::string_view path, const Dir& self) const {
  for (size_t i = patterns_.size(); i-- > 0;) {
    const Pattern& pattern = patterns_[i];
    const bool matched = i < self.matched.size() && self.matched[i];
    if (matched) return pattern.exception;
    if (pattern.exception && pattern.mayMatchBelow(path)) return true;
  }
  return true;
}

bool IgnoreMatcher::mayInclude(std::string_view path) const {
  if (path.empty() || path == ".") return true;
  Dir parent;
  Dir self;
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    ignored(path.substr(0, end), parent, self);
    if (end == std::string_view::npos) return mayInclude(path, self);
    std::swap(parent, self);
  }
}

}  // namespace estiba::build
