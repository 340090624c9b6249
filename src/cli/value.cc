#include "cli/value.h"

#include <algorithm>

#include "base/clock.h"
#include "cli/go_json.h"
#include "cli/gotemplate.h"

namespace estiba::cli {

namespace {

const json::value kNull;

/// Entries of a JSON object by key, as Go's fmt and encoding/json order a map.
std::vector<const json::key_value_pair*> sortedEntries(const json::object& object) {
  std::vector<const json::key_value_pair*> out;
  out.reserve(object.size());
  for (const auto& entry : object) out.push_back(&entry);
  std::sort(out.begin(), out.end(), [](auto* a, auto* b) { return a->key() < b->key(); });
  return out;
}

json::value sortedCopy(const json::value& value) {
  if (value.is_array()) {
    json::array out;
    out.reserve(value.get_array().size());
    for (const auto& item : value.get_array()) out.push_back(sortedCopy(item));
    return out;
  }
  if (!value.is_object()) return value;
  json::object out;
  for (const auto* entry : sortedEntries(value.get_object())) out.emplace(entry->key(), sortedCopy(entry->value()));
  return out;
}

Value::Kind kindOfShape(const Shape& shape) {
  using enum Shape::Kind;
  switch (shape.kind) {
    case any:
      return Value::Kind::nil;
    case boolean:
      return Value::Kind::boolean;
    case integer:
      return Value::Kind::integer;
    case number:
      return Value::Kind::number;
    case string:
    case duration:
      return Value::Kind::string;
    case list:
      return Value::Kind::list;
    case map:
      return Value::Kind::map;
    case structure:
      return Value::Kind::structure;
  }
  return Value::Kind::nil;
}

std::string goTypeName(const Shape& shape) {
  using enum Shape::Kind;
  const auto element = [&] { return shape.element == nullptr ? "interface {}" : goTypeName(*shape.element); };
  switch (shape.kind) {
    case any:
      return "interface {}";
    case boolean:
      return "bool";
    case integer:
      return "int";
    case number:
      return "float64";
    case string:
      return "string";
    case duration:
      return "time.Duration";
    case list:
      return "[]" + element();
    case map:
      return "map[string]" + element();
    case structure:
      return shape.typeName.empty() ? "struct" : std::string(shape.typeName);
  }
  return "interface {}";
}

}  // namespace

const Shape::Field* Shape::field(std::string_view name) const {
  for (const Field& f : fields) {
    if (f.name == name) return &f;
  }
  for (const Field& f : fields) {
    if (f.key == name) return &f;
  }
  return nullptr;
}

std::string_view detail::goFieldName(std::string_view key) {
  return key == "Id" ? "ID" : key;
}

Value Value::list(std::vector<Value> items) {
  return Value(Data(std::make_shared<const std::vector<Value>>(std::move(items))));
}

Value Value::map(std::map<std::string, Value> items) {
  return Value(Data(std::make_shared<const std::map<std::string, Value>>(std::move(items))));
}

Value Value::object(std::shared_ptr<const Object> object) {
  return Value(Data(std::move(object)));
}

Value Value::ofJson(const json::value& value, const Shape* shape) {
  return ofJson(&value, shape, nullptr);
}

Value Value::owningJson(json::value value, const Shape* shape) {
  const auto owner = std::make_shared<const json::value>(std::move(value));
  return ofJson(owner.get(), shape, owner);
}

Value Value::ofJson(const json::value* value, const Shape* shape, const std::shared_ptr<const json::value>& owner) {
  switch (value->kind()) {
    case json::kind::bool_:
      return value->get_bool();
    case json::kind::int64:
      if (shape != nullptr && shape->kind == Shape::Kind::duration) {
        return formatDuration(std::chrono::nanoseconds(value->get_int64()));
      }
      return value->get_int64();
    case json::kind::uint64:
      return value->get_uint64();
    case json::kind::double_:
      return value->get_double();
    case json::kind::string:
      return std::string_view(value->get_string());
    case json::kind::null:
      if (shape == nullptr || shape->kind == Shape::Kind::any) return nil();
      if (!shape->pointer) {
        if (shape->kind == Shape::Kind::boolean) return false;
        if (shape->kind == Shape::Kind::integer) return 0;
        if (shape->kind == Shape::Kind::number) return 0.0;
        if (shape->kind == Shape::Kind::string) return "";
        if (shape->kind == Shape::Kind::duration) return "0s";
      }
      break;
    case json::kind::array:
    case json::kind::object:
      break;
  }
  return Value(Data(JsonRef{value, shape, owner}));
}

Value::Kind Value::kind() const {
  static constexpr Kind kKinds[] = {Kind::none,     Kind::nil,    Kind::boolean, Kind::integer,
                                    Kind::uinteger, Kind::number, Kind::string,  Kind::list,
                                    Kind::map,      Kind::nil,    Kind::object};
  const auto* ref = std::get_if<JsonRef>(&data_);
  if (ref == nullptr) return kKinds[data_.index()];
  if (ref->value->is_array()) return Kind::list;
  if (ref->value->is_object()) {
    return ref->shape != nullptr && ref->shape->kind == Shape::Kind::structure ? Kind::structure : Kind::map;
  }
  return ref->shape->pointer ? Kind::nil : kindOfShape(*ref->shape);
}

bool Value::truth() const {
  switch (kind()) {
    case Kind::none:
    case Kind::nil:
      return false;
    case Kind::boolean:
      return asBool();
    case Kind::integer:
      return asInteger() != 0;
    case Kind::uinteger:
      return asUinteger() != 0;
    case Kind::number:
      return asNumber() != 0;
    case Kind::string:
    case Kind::list:
    case Kind::map:
      return size() != 0;
    case Kind::structure:
    case Kind::object:
      return true;
  }
  return false;
}

size_t Value::size() const {
  if (const auto* text = std::get_if<std::string>(&data_)) return text->size();
  if (const auto* items = std::get_if<List>(&data_)) return (*items)->size();
  if (const auto* items = std::get_if<Map>(&data_)) return (*items)->size();
  const json::value& value = *std::get<JsonRef>(data_).value;
  return value.is_array() ? value.get_array().size() : value.is_object() ? value.get_object().size() : 0;
}

Value Value::at(size_t index) const {
  if (const auto* items = std::get_if<List>(&data_)) return (**items)[index];
  const JsonRef& ref = std::get<JsonRef>(data_);
  return ofJson(&ref.value->get_array()[index], ref.shape == nullptr ? nullptr : ref.shape->element, ref.owner);
}

std::vector<std::pair<std::string, Value>> Value::entries() const {
  std::vector<std::pair<std::string, Value>> out;
  if (const auto* items = std::get_if<Map>(&data_)) {
    out.assign((*items)->begin(), (*items)->end());
    return out;
  }
  const JsonRef& ref = std::get<JsonRef>(data_);
  if (kind() == Kind::structure) {
    for (const auto& field : ref.shape->fields) out.emplace_back(field.name, *member(field.name));
  } else if (ref.value->is_object()) {
    const Shape* element = ref.shape == nullptr ? nullptr : ref.shape->element;
    for (const auto* entry : sortedEntries(ref.value->get_object())) {
      out.emplace_back(std::string(entry->key()), ofJson(&entry->value(), element, ref.owner));
    }
  }
  return out;
}

std::optional<Value> Value::member(std::string_view name) const {
  if (const auto* items = std::get_if<Map>(&data_)) {
    const auto found = (*items)->find(std::string(name));
    return found == (*items)->end() ? std::nullopt : std::optional(found->second);
  }
  const JsonRef& ref = std::get<JsonRef>(data_);
  const Shape* shape = ref.shape == nullptr ? nullptr : ref.shape->element;
  std::string_view key = name;
  const bool isStructure = kind() == Kind::structure;
  if (isStructure) {
    const Shape::Field* field = ref.shape->field(name);
    if (field == nullptr) return std::nullopt;
    shape = field->shape;
    key = field->key;
  }
  const json::value* found = ref.value->is_object() ? ref.value->get_object().if_contains(key) : nullptr;
  if (found != nullptr) return ofJson(found, shape, ref.owner);
  return isStructure ? std::optional(ofJson(&kNull, shape, nullptr)) : std::nullopt;
}

Value Value::zeroElement() const {
  const auto* ref = std::get_if<JsonRef>(&data_);
  if (ref == nullptr || ref->shape == nullptr || ref->shape->element == nullptr) return {};
  return ofJson(&kNull, ref->shape->element, nullptr);
}

bool Value::isTyped() const {
  const auto* ref = std::get_if<JsonRef>(&data_);
  return ref == nullptr ? !std::holds_alternative<Map>(data_) : ref->shape != nullptr;
}

json::value Value::toJson() const {
  switch (data_.index()) {
    case 2:
      return asBool();
    case 3:
      return asInteger();
    case 4:
      return asUinteger();
    case 5: {  // as encoding/json: a whole float has no decimals
      const double number = asNumber();
      if (number == static_cast<double>(static_cast<int64_t>(std::clamp(number, -9e15, 9e15)))) {
        return static_cast<int64_t>(number);
      }
      return number;
    }
    case 6:
      return json::value(json::string(asString()));
    case 7: {
      json::array out;
      for (const Value& item : *std::get<List>(data_)) out.push_back(item.toJson());
      return out;
    }
    case 8: {
      json::object out;
      for (const auto& [key, item] : *std::get<Map>(data_)) out[key] = item.toJson();
      return out;
    }
    case 9: {
      const JsonRef& ref = std::get<JsonRef>(data_);
      return ref.shape == nullptr ? sortedCopy(*ref.value) : *ref.value;
    }
    case 10:
      return asObject().toJson();
    default:
      return nullptr;
  }
}

std::string Value::print() const {
  switch (kind()) {
    case Kind::none:
    case Kind::nil:
      return "<nil>";
    case Kind::boolean:
      return asBool() ? "true" : "false";
    case Kind::integer:
      return std::to_string(asInteger());
    case Kind::uinteger:
      return std::to_string(asUinteger());
    case Kind::number:
      return goFloat(asNumber());
    case Kind::string:
      return asString();
    case Kind::list: {
      std::string out = "[";
      for (size_t i = 0, n = size(); i < n; ++i) out += (i == 0 ? "" : " ") + at(i).print();
      return out + "]";
    }
    case Kind::map:
    case Kind::structure: {
      const bool isMap = kind() == Kind::map;
      std::string out = isMap ? "map[" : "{";
      bool first = true;
      for (const auto& [key, item] : entries()) {
        if (!std::exchange(first, false)) out += ' ';
        if (isMap) out += key + ":";
        out += item.print();
      }
      return out + (isMap ? "]" : "}");
    }
    case Kind::object:
      return goJson(asObject().toJson());
  }
  return {};
}

std::string Value::typeName() const {
  if (const auto* ref = std::get_if<JsonRef>(&data_); ref != nullptr && ref->shape != nullptr) {
    return goTypeName(*ref->shape);
  }
  switch (kind()) {
    case Kind::none:
    case Kind::nil:
      return "<nil>";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::uinteger:
      return "uint64";
    case Kind::number:
      return "float64";
    case Kind::string:
      return "string";
    case Kind::list:
      return "[]interface {}";
    case Kind::map:
    case Kind::structure:
      return "map[string]interface {}";
    case Kind::object:
      return std::string(asObject().typeName());
  }
  return {};
}

}  // namespace estiba::cli
