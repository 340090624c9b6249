#pragma once
// One flag of a command: a row of its table. Semantics and texts are those of pflag as docker 28 shows them.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace estiba::cli {

/// What the text of a value must look like; it decides what help calls it and how repetition works.
enum class ValueKind {
  boolean,    ///< "--x", "--x=false"; never takes the next argument
  text,       ///< any text; the last one wins
  integer,    ///< int64; Go's ParseInt with base prefix 0x 0o 0b and '_'
  uinteger,   ///< uint64
  uint16,     ///< 0..65535
  decimal,    ///< nanos of a rational: "1.5", "3/2"; at most nine decimals
  duration,   ///< Go duration, "1m30s"
  bytes,      ///< "64m"; powers of 1024; "" refused
  swapBytes,  ///< bytes, or -1
  list,       ///< repeated, each argument one element
  strings,    ///< repeated, each argument a CSV record
  map,        ///< repeated key=value
  custom,     ///< repeated; `type` and `check` say the rest
};

/// Looks at one value before it is stored; throws Error(invalid) with the text that follows `invalid argument …:`.
/// May rewrite it (a domain's dots trimmed, a stream's name in lower case).
using FlagCheck = void (*)(std::string& value);

/// All views point at literals: tables are made before main and cost no allocation per flag.
struct Flag {
  std::string_view name;
  char shorthand = 0;
  ValueKind kind = ValueKind::boolean;
  std::string_view type;     ///< help's word for the value: "list", "string", "bytes"; "" for booleans
  std::string_view usage;    ///< help's text; may have line breaks
  std::string_view initial;  ///< value when not given ("" : zero of the kind)
  std::string_view shown;    ///< what help prints as "(default …)" where it is not `initial`, quoted text included
  FlagCheck check = nullptr;
  bool hidden = false;
  std::string_view noValue;  ///< value that "--x" alone stands for, where that is allowed (pflag's NoOptDefVal)
  std::string_view instead;  ///< the flag that took its place: "--time" of "--timeout"; values land there
  std::string_view refusal;  ///< why it cannot be honoured here: giving it is an Error(not_implemented) naming it

  // For tables: `listFlag("volume", 'v', "Bind mount a volume").checked(checkX)`
  constexpr Flag checked(FlagCheck f) const {
    Flag c = *this;
    c.check = f;
    return c;
  }
  constexpr Flag showing(std::string_view s) const {
    Flag c = *this;
    c.shown = s;
    return c;
  }
  constexpr Flag typed(std::string_view s) const {
    Flag c = *this;
    c.type = s;
    return c;
  }
  constexpr Flag concealed() const {
    Flag c = *this;
    c.hidden = true;
    return c;
  }
  constexpr Flag refused(std::string_view why) const {
    Flag c = *this;
    c.refusal = why;
    return c;
  }
  constexpr Flag optionalValue(std::string_view v) const {
    Flag c = *this;
    c.noValue = v;
    return c;
  }
};

// Shorthand 0: none.
constexpr Flag boolFlag(std::string_view name, char shorthand, std::string_view usage, bool initial = false) {
  return {.name = name,
          .shorthand = shorthand,
          .kind = ValueKind::boolean,
          .usage = usage,
          .initial = initial ? "true" : "",
          .noValue = "true"};
}
constexpr Flag stringFlag(std::string_view name, char shorthand, std::string_view usage,
                          std::string_view initial = {}) {
  return {.name = name,
          .shorthand = shorthand,
          .kind = ValueKind::text,
          .type = "string",
          .usage = usage,
          .initial = initial};
}
constexpr Flag intFlag(std::string_view name, char shorthand, std::string_view usage, std::string_view initial = {}) {
  return {.name = name,
          .shorthand = shorthand,
          .kind = ValueKind::integer,
          .type = "int",
          .usage = usage,
          .initial = initial};
}
constexpr Flag uintFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name, .shorthand = shorthand, .kind = ValueKind::uinteger, .type = "uint", .usage = usage};
}
constexpr Flag uint16Flag(std::string_view name, char shorthand, std::string_view usage) {
  return {
      .name = name, .shorthand = shorthand, .kind = ValueKind::uint16, .type = "uint16", .usage = usage, .shown = "0"};
}
constexpr Flag decimalFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name, .shorthand = shorthand, .kind = ValueKind::decimal, .type = "decimal", .usage = usage};
}
constexpr Flag durationFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name,
          .shorthand = shorthand,
          .kind = ValueKind::duration,
          .type = "duration",
          .usage = usage,
          .shown = "0s"};
}
constexpr Flag bytesFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name, .shorthand = shorthand, .kind = ValueKind::bytes, .type = "bytes", .usage = usage};
}
constexpr Flag swapBytesFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name, .shorthand = shorthand, .kind = ValueKind::swapBytes, .type = "bytes", .usage = usage};
}
constexpr Flag listFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name, .shorthand = shorthand, .kind = ValueKind::list, .type = "list", .usage = usage};
}
constexpr Flag stringsFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {.name = name, .shorthand = shorthand, .kind = ValueKind::strings, .type = "strings", .usage = usage};
}
/// A value without '=' is a key with the empty value; the last of equal keys wins.
constexpr Flag mapFlag(std::string_view name, char shorthand, std::string_view usage) {
  return {
      .name = name, .shorthand = shorthand, .kind = ValueKind::map, .type = "map", .usage = usage, .shown = "map[]"};
}
constexpr Flag customFlag(std::string_view name, char shorthand, std::string_view type, std::string_view usage,
                          FlagCheck check, std::string_view shown = {}) {
  return {.name = name,
          .shorthand = shorthand,
          .kind = ValueKind::custom,
          .type = type,
          .usage = usage,
          .shown = shown,
          .check = check};
}
/// An old name of another flag: hidden, prints "Flag --time has been deprecated, use --timeout instead".
constexpr Flag deprecatedFlag(std::string_view name, const Flag& now) {
  Flag f = now;
  f.name = name, f.shorthand = 0, f.hidden = true, f.instead = now.name;
  return f;
}

}  // namespace estiba::cli
