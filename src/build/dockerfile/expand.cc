#include "build/dockerfile/expand.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "build/dockerfile/chars.h"
#include "build/dockerfile/glob.h"

namespace estiba::build {
namespace {

constexpr int kMaxDepth = 200;
constexpr size_t kMaxResult = 16 << 20;
constexpr char kEnd = '\0';  // as a stop character: the end of the text

[[noreturn]] void syntaxError(std::string_view what) {
  fail(Code::invalid, "syntax error: {}", what);
}

/// Collects words: unquoted spaces part them, quoted ones do not.
class WordList {
 public:
  void splitting(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const Char c = charAt(text, at);
      if (isSpace(c.code)) {
        flush();
      } else {
        word_ += text.substr(at, c.size);
      }
      at += c.size;
    }
  }
  void whole(std::string_view text) { word_ += text; }
  std::vector<std::string> take() {
    flush();
    return std::move(words_);
  }

 private:
  void flush() {
    if (!word_.empty()) words_.push_back(std::exchange(word_, {}));
  }
  std::vector<std::string> words_;
  std::string word_;
};

std::string cutPrefix(const std::string& pattern, const std::string& value, bool longest) {
  const std::u32string text = decodeUtf8(value);
  const auto length = matchPrefix(parseShellGlob(pattern), text, longest);
  return length ? encodeUtf8(std::u32string_view(text).substr(*length)) : value;
}

std::string cutSuffix(const std::string& pattern, const std::string& value, bool longest) {
  Glob glob = parseShellGlob(pattern);
  std::u32string text = decodeUtf8(value);
  std::reverse(glob.tokens.begin(), glob.tokens.end());
  std::reverse(text.begin(), text.end());
  const auto length = matchPrefix(glob, text, longest);
  if (!length) return value;
  std::u32string rest = text.substr(*length);
  std::reverse(rest.begin(), rest.end());
  return encodeUtf8(rest);
}

/// The leftmost longest match of `pattern` becomes `with`; with `all`, every one that does not touch the one before.
std::string replaceMatches(const std::string& pattern, const std::string& value, const std::string& with, bool all) {
  const Glob glob = parseShellGlob(pattern);
  const std::u32string text = decodeUtf8(value);
  const std::u32string replacement = decodeUtf8(with);
  std::u32string out;
  size_t at = 0;
  bool afterMatch = false;
  while (at <= text.size()) {
    const auto length = matchPrefix(glob, std::u32string_view(text).substr(at), true);
    if (length && (*length > 0 || !afterMatch)) {
      out += replacement;
      at += *length;
      if (!all) return encodeUtf8(out + text.substr(at));
      afterMatch = *length > 0;
      if (afterMatch) continue;
    }
    afterMatch = false;
    if (at < text.size()) out += text[at];
    ++at;
    if (out.size() > kMaxResult) fail(Code::invalid, "the result is larger than {} bytes", kMaxResult);
  }
  return encodeUtf8(out);
}

/// One pass over one text.
class Walk {
 public:
  Walk(const Expander& how, const Variables& env, std::string_view text, Expanded& out)
      : how_(how), env_(env), in_(text), out_(out) {}

  void run() {
    WordList words;
    out_.text = until(kEnd, how_.keepEscapes, &words);
    out_.words = words.take();
  }

 private:
  bool atEnd() const { return at_ >= in_.size(); }
  bool sees(char c) const { return !atEnd() && in_[at_] == c; }
  std::string_view take() {
    const size_t size = charAt(in_, at_).size;
    at_ += size;
    return in_.substr(at_ - size, size);
  }

  /// Everything up to `stop`, which is swallowed.
  std::string until(char stop, bool keepEscapes, WordList* words) {
    if (++depth_ > kMaxDepth) fail(Code::invalid, "substitutions are nested more than {} deep", kMaxDepth);
    const bool before = std::exchange(keepEscapes_, keepEscapes);
    std::string result;
    while (stop == kEnd ? !atEnd() : !sees(stop)) {
      if (atEnd()) fail(Code::invalid, "unexpected end of statement while looking for matching {}", stop);
      piece(result, words);
      if (result.size() > kMaxResult) fail(Code::invalid, "the result is larger than {} bytes", kMaxResult);
    }
    if (stop != kEnd) ++at_;
    keepEscapes_ = before;
    --depth_;
    return result;
  }

