#include "cli/gotemplate/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/gotemplate.h"
#include "cli/utf8.h"

namespace estiba::cli::gotemplate {

namespace {

constexpr std::string_view kLeft = "{{", kRight = "}}", kSpaces = " \t\r\n";

bool isSpace(char c) {
  return kSpaces.find(c) != std::string_view::npos;
}

Token::Type wordType(std::string_view word) {
  using enum Token::Type;
  static const std::map<std::string_view, Token::Type> kWords{{"block", block},
                                                              {"break", break_},
                                                              {"continue", continue_},
                                                              {"define", define},
                                                              {"else", else_},
                                                              {"end", end},
                                                              {"if", if_},
                                                              {"nil", nil},
                                                              {"range", range},
                                                              {"template", template_},
                                                              {"with", with},
                                                              {"true", boolean},
                                                              {"false", boolean}};
  const auto found = kWords.find(word);
  return found == kWords.end() ? identifier : found->second;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (!failed_ && text()) {
      while (!failed_ && inside()) {
      }
    }
    if (!failed_) emit(Token::Type::eof, pos_, pos_);
    return std::move(tokens_);
  }

 private:
  bool at(std::string_view what) const { return source_.substr(pos_).starts_with(what); }
  char peek() const { return pos_ < source_.size() ? source_[pos_] : '\0'; }
  bool atEnd() const { return pos_ >= source_.size(); }

