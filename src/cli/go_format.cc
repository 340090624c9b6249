#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "cli/gotemplate.h"
#include "cli/utf8.h"

namespace estiba::cli {

namespace {

/// From this exponent on %v and %g print one. Source: pkg.go.dev/strconv FormatFloat, "g" with the shortest precision.
constexpr int kFirstExponent = 6;

/// One directive between '%' and its verb.
struct Spec {
  bool minus = false, plus = false, sharp = false, space = false, zero = false;
  std::optional<int> width, precision;
};

std::string padded(std::string text, const Spec& spec, bool zeros = false) {
  const size_t have = utf8::count(text);
  if (!spec.width || have >= static_cast<size_t>(*spec.width)) return text;
  const size_t missing = static_cast<size_t>(*spec.width) - have;
  if (spec.minus) return text + std::string(missing, ' ');
  if (!zeros || !spec.zero) return std::string(missing, ' ') + text;
  const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  return text.insert(sign, missing, '0');
}

std::string hexBytes(std::string_view bytes, const Spec& spec, bool upper) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0 && spec.space) out += ' ';
    if (spec.sharp && (i == 0 || spec.space)) out += upper ? "0X" : "0x";
    const auto byte = static_cast<unsigned char>(bytes[i]);
    out += upper ? fmt::format("{:02X}", byte) : fmt::format("{:02x}", byte);
  }
  return out;
}

/// @param ascii  what is beyond ASCII is escaped as well (%+q)
std::string quoteWith(std::string_view text, bool ascii) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const auto [rune, length] = utf8::decode(text.substr(i));
    const std::string_view bytes = text.substr(i, length);
    i += length;
    if (rune == utf8::kInvalid) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
      continue;
    }
    switch (rune) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\a':
        out += "\\a";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\v':
        out += "\\v";
        break;
      default:
        if (utf8::isPrintable(rune) && (rune < 0x80 || !ascii)) {
          out += bytes;
        } else if (rune < 0x80) {
          out += fmt::format("\\x{:02x}", static_cast<uint32_t>(rune));
        } else if (rune < 0x10000) {
          out += fmt::format("\\u{:04x}", static_cast<uint32_t>(rune));
        } else {
          out += fmt::format("\\U{:08x}", static_cast<uint32_t>(rune));
        }
    }
  }
  return out + '"';
}

std::string quoteRune(char32_t rune) {
  const std::string inner = goQuote(utf8::encode(rune));
  if (rune == '\'') return "'\\''";
  if (rune == '"') return "'\"'";
  return "'" + inner.substr(1, inner.size() - 2) + "'";
}

std::string digitsOf(uint64_t magnitude, char verb) {
  switch (verb) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
    case 'O':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return std::to_string(magnitude);
  }
}

std::string formatInteger(bool negative, uint64_t magnitude, char verb, const Spec& spec) {
  std::string digits = digitsOf(magnitude, verb);
  if (spec.precision) {
    if (*spec.precision == 0 && magnitude == 0) digits.clear();
    if (digits.size() < static_cast<size_t>(*spec.precision)) {
      digits.insert(0, static_cast<size_t>(*spec.precision) - digits.size(), '0');
    }
  }
  // "%+v" asks for the names of fields, not for signs.
  std::string prefix = negative ? "-" : spec.plus && verb != 'v' ? "+" : spec.space ? " " : "";
  if (verb == 'O') prefix += "0o";
  if (spec.sharp) prefix += verb == 'x' ? "0x" : verb == 'X' ? "0X" : verb == 'o' ? "0" : verb == 'b' ? "0b" : "";
  if (spec.zero && !spec.minus && !spec.precision && spec.width) {
    const size_t have = prefix.size() + digits.size();
    if (have < static_cast<size_t>(*spec.width)) digits.insert(0, static_cast<size_t>(*spec.width) - have, '0');
  }
  return padded(prefix + digits, spec);
}

std::string formatFloat(double value, char verb, const Spec& spec) {
  if (verb == 'v') verb = 'g';
  std::string text;
  if (std::isnan(value)) {
    text = "NaN";
  } else if (std::isinf(value)) {
    text = value < 0 ? "-Inf" : "+Inf";
  } else if (verb == 'g' && !spec.precision) {
    text = goFloat(value);
  } else {
    const int precision = std::min(spec.precision.value_or(6), 400);
    const char format[] = {'%', '.', '*', verb == 'F' ? 'f' : verb, '\0'};
    std::array<char, 1024> buffer{};
    std::snprintf(buffer.data(), buffer.size(), format, precision, value);
    text = buffer.data();
  }
  if (text[0] != '-' && text[0] != '+' && (spec.plus || spec.space)) text.insert(0, spec.plus ? "+" : " ");
  return padded(std::move(text), spec, true);
}

