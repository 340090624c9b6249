#pragma once
// UTF-8 by code points, as Go's unicode/utf8 counts them: a byte that is no UTF-8 is one code point.

#include <string>
#include <string_view>
#include <utility>

namespace estiba::cli::utf8 {

inline constexpr char32_t kInvalid = 0xFFFFFFFF;

/// The first code point of a non-empty text and its length in bytes; kInvalid and 1 where it is none.
std::pair<char32_t, size_t> decode(std::string_view text);
std::string encode(char32_t rune);
size_t count(std::string_view text);
/// The first `runes` code points.
std::string prefix(std::string_view text, size_t runes);
/// A letter, mark, number, punctuation, symbol or the space: what Go's strconv.IsPrint leaves unescaped.
bool isPrintable(char32_t rune);
bool isAlphanumeric(char32_t rune);
/// Columns on a terminal: 2 for wide East Asian characters and emoji, 0 for combining marks.
int width(char32_t rune);

}  // namespace estiba::cli::utf8
