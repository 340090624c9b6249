#include "image/filters.h"

#include <algorithm>

#include "base/text.h"

namespace estiba::image {

namespace {

[[noreturn]] void badPattern() {
  fail(Code::invalid, "syntax error in pattern");
}

char escapedChar(std::string_view pattern, size_t& p) {
  if (pattern[p] == '\\' && ++p >= pattern.size()) badPattern();
  return pattern[p++];
}

/// The class at pattern[p] == '['; p goes behind its ']'.
bool matchClass(std::string_view pattern, size_t& p, char c) {
  ++p;
  const bool negated = p < pattern.size() && pattern[p] == '^';
  if (negated) ++p;
  bool found = false;
  for (bool first = true;; first = false) {
    if (p >= pattern.size()) badPattern();
    if (pattern[p] == ']' && !first) break;
    if (pattern[p] == '-' || pattern[p] == ']') badPattern();
    const char low = escapedChar(pattern, p);
    char high = low;
    if (p < pattern.size() && pattern[p] == '-') {
      if (++p >= pattern.size() || pattern[p] == '-' || pattern[p] == ']') badPattern();
      high = escapedChar(pattern, p);
    }
    if (low <= c && c <= high) found = true;
  }
  ++p;
  return found != negated;
}

std::vector<std::string> valuesOf(const Filters& filters, const std::string& name) {
  const auto found = filters.find(name);
  return found == filters.end() ? std::vector<std::string>() : found->second;
}

bool matchesReference(const std::string& pattern, const std::string& familiar) {
  if (pathMatch(pattern, familiar)) return true;
  const auto name = oci::Reference::parse(familiar);
  return pathMatch(pattern, name.familiarName());
}

}  // namespace

bool pathMatch(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0;
  // Where the last '*' stands, and what it has taken so far: '*' never takes a '/', so going back to it is enough.
  size_t star = std::string_view::npos, taken = 0;
  for (;;) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      taken = n;
      continue;
    }
    if (n == name.size()) break;
    size_t next = p;
    bool fits = false;
    if (p < pattern.size()) {
      if (pattern[p] == '?') {
        fits = name[n] != '/';
        ++next;
      } else if (pattern[p] == '[') {
        fits = matchClass(pattern, next, name[n]);
      } else {
        fits = escapedChar(pattern, next) == name[n];
      }
    }
    if (fits) {
      p = next;
      ++n;
    } else if (star != std::string_view::npos && name[taken] != '/') {
      p = star;
      n = ++taken;
    } else {
      return false;
    }
  }
  return p == pattern.size();
}

Time parseUntil(const std::string& text) {
  if (const auto ago = parseDuration(text)) return {now().ns - ago->count()};
  if (const auto time = parseRfc3339(text)) return *time;
  // Parts left out are zero; without a zone it is UTC.
  constexpr std::string_view kPattern = "0000-01-01T00:00:00";
  if (text.size() >= 4 && text.size() <= kPattern.size() && text.find('-') == 4) {
    if (const auto time = parseRfc3339(text + std::string(kPattern.substr(text.size())) + "Z")) return *time;
  }
  const auto [seconds, fraction] = cut(text, '.');
  if (const auto whole = parseInt(seconds)) {
    const std::string digits = (fraction.value_or("") + "000000000").substr(0, 9);
    if (const auto nanos = parseUint(digits)) return {*whole * 1'000'000'000 + static_cast<int64_t>(*nanos)};
  }
  fail(Code::invalid, "failed to parse value as time or duration: {}", quoted(text));
}

bool hasLabel(const std::map<std::string, std::string>& labels, const std::string& wanted) {
  const auto [key, value] = cut(wanted, '=');
  const auto found = labels.find(key);
  return found != labels.end() && (!value || found->second == *value);
}

std::optional<bool> boolFilter(const Filters& filters, const std::string& name) {
  std::optional<bool> out;
  for (const std::string& value : valuesOf(filters, name)) {
    const bool yes = value == "true" || value == "1";
    if (!yes && value != "false" && value != "0") fail(Code::invalid, "invalid filter '{}=[{}]'", name, value);
    if (out && *out != yes) fail(Code::invalid, "invalid filter '{}': it is both true and false", name);
    out = yes;
  }
  return out;
}

ListFilter::ListFilter(const Filters& filters, const std::function<Time(const std::string&)>& createdOf) {
  for (const auto& [name, values] : filters) {
    const bool known = name == "dangling" || name == "label" || name == "label!" || name == "before" ||
                       name == "since" || name == "reference" || name == "until";
    if (!known) fail(Code::invalid, "invalid filter '{}'", name);
  }
  dangling_ = boolFilter(filters, "dangling");
  for (const auto& value : valuesOf(filters, "before"))
    before_ = std::min(before_.value_or(Time{INT64_MAX}), createdOf(value));
  for (const auto& value : valuesOf(filters, "since")) since_ = std::max(since_.value_or(Time{}), createdOf(value));
  for (const auto& value : valuesOf(filters, "until"))
    until_ = std::min(until_.value_or(Time{INT64_MAX}), parseUntil(value));
  labels_ = valuesOf(filters, "label");
  withoutLabels_ = valuesOf(filters, "label!");
  references_ = valuesOf(filters, "reference");
}

bool ListFilter::takesNames(Image& image) const {
  const auto refused = [&](const std::string& name) {
    return std::none_of(references_.begin(), references_.end(),
                        [&](const std::string& pattern) { return matchesReference(pattern, name); });
  };
  std::erase_if(image.repoTags, refused);
  std::erase_if(image.repoDigests, refused);
  return !image.repoTags.empty() || !image.repoDigests.empty();
}

bool ListFilter::takes(Image& image, bool intermediate) const {
  if (before_ && image.created >= *before_) return false;
  if (since_ && image.created <= *since_) return false;
  if (until_ && image.created > *until_) return false;
  const auto has = [&](const std::string& label) { return hasLabel(image.labels, label); };
  if (!std::all_of(labels_.begin(), labels_.end(), has)) return false;
  if (std::any_of(withoutLabels_.begin(), withoutLabels_.end(), has)) return false;
  if (dangling_) {
    const bool isDangling = image.repoTags.empty() && !intermediate;
    if (*dangling_ != isDangling) return false;
  }
  return references_.empty() || takesNames(image);
}

}  // namespace estiba::image