std::string formatOne(const Value& value, char verb, const Spec& spec);

std::string badVerb(const Value& value, char verb) {
  if (value.kind() == Value::Kind::none || value.kind() == Value::Kind::nil) return fmt::format("%!{}(<nil>)", verb);
  return fmt::format("%!{}({}={})", verb, value.typeName(), value.print());
}

std::string formatString(const std::string& text, char verb, const Spec& spec, const Value& value) {
  const std::string cut = spec.precision ? utf8::prefix(text, static_cast<size_t>(*spec.precision)) : text;
  switch (verb) {
    case 'v':
      if (spec.sharp) return padded(goQuote(cut), spec);
      return padded(cut, spec, true);
    case 's':
      return padded(cut, spec, true);
    case 'q':
      if (spec.sharp && cut.find('`') == std::string::npos && cut.find('\n') == std::string::npos) {
        return padded("`" + cut + "`", spec);
      }
      return padded(quoteWith(cut, spec.plus), spec);
    case 'x':
    case 'X': {
      const size_t bytes = spec.precision ? std::min<size_t>(text.size(), *spec.precision) : text.size();
      return padded(hexBytes(std::string_view(text).substr(0, bytes), spec, verb == 'X'), spec);
    }
    default:
      return badVerb(value, verb);
  }
}

std::string formatInt(const Value& value, char verb, const Spec& spec) {
  const bool isSigned = value.kind() == Value::Kind::integer;
  const bool negative = isSigned && value.asInteger() < 0;
  const uint64_t raw = isSigned ? static_cast<uint64_t>(value.asInteger()) : value.asUinteger();
  const uint64_t magnitude = negative ? 0 - raw : raw;
  switch (verb) {
    case 'v':
    case 'd':
    case 'x':
    case 'X':
    case 'o':
    case 'O':
    case 'b':
      return formatInteger(negative, magnitude, verb, spec);
    case 'c':
      return padded(utf8::encode(static_cast<char32_t>(raw)), spec);
    case 'q':
      return padded(quoteRune(static_cast<char32_t>(raw)), spec);
    case 'U':
      return padded(fmt::format("U+{:04X}", raw), spec);
    default:
      return badVerb(value, verb);
  }
}

/// Lists, maps and structures hand the directive down to their elements.
std::string formatComposite(const Value& value, char verb, const Spec& spec) {
  if (value.kind() == Value::Kind::list) {
    std::string out = "[";
    for (size_t i = 0, n = value.size(); i < n; ++i) out += (i == 0 ? "" : " ") + formatOne(value.at(i), verb, spec);
    return out + "]";
  }
  const bool isMap = value.kind() == Value::Kind::map;
  std::string out = isMap ? "map[" : "{";
  bool first = true;
  for (const auto& [key, item] : value.entries()) {
    if (!std::exchange(first, false)) out += ' ';
    if (isMap) {
      out += formatOne(Value(key), verb, spec) + ":";
    } else if (spec.plus && verb == 'v') {
      out += key + ":";
    }
    out += formatOne(item, verb, spec);
  }
  return out + (isMap ? "]" : "}");
}

std::string formatOne(const Value& value, char verb, const Spec& spec) {
  if (verb == 'T') return padded(value.typeName(), spec);
  switch (value.kind()) {
    case Value::Kind::none:
    case Value::Kind::nil:
      return verb == 'v' ? padded("<nil>", spec) : badVerb(value, verb);
    case Value::Kind::boolean:
      if (verb != 't' && verb != 'v') return badVerb(value, verb);
      return padded(value.asBool() ? "true" : "false", spec);
    case Value::Kind::integer:
    case Value::Kind::uinteger:
      return formatInt(value, verb, spec);
    case Value::Kind::number:
      if (std::string_view("vfFeEgG").find(verb) == std::string_view::npos) return badVerb(value, verb);
      return formatFloat(value.asNumber(), verb, spec);
    case Value::Kind::string:
      return formatString(value.asString(), verb, spec, value);
    case Value::Kind::list:
    case Value::Kind::map:
    case Value::Kind::structure:
      return formatComposite(value, verb, spec);
    case Value::Kind::object:
      return padded(value.print(), spec);
  }
  return {};
}

/// Walks one format string over its arguments.
class Printer {
 public:
  Printer(std::string_view format, std::span<const Value> args) : format_(format), args_(args) {}

