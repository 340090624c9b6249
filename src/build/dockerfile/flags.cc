#include "build/dockerfile/flags.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "build/dockerfile/source.h"

namespace estiba::build {
namespace {

std::vector<std::string> namesOf(const FlagTable& known) {
  std::vector<std::string> names;
  for (const auto& [name, kind] : known) names.push_back(name);
  return names;
}

std::string booleanValue(const std::string& flag, const std::optional<std::string>& value) {
  if (value && value->empty()) fail(Code::invalid, "missing a value on flag: {}", flag);
  const std::string lower = toLower(value.value_or("true"));
  if (lower != "true" && lower != "false") {
    fail(Code::invalid, "expecting boolean value for flag {}, not: {}", flag, *value);
  }
  return lower;
}

}  // namespace

Flags::Flags(const std::vector<std::string>& given, const FlagTable& known) {
  for (const std::string& text : given) {
    const auto [flag, value] = cut(text, '=');
    const std::string name = flag.substr(2);
    const auto kind = known.find(name);
    if (kind == known.end()) {
      fail(Code::invalid, "unknown flag: {}{}", flag, didYouMean(name, namesOf(known), true));
    }
    std::vector<std::string>& values = values_[name];
    if (!values.empty() && kind->second != FlagKind::list) fail(Code::invalid, "duplicate flag specified: {}", flag);
    if (kind->second == FlagKind::boolean) {
      values.push_back(booleanValue(flag, value));
    } else {
      if (!value) fail(Code::invalid, "missing a value on flag: {}", flag);
      values.push_back(*value);
    }
  }
}

std::string Flags::text(const std::string& name, std::string_view fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(fallback) : found->second.back();
}

std::optional<bool> Flags::tristate(const std::string& name) const {
  return has(name) ? std::optional(isTrue(name)) : std::nullopt;
}

std::vector<std::string> Flags::list(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

std::optional<bool> parseGoBool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

namespace {

std::string quotedField(std::string_view line, size_t& at) {
  std::string field;
  for (++at; at < line.size(); ++at) {
    if (line[at] != '"') {
      field += line[at];
      continue;
    }
    ++at;
    if (at == line.size() || line[at] == ',') return field;
    if (line[at] != '"')
      fail(Code::invalid, "parse error on line 1, column {}: extraneous or missing \" in quoted-field", at);
    field += '"';
  }
  fail(Code::invalid, "parse error on line 1, column {}: extraneous or missing \" in quoted-field", at + 1);
}

std::string bareField(std::string_view line, size_t& at) {
  const size_t end = std::min(line.find(',', at), line.size());
  const std::string_view field = line.substr(at, end - at);
  if (const size_t quote = field.find('"'); quote != std::string_view::npos) {
    fail(Code::invalid, "parse error on line 1, column {}: bare \" in non-quoted-field", at + quote + 1);
  }
  at = end;
  return std::string(field);
}

}  // namespace

std::vector<std::string> csvFields(std::string_view line) {
  std::vector<std::string> fields;
  if (line.empty()) fail(Code::invalid, "EOF");
  for (size_t at = 0;; ++at) {
    const bool quote = at < line.size() && line[at] == '"';
    fields.push_back(quote ? quotedField(line, at) : bareField(line, at));
    if (at == line.size()) return fields;
  }
}

}  // namespace estiba::build