  void piece(std::string& result, WordList* words) {
    const char c = in_[at_];
    const bool quote = (c == '\'' || c == '"') && !how_.plainQuotes;
    if (c == '$') {
      const std::string value = dollar();
      if (words) words->splitting(value);
      result += value;
    } else if (quote || c == '<') {
      const std::string text = c == '<' ? less() : c == '"' ? doubleQuoted() : singleQuoted();
      if (words) words->whole(text);
      result += text;
    } else if (c == how_.escape) {
      const std::string text = escaped();
      if (words) words->whole(text);
      result += text;
    } else {
      const std::string_view text = take();
      if (words) words->splitting(text);
      result += text;
    }
  }

  std::string escaped() {
    std::string text(take());
    if (!keepEscapes_) text.clear();
    if (!atEnd()) text += take();
    return text;
  }

  /// "<" or "<<" with the blanks behind it: `<< EOF` is one word.
  std::string less() {
    std::string text(take());
    if (!sees('<')) return text;
    text += take();
    while (sees('\t') || sees('\r') || sees(' ')) text += take();
    return text;
  }

  std::string singleQuoted() {
    const size_t close = in_.find('\'', at_ + 1);
    if (close == std::string_view::npos) {
      at_ = in_.size();
      fail(Code::invalid, "unexpected end of statement while looking for matching single-quote");
    }
    const size_t start = std::exchange(at_, close + 1);
    return std::string(how_.keepQuotes ? in_.substr(start, close + 1 - start)
                                       : in_.substr(start + 1, close - start - 1));
  }

  std::string doubleQuoted() {
    std::string result;
    if (how_.keepQuotes) result += '"';
    ++at_;
    while (!sees('"')) {
      if (atEnd()) fail(Code::invalid, "unexpected end of statement while looking for matching double-quote");
      if (sees('$')) {
        result += dollar();
      } else if (sees(how_.escape)) {
        quotedEscape(result);
      } else {
        result += take();
      }
      if (result.size() > kMaxResult) fail(Code::invalid, "the result is larger than {} bytes", kMaxResult);
    }
    ++at_;
    if (how_.keepQuotes) result += '"';
    return result;
  }

  /// Inside double quotes only the quote, '$' and the escape itself can be escaped.
  void quotedEscape(std::string& result) {
    ++at_;
    if (keepEscapes_) result += how_.escape;
    if (atEnd()) return;
    if (sees('"') || sees('$') || sees(how_.escape)) {
      result += take();
    } else {
      result += how_.escape;
    }
  }

  std::optional<std::string> lookUp(const std::string& name) {
    std::optional<std::string> value = env_.get(name);
    (value ? out_.used : out_.unset).insert(name);
    return value;
  }

  std::string name() {
    if (atEnd()) return "";
    const char32_t first = charAt(in_, at_).code;
    if (isDigit(first)) {
      const size_t start = at_;
      while (!atEnd() && isDigit(charAt(in_, at_).code)) ++at_;
      return std::string(in_.substr(start, at_ - start));
    }
    if (first < 0x80 && std::string_view("@*#?-$!").find(static_cast<char>(first)) != std::string_view::npos) {
      return std::string(take());
    }
    const size_t start = at_;
    while (!atEnd() && isNameChar(charAt(in_, at_).code)) take();
    return std::string(in_.substr(start, at_ - start));
  }

  std::string dollar() {
    ++at_;
    if (sees('{')) return braced();
    const std::string variable = name();
    if (variable.empty()) return "$";
    const auto value = lookUp(variable);
    if (!value && how_.keepUnset) return "$" + variable;
    return value.value_or("");
  }

  std::string braced() {
    ++at_;
    if (atEnd()) syntaxError("missing '}'");
    if (sees('{') || sees('}') || sees(':')) syntaxError("bad substitution");
    const std::string variable = name();
    if (atEnd()) unsupported("\xef\xbf\xbd");
    const std::string modifier(take());
    if (modifier == "}") {
      const auto value = lookUp(variable);
      if (!value && how_.keepUnset) return "${" + variable + "}";
      return value.value_or("");
    }
    if (modifier == ":") {
      const std::string second = atEnd() ? "\xef\xbf\xbd" : std::string(take());
      if (second == "#" || second == "%") unsupported(":" + second);
      return withWord(variable, second, true);
    }
    if (modifier == "/") return replaced(variable);
    if (std::string_view("+-?#%").find(modifier) == std::string_view::npos) unsupported(modifier);
    return withWord(variable, modifier, false);
  }

