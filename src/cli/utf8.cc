#include "cli/utf8.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace estiba::cli::utf8 {

namespace {

struct Range {
  char32_t first, last;
};

template <size_t N>
bool in(const std::array<Range, N>& ranges, char32_t rune) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Range& r) { return rune >= r.first && rune <= r.last; });
}

// Unicode: format, control, private use, surrogates, separators but the space. Unassigned ones are not listed.
constexpr std::array<Range, 14> kUnprintable{{{0x00, 0x1F},
                                              {0x7F, 0xA0},
                                              {0xAD, 0xAD},
                                              {0x600, 0x605},
                                              {0x61C, 0x61C},
                                              {0x1680, 0x1680},
                                              {0x180E, 0x180E},
                                              {0x2000, 0x200F},
                                              {0x2028, 0x202F},
                                              {0x205F, 0x206F},
                                              {0x3000, 0x3000},
                                              {0xD800, 0xF8FF},
                                              {0xFEFF, 0xFEFF},
                                              {0xFFF0, 0xFFFB}}};
// East Asian Width W and F, and emoji that are shown wide (Unicode 15).
constexpr std::array<Range, 22> kWide{
    {{0x1100, 0x115F}, {0x231A, 0x231B}, {0x2329, 0x232A}, {0x23E9, 0x23EC},  {0x23F0, 0x23F0}, {0x23F3, 0x23F3},
     {0x25FD, 0x25FE}, {0x2614, 0x2615}, {0x2648, 0x2653}, {0x26A1, 0x26A1},  {0x2705, 0x2705}, {0x274C, 0x274C},
     {0x2E80, 0x303E}, {0x3041, 0x33FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},  {0xA000, 0xA4CF}, {0xAC00, 0xD7A3},
     {0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0x1F300, 0x1FAFF}}};
constexpr std::array<Range, 7> kCombining{{{0x300, 0x36F},
                                           {0x483, 0x489},
                                           {0x591, 0x5BD},
                                           {0x1AB0, 0x1AFF},
                                           {0x1DC0, 0x1DFF},
                                           {0x200B, 0x200F},
                                           {0x20D0, 0x20FF}}};

}  // namespace

std::pair<char32_t, size_t> decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 && lead < 0xF5   ? 4
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                                                      : 0;
  if (length == 0 || text.size() < length) return {kInvalid, 1};
  char32_t rune = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kInvalid, 1};
    rune = (rune << 6) | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && rune < 0x800) || (length == 4 && rune < 0x10000);
  if (overlong || rune > 0x10FFFF || (rune >= 0xD800 && rune <= 0xDFFF)) return {kInvalid, 1};
  return {rune, length};
}

std::string encode(char32_t rune) {
  if (rune > 0x10FFFF || (rune >= 0xD800 && rune <= 0xDFFF)) rune = 0xFFFD;
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((rune >> shift) & 0x3F)); };
  if (rune < 0x80) return {static_cast<char>(rune)};
  if (rune < 0x800) return {static_cast<char>(0xC0 | (rune >> 6)), tail(0)};
  if (rune < 0x10000) return {static_cast<char>(0xE0 | (rune >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (rune >> 18)), tail(12), tail(6), tail(0)};
}

size_t count(std::string_view text) {
  size_t runes = 0;
  for (size_t i = 0; i < text.size(); i += decode(text.substr(i)).second) ++runes;
  return runes;
}

std::string prefix(std::string_view text, size_t runes) {
  size_t end = 0;
  for (; runes > 0 && end < text.size(); --runes) end += decode(text.substr(end)).second;
  return std::string(text.substr(0, end));
}

bool isPrintable(char32_t rune) {
  return rune <= 0x10FFFF && rune < 0xE0000 && !in(kUnprintable, rune);
}

bool isAlphanumeric(char32_t rune) {
  if (rune < 0x80) {
    return rune == '_' || (rune >= '0' && rune <= '9') || (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z');
  }
  // Beyond ASCII nearly everything that is printed in a word is a letter; what is not are these blocks.
  constexpr std::array<Range, 5> kSymbols{
      {{0x80, 0xA9}, {0xAB, 0xB4}, {0x2000, 0x2BFF}, {0x3000, 0x3004}, {0x1F000, 0x1FAFF}}};
  return isPrintable(rune) && !in(kSymbols, rune) && rune != 0xD7 && rune != 0xF7 && rune != kInvalid;
}

int width(char32_t rune) {
  if (in(kCombining, rune)) return 0;
  return in(kWide, rune) || (rune >= 0x20000 && rune <= 0x3FFFD) ? 2 : 1;
}

}  // namespace estiba::cli::utf8
