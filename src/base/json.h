#pragma once
// JSON as values (Boost.JSON), and plain structs to and from JSON by their member names.
//
// A struct that says
//     struct HealthConfig { std::vector<std::string> Test; std::optional<int64_t> Interval; };
//     BOOST_DESCRIBE_STRUCT(HealthConfig, (), (Test, Interval))
// converts with toJson/fromJson. The member's name IS the JSON key. Types and what they become:
//     bool, integers, double, std::string      themselves; absent or null reads as the default value
//     std::vector<T>, std::map<string, T>      [] and {} when empty
//     std::optional<T>                         left out when empty (Go's omitempty)
//     Nullable<T>                              null when empty (Go's nil slice, map or pointer)
//     Empty                                    {} (Go's struct{}, as in a set of ports)
//     json::value, json::object                whatever it is
// Reading is as Go reads: keys without case, unknown keys ignored; a value of the wrong type throws Error(invalid) that
// names the path. A member whose JSON key is no C++ name ends in '_' (`default_`, `namespace_`): the '_' is not
// written.

#include <boost/describe.hpp>
#include <boost/json.hpp>
#include <boost/mp11.hpp>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace estiba {

namespace json = boost::json;

/// Parses a whole document. Throws Error(invalid) "what: …" with the place; nesting deeper than 64 is refused.
json::value parseJson(std::string_view text, std::string_view what);
/// Compact, keys in insertion order, no HTML escapes.
std::string dumpJson(const json::value& value);
/// As Go's MarshalIndent(value, "", indent): "{}" and "[]" when empty, ": " after keys.
std::string dumpJsonIndented(const json::value& value, std::string_view indent);

struct Empty {
  bool operator==(const Empty&) const = default;
};

/// An optional that is written as null when empty.
template <class T>
struct Nullable : std::optional<T> {
  using std::optional<T>::optional;
};

namespace detail {

[[noreturn]] void badType(const std::string& path, std::string_view wanted, const json::value& got);
/// The member of `object` called `key`, without regard to case (exact match first); nullptr where there is none.
const json::value* findKey(const json::object& object, std::string_view key);

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsNullable : std::false_type {};
template <class T>
struct IsNullable<Nullable<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

constexpr std::string_view keyOf(const char* member) {
  std::string_view key(member);
  if (key.ends_with('_')) key.remove_suffix(1);
  return key;
}

}  // namespace detail

template <class T>
json::value toJson(const T& value) {
  if constexpr (std::is_same_v<T, json::value>) {
    return value;
  } else if constexpr (std::is_same_v<T, json::object> || std::is_same_v<T, json::array>) {
    return json::value(value);
  } else if constexpr (std::is_same_v<T, Empty>) {
    return json::object();
  } else if constexpr (std::is_arithmetic_v<T>) {
    return json::value(value);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return json::value(json::string(std::string_view(value)));
  } else if constexpr (detail::IsOptional<T>::value || detail::IsNullable<T>::value) {
    return value ? toJson(*value) : json::value(nullptr);
  } else if constexpr (detail::IsVector<T>::value) {
    json::array out;
    out.reserve(value.size());
    for (const auto& item : value) out.push_back(toJson<typename T::value_type>(item));
    return out;
  } else if constexpr (detail::IsMap<T>::value) {
    json::object out;
    for (const auto& [key, item] : value) out[key] = toJson(item);
    return out;
  } else {
    json::object out;
    using Bases = boost::describe::describe_bases<T, boost::describe::mod_public>;
    boost::mp11::mp_for_each<Bases>([&](auto base) {
      using B = typename decltype(base)::type;
      json::value part = toJson(static_cast<const B&>(value));
      for (auto& item : part.as_object()) out[item.key()] = std::move(item.value());
    });
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>([&](auto member) {
      const auto& field = value.*member.pointer;
      if constexpr (detail::IsOptional<std::remove_cvref_t<decltype(field)>>::value) {
        if (!field) return;
      }
      out[detail::keyOf(member.name)] = toJson(field);
    });
    return out;
  }
}

/// Reads `from` into `out`; members that are not there keep what `out` holds.
template <class T>
void fromJson(const json::value& from, T& out, const std::string& path = "") {
  if constexpr (std::is_same_v<T, json::value>) {
    out = from;
  } else if constexpr (detail::IsOptional<T>::value || detail::IsNullable<T>::value) {
    if (from.is_null()) {
      out.reset();
    } else {
      fromJson(from, out.emplace(), path);
    }
  } else if (from.is_null()) {
    return;
  } else if constexpr (std::is_same_v<T, json::object>) {
    if (!from.is_object()) detail::badType(path, "object", from);
    out = from.get_object();
  } else if constexpr (std::is_same_v<T, json::array>) {
    if (!from.is_array()) detail::badType(path, "array", from);
    out = from.get_array();
  } else if constexpr (std::is_same_v<T, Empty>) {
    return;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!from.is_bool()) detail::badType(path, "bool", from);
    out = from.get_bool();
  } else if constexpr (std::is_integral_v<T>) {
    boost::system::error_code ec;
    const T number = from.to_number<T>(ec);
    if (ec || from.is_double()) detail::badType(path, "integer", from);
    out = number;
  } else if constexpr (std::is_floating_point_v<T>) {
    boost::system::error_code ec;
    out = from.to_number<T>(ec);
    if (ec) detail::badType(path, "number", from);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!from.is_string()) detail::badType(path, "string", from);
    out = std::string(from.get_string());
  } else if constexpr (detail::IsVector<T>::value) {
    if (!from.is_array()) detail::badType(path, "array", from);
    out.clear();
    for (const auto& item : from.get_array()) {
      typename T::value_type element{};
      fromJson(item, element, path + "[" + std::to_string(out.size()) + "]");
      out.push_back(std::move(element));
    }
  } else if constexpr (detail::IsMap<T>::value) {
    if (!from.is_object()) detail::badType(path, "object", from);
    out.clear();
    for (const auto& item : from.get_object()) {
      fromJson(item.value(), out[std::string(item.key())], path + "." + std::string(item.key()));
    }
  } else {
    if (!from.is_object()) detail::badType(path, "object", from);
    using Bases = boost::describe::describe_bases<T, boost::describe::mod_public>;
    boost::mp11::mp_for_each<Bases>([&](auto base) {
      using B = typename decltype(base)::type;
      fromJson(from, static_cast<B&>(out), path);
    });
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>([&](auto member) {
      const std::string_view key = detail::keyOf(member.name);
      if (const json::value* found = detail::findKey(from.get_object(), key)) {
        fromJson(*found, out.*member.pointer, path.empty() ? std::string(key) : path + "." + std::string(key));
      }
    });
  }
}

template <class T>
T fromJson(const json::value& from) {
  T out{};
  fromJson(from, out);
  return out;
}

/// Parses `text` into a T; `what` names the document in errors.
template <class T>
T parseJsonAs(std::string_view text, std::string_view what) {
  try {
    return fromJson<T>(parseJson(text, what));
  } catch (const Error& e) {
    if (std::string_view(e.what()).starts_with(what)) throw;
    throw Error(e.code(), fmt::format("{}: {}", what, e.what()));
  }
}

template <class T>
std::string dumpJsonOf(const T& value) {
  return dumpJson(toJson(value));
}

}  // namespace estiba
