#include "cli/gotemplate/unquote.h"

#include <algorithm>
#include <charconv>

#include "cli/utf8.h"

namespace estiba::cli::gotemplate {

namespace {

/// One character of a literal: a rune, or a single byte from "\x41" and "\101".
struct Unit {
  char32_t value;
  bool isByte;
};

std::optional<Unit> numeric(std::string_view& rest, size_t digits, int base, bool isByte) {
  if (rest.size() < digits) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + digits, value, base);
  if (error != std::errc() || end != rest.data() + digits) return std::nullopt;
  if (isByte ? value > 0xFF : value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return std::nullopt;
  rest.remove_prefix(digits);
  return Unit{value, isByte};
}

std::optional<Unit> escape(std::string_view& rest, char quote) {
  if (rest.empty()) return std::nullopt;
  const char c = rest[0];
  if (c >= '0' && c <= '7') return numeric(rest, 3, 8, true);
  rest.remove_prefix(1);
  switch (c) {
    case 'a':
      return Unit{'\a', false};
    case 'b':
      return Unit{'\b', false};
    case 'f':
      return Unit{'\f', false};
    case 'n':
      return Unit{'\n', false};
    case 'r':
      return Unit{'\r', false};
    case 't':
      return Unit{'\t', false};
    case 'v':
      return Unit{'\v', false};
    case '\\':
      return Unit{'\\', false};
    case 'x':
      return numeric(rest, 2, 16, true);
    case 'u':
      return numeric(rest, 4, 16, false);
    case 'U':
      return numeric(rest, 8, 16, false);
    default:
      return c == quote ? std::optional(Unit{static_cast<char32_t>(c), false}) : std::nullopt;
  }
}

std::optional<Unit> unit(std::string_view& rest, char quote) {
  if (rest[0] == quote || rest[0] == '\n') return std::nullopt;
  if (rest[0] == '\\') {
    rest.remove_prefix(1);
    return escape(rest, quote);
  }
  const auto [rune, length] = utf8::decode(rest);
  const Unit out = rune == utf8::kInvalid ? Unit{static_cast<unsigned char>(rest[0]), true} : Unit{rune, false};
  rest.remove_prefix(length);
  return out;
}

}  // namespace

std::optional<std::string> unquote(std::string_view literal) {
  if (literal.size() < 2 || literal.front() != literal.back()) return std::nullopt;
  const char quote = literal.front();
  literal = literal.substr(1, literal.size() - 2);
  if (quote == '`') {
    std::string out(literal);
    std::erase(out, '\r');
    return out;
  }
  std::string out;
  while (!literal.empty()) {
    const auto next = unit(literal, quote);
    if (!next) return std::nullopt;
    if (next->isByte) {
      out += static_cast<char>(next->value);
    } else {
      out += utf8::encode(next->value);
    }
  }
  return out;
}

std::optional<char32_t> unquoteRune(std::string_view literal) {
  if (literal.size() < 3 || literal.front() != '\'' || literal.back() != '\'') return std::nullopt;
  literal = literal.substr(1, literal.size() - 2);
  const auto rune = unit(literal, '\'');
  if (!rune || !literal.empty()) return std::nullopt;
  return rune->value;
}

}  // namespace estiba::cli::gotemplate