  std::string run() {
    while (pos_ < format_.size()) {
      if (format_[pos_] != '%') {
        out_ += format_[pos_++];
      } else {
        ++pos_;
        directive();
      }
    }
    if (!reordered_ && next_ < args_.size()) extra();
    return std::move(out_);
  }

 private:
  /// Widths beyond a million are Go's limit; the text they would make is refused alike.
  static constexpr int kMost = 1000000;

  void directive() {
    Spec spec;
    flags(spec);
    argumentIndex();
    spec.width = number(true, spec);
    if (pos_ < format_.size() && format_[pos_] == '.') {
      ++pos_;
      argumentIndex();
      spec.precision = number(false, spec).value_or(0);
    }
    argumentIndex();
    if (pos_ >= format_.size()) {
      out_ += "%!(NOVERB)";
      return;
    }
    const char verb = format_[pos_++];
    if (verb == '%') {
      out_ += '%';
    } else if (badIndex_) {
      badIndex_ = false;
      out_ += fmt::format("%!{}(BADINDEX)", verb);
    } else if (next_ >= args_.size()) {
      out_ += fmt::format("%!{}(MISSING)", verb);
    } else {
      out_ += formatOne(args_[next_++], verb, spec);
    }
  }

  void flags(Spec& spec) {
    for (; pos_ < format_.size(); ++pos_) {
      switch (format_[pos_]) {
        case '-':
          spec.minus = true;
          break;
        case '+':
          spec.plus = true;
          break;
        case '#':
          spec.sharp = true;
          break;
        case ' ':
          spec.space = true;
          break;
        case '0':
          spec.zero = true;
          break;
        default:
          return;
      }
    }
  }

  /// "[2]": the argument that comes next.
  void argumentIndex() {
    if (pos_ >= format_.size() || format_[pos_] != '[') return;
    reordered_ = true;
    const size_t close = format_.find(']', pos_);
    const auto index =
        close == std::string_view::npos ? std::nullopt : parseUint(format_.substr(pos_ + 1, close - pos_ - 1));
    pos_ = close == std::string_view::npos ? format_.size() : close + 1;
    badIndex_ = !index || *index < 1 || *index > args_.size();
    if (!badIndex_) next_ = *index - 1;
  }

  std::optional<int> number(bool isWidth, Spec& spec) {
    if (pos_ < format_.size() && format_[pos_] == '*') {
      ++pos_;
      if (next_ >= args_.size() || args_[next_].kind() != Value::Kind::integer ||
          std::abs(args_[next_].asInteger()) > kMost) {
        if (next_ < args_.size()) ++next_;
        out_ += isWidth ? "%!(BADWIDTH)" : "%!(BADPREC)";
        return std::nullopt;
      }
      int value = static_cast<int>(args_[next_++].asInteger());
      if (value < 0 && isWidth) {
        spec.minus = true;
        value = -value;
      }
      return value < 0 ? std::nullopt : std::optional(value);
    }
    const size_t start = pos_;
    int value = 0;
    while (pos_ < format_.size() && format_[pos_] >= '0' && format_[pos_] <= '9') {
      value = std::min(value * 10 + (format_[pos_++] - '0'), kMost);
    }
    return pos_ == start ? std::nullopt : std::optional(value);
  }

  void extra() {
    out_ += "%!(EXTRA ";
    for (size_t i = next_; i < args_.size(); ++i) {
      if (i > next_) out_ += ", ";
      const bool none = args_[i].kind() == Value::Kind::none || args_[i].kind() == Value::Kind::nil;
      out_ += none ? "<nil>" : args_[i].typeName() + "=" + args_[i].print();
    }
    out_ += ')';
  }

  std::string_view format_;
  std::span<const Value> args_;
  std::string out_;
  size_t pos_ = 0;
  size_t next_ = 0;
  bool reordered_ = false;
  bool badIndex_ = false;
};

}  // namespace

std::string goSprintf(std::string_view format, std::span<const Value> args) {
  return Printer(format, args).run();
}

std::string goQuote(std::string_view text) {
  return quoteWith(text, false);
}

std::string goFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  // Shortest digits first: their exponent decides, as if six digits of precision had been asked for.
  std::array<char, 512> buffer{};
  const auto print = [&](std::chars_format format) {
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
    return std::string(buffer.data(), end);
  };
  const std::string scientific = print(std::chars_format::scientific);
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  return exponent < -4 || exponent >= kFirstExponent ? scientific : print(std::chars_format::fixed);
}

}  // namespace estiba::cli
