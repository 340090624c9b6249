#include "cli/build_annotations.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"

namespace estiba::cli {

namespace {

constexpr std::array<std::string_view, 4> kTypes = {"manifest", "manifest-descriptor", "index", "index-descriptor"};

bool isType(std::string_view type) { return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end(); }

bool onlyOf(std::string_view text, std::string_view beside) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || beside.find(c) != std::string_view::npos;
  });
}

// "manifest[linux/amd64]": the type, and the platform or nothing; false where it is neither.
bool splitPlace(const std::string& place, apitypes::BuildAnnotation& to) {
  const auto [type, rest] = cut(place, '[');
  to.type = type;
  if (rest) {
    if (!rest->ends_with(']') || rest->size() < 2) return false;
    to.platform = rest->substr(0, rest->size() - 1);
  }
  return onlyOf(type, "-") && onlyOf(to.platform, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/-");
}

}  // namespace

std::vector<apitypes::BuildAnnotation> parseAnnotation(const std::string& text) {
  const auto [name, value] = cut(text, '=');
  if (!value) fail(Code::invalid, "parse annotations: invalid annotation {}, expected key=value", quoted(text));
  const auto [places, key] = cut(name, ':');
  if (!key) return {{"", "", name, *value}};
  std::vector<apitypes::BuildAnnotation> out;
  for (const auto& place : split(places, ',')) {
    apitypes::BuildAnnotation annotation{"", "", *key, *value};
    if (!splitPlace(place, annotation) || place.empty()) {
      fail(Code::invalid,
           "parse annotations: invalid annotation type {}, expected type and optional platform in square brackets",
           quoted(place));
    }
    if (!isType(annotation.type)) {
      fail(Code::invalid, "parse annotations: unknown annotation type {}", quoted(annotation.type));
    }
    out.push_back(std::move(annotation));
  }
  return out;
}

apitypes::BuildAnnotation annotationAttribute(const std::string& name, const std::string& value) {
  const size_t bracket = name.find('[');
  const size_t close = bracket == std::string::npos ? bracket : name.find(']', bracket);
  const size_t dot = name.find('.', close == std::string::npos ? 0 : close);
  apitypes::BuildAnnotation out;
  out.value = value;
  std::string place = name.substr(0, dot);
  const bool good = dot != std::string::npos && dot + 1 < name.size() && place.starts_with("annotation");
  if (good) out.key = name.substr(dot + 1);
  place.erase(0, std::string_view("annotation").size());
  if (place.starts_with('-')) place.erase(0, 1);
  if (!good || !splitPlace(place, out)) fail(Code::invalid, "invalid annotation {}", quoted(name));
  if (!out.type.empty() && !isType(out.type)) fail(Code::invalid, "unrecognized annotation type {}", out.type);
  return out;
}

}  // namespace estiba::cli