  void emit(Token::Type type, size_t from, size_t to) {
    tokens_.push_back({type, from, line_, source_.substr(from, to - from), {}});
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<long>(from), source_.begin() + static_cast<long>(to), '\n'));
    pos_ = to;
  }
  void skip(size_t to) {
    line_ += static_cast<int>(
        std::count(source_.begin() + static_cast<long>(pos_), source_.begin() + static_cast<long>(to), '\n'));
    pos_ = to;
  }
  bool fail(std::string message) {
    tokens_.push_back({Token::Type::error, pos_, line_, {}, std::move(message)});
    failed_ = true;
    return false;
  }

  /// "- " behind "{{".
  bool leftTrim(size_t pos) const {
    return pos + 1 < source_.size() && source_[pos] == '-' && isSpace(source_[pos + 1]);
  }
  /// " -}}" at pos.
  bool rightTrim(size_t pos) const {
    return pos < source_.size() && isSpace(source_[pos]) && source_.substr(pos + 1).starts_with("-}}");
  }

  /// Text and comments up to the next action, the action's opening included. False at the end.
  bool text() {
    for (;;) {
      const size_t open = source_.find(kLeft, pos_);
      if (open == std::string_view::npos) {
        if (!atEnd()) emit(Token::Type::text, pos_, source_.size());
        return false;
      }
      const bool trims = leftTrim(open + kLeft.size());
      size_t end = open;
      while (trims && end > pos_ && isSpace(source_[end - 1])) --end;
      if (end > pos_) emit(Token::Type::text, pos_, end);
      const size_t after = open + kLeft.size() + (trims ? 2 : 0);
      if (!source_.substr(after).starts_with("/*")) {
        skip(open);
        emit(Token::Type::leftDelim, open, open + kLeft.size());
        skip(after);
        parens_ = 0;
        return true;
      }
      skip(after);
      if (!comment()) return false;
    }
  }

  bool comment() {
    const size_t close = source_.find("*/", pos_ + 2);
    if (close == std::string_view::npos) return fail("unclosed comment");
    skip(close + 2);
    if (rightTrim(pos_)) {
      skip(pos_ + 4);
      trimAfter();
      return true;
    }
    if (!at(kRight)) return fail("comment ends before closing delimiter");
    skip(pos_ + kRight.size());
    return true;
  }

  void trimAfter() {
    size_t end = pos_;
    while (end < source_.size() && isSpace(source_[end])) ++end;
    skip(end);
  }

  /// One token of an action. False behind its closing.
  bool inside() {
    using enum Token::Type;
    if (at(kRight) || rightTrim(pos_)) return close();
    if (atEnd()) return fail("unclosed action");
    const char c = peek();
    switch (c) {
      case ' ':
      case '\t':
      case '\r':
      case '\n':
        return spaces();
      case '=':
        return emit(assign, pos_, pos_ + 1), true;
      case ':':
        if (!at(":=")) {
          ++pos_;
          return fail("expected :=");
        }
        return emit(declare, pos_, pos_ + 2), true;
      case '|':
        return emit(pipe, pos_, pos_ + 1), true;
      case '"':
        return quoted('"', string, "unterminated quoted string");
      case '\'':
        return quoted('\'', charConstant, "unterminated character constant");
      case '`':
        return raw();
      case '$':
        return name(variable, dot);
      case '(':
        return ++parens_, emit(leftParen, pos_, pos_ + 1), true;
      case ')':
        if (--parens_ < 0) return fail("unexpected right paren");
        return emit(rightParen, pos_, pos_ + 1), true;
      default:
        break;
    }
    // At the very end a dot counts as a number, as it does in Go.
    const bool digitNext = pos_ + 1 >= source_.size() || (source_[pos_ + 1] >= '0' && source_[pos_ + 1] <= '9');
    if (c == '.' && !digitNext) return name(field, dot);
    if (c == '.' || c == '+' || c == '-' || (c >= '0' && c <= '9')) return numberToken();
    const auto [rune, length] = utf8::decode(source_.substr(pos_));
    if (utf8::isAlphanumeric(rune)) return word();
    if (rune > 0x20 && rune < 0x7F) return emit(character, pos_, pos_ + 1), true;
    return fail("unrecognized character in action: " + describeRune(rune));
  }

  bool close() {
    const bool trims = !at(kRight);
    if (parens_ != 0) return fail("unclosed left paren");
    if (trims) skip(pos_ + 2);
    emit(Token::Type::rightDelim, pos_, pos_ + kRight.size());
    if (trims) trimAfter();
    return false;
  }

  bool spaces() {
    size_t end = pos_;
    // The last space belongs to a closing " -}}".
    while (end < source_.size() && isSpace(source_[end]) && !rightTrim(end)) ++end;
    emit(Token::Type::space, pos_, end);
    return true;
  }

  bool quoted(char quote, Token::Type type, const char* error) {
    for (size_t i = pos_ + 1; i < source_.size() && source_[i] != '\n'; ++i) {
      if (source_[i] == quote) return emit(type, pos_, i + 1), true;
      if (source_[i] == '\\' && i + 1 < source_.size() && source_[i + 1] != '\n') ++i;
    }
    return fail(error);
  }

  bool raw() {
    const size_t end = source_.find('`', pos_ + 1);
    if (end == std::string_view::npos) return fail("unterminated raw quoted string");
    emit(Token::Type::rawString, pos_, end + 1);
    return true;
  }

  size_t wordEnd(size_t from) const {
    while (from < source_.size()) {
      const auto [rune, length] = utf8::decode(source_.substr(from));
      if (!utf8::isAlphanumeric(rune)) break;
      from += length;
    }
    return from;
  }

  bool atTerminator(size_t pos) const {
    return pos >= source_.size() || isSpace(source_[pos]) ||
           std::string_view(".,|:)(").find(source_[pos]) != std::string_view::npos ||
           source_.substr(pos).starts_with(kRight);
  }

  bool badCharacter(size_t pos) {
    return fail("bad character " + describeRune(utf8::decode(source_.substr(pos)).first));
  }

  static std::string describeRune(char32_t rune) {
    if (rune == utf8::kInvalid) rune = 0xFFFD;
    std::string out = fmt::format("U+{:04X}", static_cast<uint32_t>(rune));
    return utf8::isPrintable(rune) ? out + " '" + utf8::encode(rune) + "'" : out;
  }

  /// ".Name" or "$name"; alone they are `bare` ("." is the dot, "$" a variable).
  bool name(Token::Type type, Token::Type bare) {
    const size_t end = wordEnd(pos_ + 1);
    if (!atTerminator(end)) return badCharacter(end);
    emit(end == pos_ + 1 && type == Token::Type::field ? bare : type, pos_, end);
    return true;
  }

  bool word() {
    const size_t end = wordEnd(pos_);
    if (!atTerminator(end)) return badCharacter(end);
    emit(wordType(source_.substr(pos_, end - pos_)), pos_, end);
    return true;
  }

  bool numberToken() {
    size_t end = pos_;
    const auto accept = [&](std::string_view set) {
      const bool is = end < source_.size() && set.find(source_[end]) != std::string_view::npos;
      end += is ? 1 : 0;
      return is;
    };
    accept("+-");
    std::string_view digits = "0123456789_";
    if (accept("0")) {
      if (accept("xX")) {
        digits = "0123456789abcdefABCDEF_";
      } else if (accept("oO")) {
        digits = "01234567_";
      } else if (accept("bB")) {
        digits = "01_";
      }
    }
    while (accept(digits)) {
    }
    if (accept(".")) {
      while (accept(digits)) {
      }
    }
    const bool decimal = digits.size() == 11, hex = digits.size() == 23;
    if ((decimal && accept("eE")) || (hex && accept("pP"))) {
      accept("+-");
      while (accept("0123456789_")) {
      }
    }
    accept("i");
    const bool bad = end < source_.size() && (utf8::isAlphanumeric(utf8::decode(source_.substr(end)).first) ||
                                              source_[end] == '+' || source_[end] == '-');
    if (bad) {
      end += utf8::decode(source_.substr(end)).second;
      return fail("bad number syntax: " + goQuote(source_.substr(pos_, end - pos_)));
    }
    emit(Token::Type::number, pos_, end);
    return true;
  }

  std::string_view source_;
  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int line_ = 1;
  int parens_ = 0;
  bool failed_ = false;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

std::string describe(const Token& token) {
  if (token.type == Token::Type::eof) return "EOF";
  if (token.type == Token::Type::error) return token.message;
  if (token.type > Token::Type::identifier) return "<" + std::string(token.text) + ">";
  if (token.text.size() > 10) return goQuote(utf8::prefix(token.text, 10)) + "...";
  return goQuote(token.text);
}

}  // namespace estiba::cli::gotemplate
