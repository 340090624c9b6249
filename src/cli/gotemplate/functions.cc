#include "cli/gotemplate/functions.h"

#include <algorithm>
#include <array>
#include <compare>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "cli/go_json.h"
#include "cli/gotemplate.h"
#include "cli/utf8.h"

namespace estiba::cli::gotemplate {

namespace {

using Args = std::span<const Value>;
using Kind = Value::Kind;

bool isNil(const Value& value) {
  return value.kind() == Kind::none || value.kind() == Kind::nil;
}
bool isWhole(const Value& value) {
  return value.kind() == Kind::integer || value.kind() == Kind::uinteger;
}

template <class... A>
[[noreturn]] void bad(fmt::format_string<A...> what, A&&... args) {
  fail(Code::invalid, what, std::forward<A>(args)...);
}

// Comparison.

/// Orders two whole numbers whatever their signedness.
std::strong_ordering compareWhole(const Value& a, const Value& b) {
  const auto negative = [](const Value& v) { return v.kind() == Kind::integer && v.asInteger() < 0; };
  if (negative(a) != negative(b)) return negative(a) ? std::strong_ordering::less : std::strong_ordering::greater;
  const auto bits = [](const Value& v) {
    return v.kind() == Kind::integer ? static_cast<uint64_t>(v.asInteger()) : v.asUinteger();
  };
  return bits(a) <=> bits(b);
}

bool equal(const Value& a, const Value& b) {
  if (isNil(a) || isNil(b)) return isNil(a) && isNil(b);
  if (isWhole(a) && isWhole(b)) return compareWhole(a, b) == std::strong_ordering::equal;
  const Kind kind = a.kind();
  const auto basic = [](Kind k) {
    return k == Kind::boolean || k == Kind::number || k == Kind::string || k == Kind::integer || k == Kind::uinteger;
  };
  // A nil slice or map equals nil, and only that.
  if (kind != b.kind()) bad("incompatible types for comparison");
  if (!basic(kind)) bad("non-comparable type {}: {}", b.print(), b.typeName());
  if (kind == Kind::boolean) return a.asBool() == b.asBool();
  if (kind == Kind::number) return a.asNumber() == b.asNumber();
  return a.asString() == b.asString();
}

bool equalToNil(const Value& a, const Value& b) {
  const auto empty = [](const Value& v) {
    return isNil(v) || ((v.kind() == Kind::list || v.kind() == Kind::map) && v.toJson().is_null());
  };
  return empty(a) && empty(b);
}

Value eq(Args args) {
  if (args.size() < 2) bad("missing argument for comparison");
  for (const Value& other : args.subspan(1)) {
    if ((isNil(args[0]) || isNil(other)) ? equalToNil(args[0], other) : equal(args[0], other)) return true;
  }
  return false;
}

Value ne(Args args) {
  const std::array<Value, 2> two{args[0], args[1]};
  return !eq(two).asBool();
}

bool less(const Value& a, const Value& b) {
  const auto ordered = [](const Value& v) {
    return isWhole(v) || v.kind() == Kind::number || v.kind() == Kind::string;
  };
  if (!ordered(a) || !ordered(b)) bad("invalid type for comparison");
  if (isWhole(a) && isWhole(b)) return compareWhole(a, b) == std::strong_ordering::less;
  if (a.kind() != b.kind()) bad("incompatible types for comparison");
  return a.kind() == Kind::number ? a.asNumber() < b.asNumber() : a.asString() < b.asString();
}

bool lessOrEqual(const Value& a, const Value& b) {
  return less(a, b) || equal(a, b);
}

Value lt(Args args) {
  return less(args[0], args[1]);
}
Value le(Args args) {
  return lessOrEqual(args[0], args[1]);
}
Value gt(Args args) {
  return !lessOrEqual(args[0], args[1]);
}
Value ge(Args args) {
  return !less(args[0], args[1]);
}

// Truth. `and` and `or` stop early: the walker does that, these only see what it evaluated.

Value logicalNot(Args args) {
  return !args[0].truth();
}
Value last(Args args) {
  return args.back();
}

// Containers.

size_t checkedIndex(const Value& index, size_t size, bool inclusive) {
  if (isNil(index)) bad("cannot index slice/array with nil");
  if (!isWhole(index)) bad("cannot index slice/array with type {}", index.typeName());
  const bool negative = index.kind() == Kind::integer && index.asInteger() < 0;
  const uint64_t at = index.kind() == Kind::integer ? static_cast<uint64_t>(index.asInteger()) : index.asUinteger();
  if (negative || at > size || (at == size && !inclusive)) bad("index out of range: {}", index.print());
  return at;
}

Value indexOne(const Value& item, const Value& index) {
  switch (item.kind()) {
    case Kind::list:
      return item.at(checkedIndex(index, item.size(), false));
    case Kind::string:
      return int64_t{static_cast<unsigned char>(item.asString()[checkedIndex(index, item.size(), false)])};
    case Kind::map: {
      if (isNil(index)) bad("value is nil; should be string");
      if (index.kind() != Kind::string) bad("value has type {}; should be string", index.typeName());
      return item.member(index.asString()).value_or(item.zeroElement());
    }
    case Kind::none:
    case Kind::nil:
      bad("index of nil pointer");
    default:
      bad("can't index item of type {}", item.typeName());
  }
}

Value index(Args args) {
  if (isNil(args[0])) bad("index of untyped nil");
  Value item = args[0];
  for (const Value& next : args.subspan(1)) item = indexOne(item, next);
  return item;
}

Value slice(Args args) {
  if (isNil(args[0])) bad("slice of untyped nil");
  const Value& item = args[0];
  if (args.size() > 4) bad("too many slice indexes: {}", args.size() - 1);
  const bool isString = item.kind() == Kind::string;
  if (isString && args.size() == 4) bad("cannot 3-index slice a string");
  if (!isString && item.kind() != Kind::list) bad("can't slice item of type {}", item.typeName());
  std::array<size_t, 3> bounds{0, item.size(), item.size()};
  for (size_t i = 1; i < args.size(); ++i) bounds[i - 1] = checkedIndex(args[i], item.size(), true);
  if (bounds[0] > bounds[1]) bad("invalid slice index: {} > {}", bounds[0], bounds[1]);
  if (args.size() == 4 && bounds[1] > bounds[2]) bad("invalid slice index: {} > {}", bounds[1], bounds[2]);
  if (isString) return item.asString().substr(bounds[0], bounds[1] - bounds[0]);
  std::vector<Value> out;
  for (size_t i = bounds[0]; i < bounds[1]; ++i) out.push_back(item.at(i));
  return Value::list(std::move(out));
}

Value length(Args args) {
  switch (args[0].kind()) {
    case Kind::list:
    case Kind::map:
    case Kind::string:
      return static_cast<int64_t>(args[0].size());
    case Kind::none:
    case Kind::nil:
      bad("reflect: call of reflect.Value.Type on zero Value");
    default:
      bad("len of type {}", args[0].typeName());
  }
}

Value call(Args args) {
  if (isNil(args[0])) bad("call of nil");
  bad("non-function of type {}", args[0].typeName());
}

// Text.

Value print(Args args) {
  return sprint(args);
}

Value println(Args args) {
  std::string out;
  for (const Value& arg : args) out += (out.empty() && &arg == args.data() ? "" : " ") + arg.print();
  return out + "\n";
}

Value printfFunction(Args args) {
  return goSprintf(args[0].asString(), args.subspan(1));
}

Value html(Args args) {
  std::string out;
  for (const char c : sprint(args)) {
    switch (c) {
      case '\0':
        out += "\xEF\xBF\xBD";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Value js(Args args) {
  const std::string text = sprint(args);
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto [rune, size] = utf8::decode(std::string_view(text).substr(i));
    const std::string bytes = text.substr(i, size);
    i += size;
    if (rune == '\\' || rune == '\'' || rune == '"') {
      out += "\\" + bytes;
    } else if (rune == utf8::kInvalid) {
      out += "\\uFFFD";
    } else if (std::string_view("<>&=").find(bytes) != std::string_view::npos || !utf8::isPrintable(rune)) {
      out += fmt::format("\\u{:04X}", static_cast<uint32_t>(rune));
    } else {
      out += bytes;
    }
  }
  return out;
}

Value urlquery(Args args) {
  std::string out;
  for (const char c : sprint(args)) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

/// An Object marshals itself, which escapes what HTML minds; docker's json function leaves the rest alone.
Value jsonFunction(Args args) {
  return goJson(args[0].toJson(), {.escapeHtml = args[0].kind() == Kind::object});
}

Value splitFunction(Args args) {
  const std::string& text = args[0].asString();
  const std::string& separator = args[1].asString();
  std::vector<Value> out;
  for (size_t start = 0;;) {
    size_t end = text.find(separator, start);
    if (separator.empty())
      end = start >= text.size() ? std::string::npos : start + utf8::prefix(text.substr(start), 1).size();
    const bool ends = end == std::string::npos || (separator.empty() && end >= text.size());
    if (!separator.empty() || start < text.size()) {
      out.emplace_back(text.substr(start, ends ? std::string::npos : end - start));
    }
    if (ends) return Value::list(std::move(out));
    start = end + separator.size();
  }
}

Value joinFunction(Args args) {
  std::string out;
  for (size_t i = 0, n = args[0].size(); i < n; ++i) {
    const Value item = args[0].at(i);
    if (i > 0) out += args[1].asString();
    out += item.print();
  }
  return out;
}

Value lower(Args args) {
  return toLower(args[0].asString());
}
Value upper(Args args) {
  return toUpper(args[0].asString());
}

/// The first letter of every word, a word being what blanks and punctuation other than '_' and '\'' set apart.
Value title(Args args) {
  std::string out = args[0].asString();
  bool inWord = false;
  for (char& c : out) {
    const bool letter =
        (static_cast<unsigned char>(c) & 0x80) != 0 || utf8::isAlphanumeric(static_cast<unsigned char>(c));
    if (letter && !inWord) c = toUpper(std::string(1, c))[0];
    inWord = letter;
  }
  return out;
}

Value pad(Args args) {
  const std::string& text = args[0].asString();
  if (text.empty()) return text;
  const auto blanks = [&](const Value& n) {
    return std::string(static_cast<size_t>(std::clamp<int64_t>(n.asInteger(), 0, 1000000)), ' ');
  };
  return blanks(args[1]) + text + blanks(args[2]);
}

Value truncate(Args args) {
  const std::string& text = args[0].asString();
  const int64_t most = std::max<int64_t>(args[1].asInteger(), 0);
  return static_cast<size_t>(most) >= text.size() ? text : text.substr(0, static_cast<size_t>(most));
}

constexpr std::array kBuiltins{
    Builtin{"and", "a*a", last},
    Builtin{"call", "a*a", call},
    Builtin{"eq", "a*a", eq},
    Builtin{"ge", "aa", ge},
    Builtin{"gt", "aa", gt},
    Builtin{"html", "*a", html},
    Builtin{"index", "a*a", index},
    Builtin{"join", "ls", joinFunction},
    Builtin{"js", "*a", js},
    Builtin{"json", "a", jsonFunction},
    Builtin{"le", "aa", le},
    Builtin{"len", "a", length},
    Builtin{"lower", "s", lower},
    Builtin{"lt", "aa", lt},
    Builtin{"ne", "aa", ne},
    Builtin{"not", "a", logicalNot},
    Builtin{"or", "a*a", last},
    Builtin{"pad", "sii", pad},
    Builtin{"print", "*a", print},
    Builtin{"printf", "s*a", printfFunction},
    Builtin{"println", "*a", println},
    Builtin{"slice", "a*a", slice},
    Builtin{"split", "ss", splitFunction},
    Builtin{"title", "s", title},
    Builtin{"truncate", "si", truncate},
    Builtin{"upper", "s", upper},
    Builtin{"urlquery", "*a", urlquery},
};

}  // namespace

const Builtin* findBuiltin(std::string_view name) {
  const auto found = std::lower_bound(kBuiltins.begin(), kBuiltins.end(), name,
                                      [](const Builtin& builtin, std::string_view n) { return builtin.name < n; });
  return found == kBuiltins.end() || found->name != name ? nullptr : &*found;
}

std::string sprint(Args args) {
  std::string out;
  for (size_t i = 0; i < args.size(); ++i) {
    const bool strings = i > 0 && (args[i].kind() == Kind::string || args[i - 1].kind() == Kind::string);
    if (i > 0 && !strings) out += ' ';
    out += args[i].print();
  }
  return out;
}

}  // namespace estiba::cli::gotemplate
