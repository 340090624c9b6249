#include "base/json.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace estiba {

namespace {

// Boost.JSON reads 1e999 as infinity and 0E500 as NaN, which no JSON can say.
bool isFinite(const json::value& value) {
  if (const auto* number = value.if_double()) return std::isfinite(*number);
  if (const auto* array = value.if_array()) return std::all_of(array->begin(), array->end(), isFinite);
  if (const auto* object = value.if_object()) {
    return std::all_of(object->begin(), object->end(), [](const auto& member) { return isFinite(member.value()); });
  }
  return true;
}

}  // namespace

json::value parseJson(std::string_view text, std::string_view what) {
  boost::system::error_code ec;
  json::parse_options options;
  options.max_depth = 64;
  json::stream_parser parser({}, options);
  const size_t used = parser.write_some(text.data(), text.size(), ec);
  if (!ec) parser.finish(ec);
  if (!ec && trim(text.substr(used)).empty()) {
    json::value value = parser.release();
    if (!isFinite(value)) fail(Code::invalid, "{}: a number is out of range", what);
    return value;
  }
  if (text.empty()) fail(Code::invalid, "{}: unexpected end of JSON input", what);
  fail(Code::invalid, "{}: no valid JSON near byte {}: {}", what, used, ec ? ec.message() : "extra data");
}

std::string dumpJson(const json::value& value) {
  return json::serialize(value);
}

namespace {

void dumpInto(std::string& out, const json::value& value, std::string_view indent, size_t depth) {
  const auto newline = [&](size_t d) {
    out += '\n';
    for (size_t i = 0; i < d; ++i) out += indent;
  };
  if (const auto* object = value.if_object()) {
    if (object->empty()) {
      out += "{}";
      return;
    }
    out += '{';
    bool first = true;
    for (const auto& item : *object) {
      if (!first) out += ',';
      first = false;
      newline(depth + 1);
      out += json::serialize(json::string(item.key()));
      out += ": ";
      dumpInto(out, item.value(), indent, depth + 1);
    }
    newline(depth);
    out += '}';
  } else if (const auto* array = value.if_array()) {
    if (array->empty()) {
      out += "[]";
      return;
    }
    out += '[';
    bool first = true;
    for (const auto& item : *array) {
      if (!first) out += ',';
      first = false;
      newline(depth + 1);
      dumpInto(out, item, indent, depth + 1);
    }
    newline(depth);
    out += ']';
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string dumpJsonIndented(const json::value& value, std::string_view indent) {
  std::string out;
  dumpInto(out, value, indent, 0);
  return out;
}

namespace detail {

void badType(const std::string& path, std::string_view wanted, const json::value& got) {
  fail(Code::invalid, "cannot read {} of field '{}' as {}", json::to_string(got.kind()).data(), path, wanted);
}

const json::value* findKey(const json::object& object, std::string_view key) {
  if (const json::value* exact = object.if_contains(key)) return exact;
  const std::string wanted = toLower(key);
  for (const auto& item : object) {
    if (item.key().size() == key.size() && toLower(item.key()) == wanted) return &item.value();
  }
  return nullptr;
}

}  // namespace detail
}  // namespace estiba
