#pragma once
// What a template looks at: a cheap handle on data. Behind it stand plain values, JSON (with or without a Shape that
// remembers the Go type it was printed from), or an Object whose members are computed when asked for.

#include <boost/describe.hpp>
#include <boost/mp11.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"

namespace estiba::cli {

class Value;

/// What JSON does not say about a value: its Go type. It decides how the value prints ("{a b}" for a struct in the
/// order of its fields, "map[a:b]" for a map), and that fields left out (omitempty) are zero, not missing.
struct Shape {
  enum class Kind { any, boolean, integer, number, string, duration, list, map, structure };
  struct Field {
    std::string_view name;  ///< as templates write it
    std::string_view key;   ///< as JSON writes it
    const Shape* shape;
  };
  Kind kind = Kind::any;
  bool pointer = false;                             ///< null is <nil>, not an empty value
  std::string_view typeName;                        ///< for errors
  const Shape* element = nullptr;                   ///< of lists and maps
  std::vector<Field> fields;                        ///< of structures
  const Field* field(std::string_view name) const;  ///< by `name`, then by `key`; nullptr: none
};

/// Members computed on demand: the formatting contexts of tables (".ID", ".Label \"x\"").
class Object {
 public:
  virtual ~Object() = default;
  /// The field or method `name` called with `args`. nullopt: there is no such thing. Throws Error for bad arguments.
  virtual std::optional<Value> member(std::string_view name, std::span<const Value> args) const = 0;
  /// What `{{json .}}` and `--format json` print; keys sorted.
  virtual json::value toJson() const = 0;
  /// Go's name of the type in errors: "*formatter.imageContext".
  virtual std::string_view typeName() const { return "object"; }
};

/// One value of a template. Copying is cheap or a short string. JSON is referred to, not copied: it must live longer.
class Value {
 public:
  enum class Kind { none, nil, boolean, integer, uinteger, number, string, list, map, structure, object };

  Value() = default;  ///< none: "<no value>"
  static Value nil() { return Value(Data(nullptr)); }
  Value(bool value) : data_(value) {}
  Value(int value) : data_(int64_t{value}) {}
  Value(int64_t value) : data_(value) {}
  Value(uint64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  static Value list(std::vector<Value> items);
  static Value map(std::map<std::string, Value> items);
  static Value object(std::shared_ptr<const Object> object);
  /// `value` must outlive this and all that is taken from it.
  static Value ofJson(const json::value& value, const Shape* shape = nullptr);
  /// The same, kept alive by the Value.
  static Value owningJson(json::value value, const Shape* shape = nullptr);

  Kind kind() const;
  /// Go's truth: not none, nil, false, 0, "", empty.
  bool truth() const;

  // Only for the kind they name.
  bool asBool() const { return std::get<bool>(data_); }
  int64_t asInteger() const { return std::get<int64_t>(data_); }
  uint64_t asUinteger() const { return std::get<uint64_t>(data_); }
  double asNumber() const { return std::get<double>(data_); }
  const std::string& asString() const { return std::get<std::string>(data_); }
  const Object& asObject() const { return **std::get_if<std::shared_ptr<const Object>>(&data_); }

  size_t size() const;                                         ///< of list, map, string (bytes)
  Value at(size_t index) const;                                ///< of a list; index < size()
  std::vector<std::pair<std::string, Value>> entries() const;  ///< of a map sorted by key; of a structure in order
  /// Member of a map or structure; nullopt: no such key. A structure's omitted field is its zero value.
  std::optional<Value> member(std::string_view name) const;
  /// Zero value of a map's elements where its type is known ("" of map[string]string); none otherwise.
  Value zeroElement() const;
  /// A Shape is known: missing keys of its maps are never an error, unknown fields of its structures always are.
  bool isTyped() const;
  /// A nil that no Shape gives a type to: printed alone it is "<no value>", a typed one "<nil>".
  bool isUntypedNil() const { return std::holds_alternative<std::nullptr_t>(data_); }

  json::value toJson() const;
  /// As Go's fmt prints with %v; nothing at all and nil are "<nil>".
  std::string print() const;
  /// Go's name of the type: "string", "int", "map[string]interface {}".
  std::string typeName() const;

 private:
  struct JsonRef {
    const json::value* value;
    const Shape* shape;
    std::shared_ptr<const json::value> owner;
  };
  using List = std::shared_ptr<const std::vector<Value>>;
  using Map = std::shared_ptr<const std::map<std::string, Value>>;
  using Data = std::variant<std::monostate, std::nullptr_t, bool, int64_t, uint64_t, double, std::string, List, Map,
                            JsonRef, std::shared_ptr<const Object>>;
  explicit Value(Data data) : data_(std::move(data)) {}
  static Value ofJson(const json::value* value, const Shape* shape, const std::shared_ptr<const json::value>& owner);

  Data data_;
};

namespace detail {

template <class T>
Shape makeShape();

}  // namespace detail

/// The Shape of a described struct (base/json.h), its members in their order. A key "Id" is also found as "ID".
template <class T>
const Shape& shapeOf() {
  static const Shape shape = detail::makeShape<T>();
  return shape;
}

namespace detail {

/// The name Go gives to the field that JSON calls `key`.
std::string_view goFieldName(std::string_view key);

template <class T>
void addFields(Shape& out) {
  using boost::describe::mod_public;
  boost::mp11::mp_for_each<boost::describe::describe_bases<T, mod_public>>(
      [&](auto base) { addFields<typename decltype(base)::type>(out); });
  boost::mp11::mp_for_each<boost::describe::describe_members<T, mod_public>>([&](auto member) {
    using M = std::remove_cvref_t<decltype(std::declval<T&>().*member.pointer)>;
    const std::string_view key = estiba::detail::keyOf(member.name);
    out.fields.push_back({goFieldName(key), key, &shapeOf<M>()});
  });
}

template <class T>
Shape makeShape() {
  Shape out;
  if constexpr (std::is_same_v<T, bool>) {
    out.kind = Shape::Kind::boolean;
  } else if constexpr (std::is_integral_v<T>) {
    out.kind = Shape::Kind::integer;
  } else if constexpr (std::is_floating_point_v<T>) {
    out.kind = Shape::Kind::number;
  } else if constexpr (std::is_same_v<T, std::string>) {
    out.kind = Shape::Kind::string;
  } else if constexpr (std::is_same_v<T, Empty>) {
    out.kind = Shape::Kind::structure;
  } else if constexpr (estiba::detail::IsOptional<T>::value || estiba::detail::IsNullable<T>::value) {
    using Inner = std::remove_cvref_t<decltype(*std::declval<T&>())>;
    out = shapeOf<Inner>();
    // Slices, maps and omitempty strings are plain in Go; what else may be missing is a pointer.
    out.pointer = out.kind != Shape::Kind::list && out.kind != Shape::Kind::map &&
                  (estiba::detail::IsNullable<T>::value || out.kind != Shape::Kind::string);
  } else if constexpr (estiba::detail::IsVector<T>::value) {
    out.kind = Shape::Kind::list;
    out.element = &shapeOf<typename T::value_type>();
  } else if constexpr (estiba::detail::IsMap<T>::value) {
    out.kind = Shape::Kind::map;
    out.element = &shapeOf<typename T::mapped_type>();
  } else if constexpr (boost::describe::has_describe_members<T>::value) {
    out.kind = Shape::Kind::structure;
    addFields<T>(out);
  }
  return out;
}

}  // namespace detail

}  // namespace estiba::cli