  [[noreturn]] static void unsupported(const std::string& modifier) {
    fail(Code::invalid, "unsupported modifier ({}) in substitution", modifier);
  }

  /// The text up to `stop` inside ${}. Whatever went wrong by running off the end is a missing `stop`.
  std::string operand(char stop, bool keepEscapes, std::string_view missing) {
    try {
      return until(stop, keepEscapes, nullptr);
    } catch (const Error&) {
      if (atEnd()) syntaxError(missing);
      throw;
    }
  }

  std::string withWord(const std::string& variable, const std::string& modifier, bool colon) {
    const bool pattern = modifier == "#" || modifier == "%";
    std::string word = operand('}', pattern, "missing '}'");
    const auto value = lookUp(variable);
    if (!value && how_.keepUnset) return "${" + variable + (colon ? ":" : "") + modifier + word + "}";
    const bool absent = !value || (colon && value->empty());
    if (modifier == "-") return absent ? word : *value;
    if (modifier == "+") return absent ? "" : word;
    if (modifier == "?") {
      if (!absent) return *value;
      if (word.empty()) word = value ? "is not allowed to be empty" : "is not allowed to be unset";
      fail(Code::invalid, "{}: {}", variable, word);
    }
    if (!pattern) unsupported((colon ? ":" : "") + modifier);
    const bool longest = startsWith(word, modifier);
    if (longest) word.erase(0, 1);
    return patternResult(word, [&] {
      return modifier == "#" ? cutPrefix(word, value.value_or(""), longest)
                             : cutSuffix(word, value.value_or(""), longest);
    });
  }

  std::string replaced(const std::string& variable) {
    const bool all = sees('/');
    if (all) ++at_;
    const std::string pattern = operand('/', true, "missing '/' in ${}");
    const std::string with = operand('}', true, "missing '}'");
    const auto value = lookUp(variable);
    if (!value && how_.keepUnset) return "${" + variable + "/" + pattern + "/" + with + "}";
    return patternResult(pattern, [&] { return replaceMatches(pattern, value.value_or(""), with, all); });
  }

  template <class F>
  static std::string patternResult(const std::string& pattern, F&& apply) {
    try {
      return apply();
    } catch (const Error& e) {
      fail(Code::invalid, "invalid pattern ({}) in substitution: {}", pattern, e.what());
    }
  }

  const Expander& how_;
  const Variables& env_;
  std::string_view in_;
  Expanded& out_;
  size_t at_ = 0;
  int depth_ = 0;
  bool keepEscapes_ = false;
};

}  // namespace

Variables::Variables(const std::vector<std::string>& env) {
  for (const std::string& line : env) {
    const auto [name, value] = cut(line, '=');
    set(name, value.value_or(""));
  }
}

const std::string* Variables::find(std::string_view name) const {
  for (const auto& [key, value] : all_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::optional<std::string> Variables::get(std::string_view name) const {
  const std::string* value = find(name);
  return value ? std::optional(*value) : std::nullopt;
}

void Variables::set(std::string_view name, std::string_view value) {
  for (auto& [key, old] : all_) {
    if (key == name) {
      old = value;
      return;
    }
  }
  all_.emplace_back(name, value);
}

void Variables::erase(std::string_view name) {
  std::erase_if(all_, [&](const auto& pair) { return pair.first == name; });
}

std::vector<std::string> Variables::names() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : all_) out.push_back(key);
  return out;
}

std::vector<std::string> Variables::toEnv() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : all_) out.push_back(key + "=" + value);
  return out;
}

Expanded Expander::expand(std::string_view word, const Variables& env) const {
  Expanded out;
  try {
    Walk(*this, env, word, out).run();
  } catch (const Error& e) {
    fail(Code::invalid, "failed to process {}: {}", quoted(word), e.what());
  }
  return out;
}

}  // namespace estiba::build
