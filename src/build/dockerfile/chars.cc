#include "build/dockerfile/chars.h"

#include <algorithm>
#include <array>

namespace estiba::build {
namespace {

constexpr char32_t kRawByte = 0x110000;  // above Unicode: a byte that is no UTF-8

size_t sequenceLength(unsigned char lead) {
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf5) return 4;
  return 1;
}

bool validCode(char32_t code, size_t size) {
  constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  return code >= kLeast[size] && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
}

}  // namespace

Char charAt(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const size_t size = sequenceLength(lead);
  if (size == 1 || at + size > text.size()) return {kRawByte + lead, 1};
  char32_t code = lead & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + i]);
    if ((byte & 0xc0) != 0x80) return {kRawByte + lead, 1};
    code = code << 6 | (byte & 0x3f);
  }
  if (!validCode(code, size)) return {kRawByte + lead, 1};
  return {code, size};
}

std::string encodeUtf8(char32_t code) {
  if (code >= kRawByte) return std::string(1, static_cast<char>(code - kRawByte));
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

std::u32string decodeUtf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Char c = charAt(text, at);
    out += c.code;
    at += c.size;
  }
  return out;
}

std::string encodeUtf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t code : text) out += encodeUtf8(code);
  return out;
}

bool isSpace(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool isDigit(char32_t code) {
  return code >= '0' && code <= '9';
}

bool isNameChar(char32_t code) {
  if (code < 0x80) return isDigit(code) || code == '_' || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z');
  if (code >= kRawByte || isSpace(code)) return false;
  // Punctuation and symbols in the blocks where words meet them; everything else counts as a letter.
  const bool latinSign = code < 0xc0 && code != 0xaa && code != 0xb5 && code != 0xba;
  const bool symbol = (code >= 0x2010 && code <= 0x2bff) || (code >= 0x3001 && code <= 0x3020) ||
                      (code >= 0xff00 && code <= 0xff20) || code >= 0x1f000;
  return !latinSign && code != 0xd7 && code != 0xf7 && !symbol;
}

std::string_view trimSpaceLeft(std::string_view text) {
  while (!text.empty()) {
    const Char c = charAt(text, 0);
    if (!isSpace(c.code)) break;
    text.remove_prefix(c.size);
  }
  return text;
}

std::string_view trimSpace(std::string_view text) {
  text = trimSpaceLeft(text);
  for (size_t end = text.size(); end > 0;) {
    size_t start = end - 1;
    while (start > 0 && end - start < 4 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
    const Char c = charAt(text, start);
    if (start + c.size != end || !isSpace(c.code)) return text.substr(0, end);
    end = start;
    text = text.substr(0, end);
  }
  return text;
}

}  // namespace estiba::build
