#pragma once
// Characters as the Dockerfile language sees them: UTF-8, Unicode's white space. Bytes that are no UTF-8 are
// themselves.

#include <string>
#include <string_view>

namespace estiba::build {

struct Char {
  char32_t code = 0;
  size_t size = 1;  ///< bytes
};

/// The character at `at` (which must be inside). A byte that starts no valid sequence is a character of its own, its
/// code above Unicode's range so that it equals no real character.
Char charAt(std::string_view text, size_t at);
std::string encodeUtf8(char32_t code);
std::u32string decodeUtf8(std::string_view text);
std::string encodeUtf8(std::u32string_view text);

bool isSpace(char32_t code);
bool isDigit(char32_t code);
/// May stand in a variable's name: letters of any script, digits, '_'.
bool isNameChar(char32_t code);

std::string_view trimSpaceLeft(std::string_view text);
std::string_view trimSpace(std::string_view text);
/// The white space between words of an instruction: no line end, ASCII only.
inline constexpr std::string_view kBlanks = "\t\v\f\r ";

}  // namespace estiba::build
