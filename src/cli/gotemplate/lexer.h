#pragma once
// Tokens of a template.

#include <string>
#include <string_view>
#include <vector>

namespace estiba::cli::gotemplate {

struct Token {
  enum class Type {
    error,  ///< text: what is wrong
    eof,
    text,
    leftDelim,
    rightDelim,
    space,
    assign,
    declare,
    pipe,
    leftParen,
    rightParen,
    character,  ///< other punctuation, "," among it
    charConstant,
    number,
    string,
    rawString,
    boolean,
    field,     ///< ".Name"
    variable,  ///< "$", "$name"
    identifier,
    // keywords from here
    dot,
    nil,
    block,
    break_,
    continue_,
    define,
    else_,
    end,
    if_,
    range,
    template_,
    with,
  };
  Type type;
  size_t pos;
  int line;
  std::string_view text;
  std::string message;  ///< of an error
};

/// All tokens up to eof or the first error.
std::vector<Token> tokenize(std::string_view source);

/// As Go names a token in "unexpected …": "<define>", "\"}}\"", "EOF".
std::string describe(const Token& token);

}  // namespace estiba::cli::gotemplate
