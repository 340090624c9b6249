#include "build/dockerfile/parser.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "build/dockerfile/chars.h"
#include "build/dockerfile/expand.h"

namespace estiba::build {
namespace {

constexpr int kMaxOnbuildDepth = 8;  // one is allowed; deeper ones are only read to be refused by name

std::string_view trimLineEnd(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

bool isComment(std::string_view line) {
  line = trimSpaceLeft(line);
  return !line.empty() && line.front() == '#';
}

/// Cuts at the first run of blanks: {"RUN", "echo  a"}.
std::pair<std::string_view, std::optional<std::string_view>> cutAtBlanks(std::string_view text) {
  const size_t end = text.find_first_of(kBlanks);
  if (end == std::string_view::npos) return {text, std::nullopt};
  const size_t next = text.find_first_not_of(kBlanks, end);
  return {text.substr(0, end), next == std::string_view::npos ? std::string_view() : text.substr(next)};
}

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  }
  int number() const { return number_; }  ///< of the line given last

  /// With its line end; nullopt at the end.
  std::optional<std::string_view> next() {
    if (rest_.empty()) return std::nullopt;
    ++number_;
    const size_t end = rest_.find('\n');
    const size_t size = end == std::string_view::npos ? rest_.size() : end + 1;
    if (size > kMaxLine + (end == std::string_view::npos ? 0 : 1)) {
      throw DockerfileError(fmt::format("dockerfile line greater than max allowed size of {}", kMaxLine),
                            LineRange{number_, number_});
    }
    const std::string_view line = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return line;
  }

 private:
  std::string_view rest_;
  int number_ = 0;
};

/// Takes the continuation character and the blanks behind it off the end of `line`; false where there is none.
bool cutContinuation(std::string_view& line, char escape) {
  const size_t last = line.find_last_not_of(" \t");
  if (last == std::string_view::npos || line[last] != escape) return false;
  if (last > 0 && line[last - 1] == escape) return false;
  line = line.substr(0, last);
  return true;
}

struct SplitLine {
  std::string keyword;
  std::vector<std::string> flags;
  std::string args;
};

/// Reads one "--flag=value" from the front of `rest`, quotes and escapes resolved.
std::string takeFlag(std::string_view& rest, char escape) {
  std::string word;
  char quote = 0;
  size_t at = 0;
  for (; at < rest.size(); ++at) {
    char c = rest[at];
    if (!quote && isSpace(static_cast<unsigned char>(c))) break;
    if (quote ? c == quote : (c == '\'' || c == '"')) {
      quote = quote ? 0 : c;
      continue;
    }
    if (c == escape) {
      if (at + 1 == rest.size()) continue;
      c = rest[++at];
    }
    word += c;
  }
  rest.remove_prefix(at);
  return word;
}

SplitLine splitLine(std::string_view line, char escape) {
  const auto [keyword, after] = cutAtBlanks(trimSpace(line));
  SplitLine out{.keyword = std::string(keyword), .flags = {}, .args = {}};
  std::string_view rest = after.value_or("");
  for (;;) {
    rest = trimSpaceLeft(rest);
    if (!rest.starts_with("--")) break;
    std::string flag = takeFlag(rest, escape);
    if (flag == "--") break;
    if (!flag.empty()) out.flags.push_back(std::move(flag));
  }
  out.args = trimSpace(rest);
  return out;
}

/// Words parted by white space outside quotes; quotes and escapes stay.
std::vector<std::string> quotedWords(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  char32_t quote = 0;
  for (size_t at = 0; at < text.size();) {
    const Char c = charAt(text, at);
    if (!quote && isSpace(c.code)) {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
      at += c.size;
      continue;
    }
    if (c.code == static_cast<unsigned char>(escape) && quote != '\'') {
      at += c.size;
      if (at == text.size()) break;  // an escape at the very end is dropped
      const Char escaped = charAt(text, at);
      word += escape;
      word += text.substr(at, escaped.size);
      at += escaped.size;
      continue;
    }
    if (quote) {
      if (c.code == quote) quote = 0;
    } else if (c.code == '\'' || c.code == '"') {
      quote = c.code;
    }
    word += text.substr(at, c.size);
    at += c.size;
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

std::vector<std::string> blankWords(std::string_view text) {
  std::vector<std::string> words;
  std::optional<std::string_view> rest = text;
  if (text.empty()) return words;
  while (rest) {
    const auto [word, after] = cutAtBlanks(*rest);
    words.emplace_back(word);
    rest = after;
  }
  return words;
}

/// The strings of a JSON array; nullopt where the text is no JSON array. Throws where one is no string.
std::optional<std::vector<std::string>> jsonStrings(std::string_view text) {
  text = trimSpaceLeft(text);
  if (!text.starts_with('[')) return std::nullopt;
  json::value value;
  try {
    value = parseJson(text, "");
  } catch (const Error&) {
    return std::nullopt;
  }
  std::vector<std::string> out;
  for (const json::value& item : value.as_array()) {
    if (!item.is_string()) {
      fail(Code::invalid, "when using JSON array syntax, arrays must be comprised of strings only");
    }
    out.emplace_back(item.get_string());
  }
  return out;
}

void argsText(Node& node, const std::string& args, char) {
  if (!args.empty()) node.args.push_back(args);
}

void argsBlankWords(Node& node, const std::string& args, char) {
  node.args = blankWords(args);
}

void argsNames(Node& node, const std::string& args, char escape) {
  node.args = quotedWords(args, escape);
}

void argsCommand(Node& node, const std::string& args, char escape) {
  if (auto strings = jsonStrings(args)) {
    node.args = std::move(*strings);
    node.json = true;
  } else {
    argsText(node, args, escape);
  }
}

void argsPaths(Node& node, const std::string& args, char) {
  if (auto strings = jsonStrings(args)) {
    node.args = std::move(*strings);
    node.json = true;
  } else {
    node.args = blankWords(args);
  }
}

void argsPairs(Node& node, const std::string& args, char escape) {
  const std::vector<std::string> words = quotedWords(args, escape);
  if (words.empty()) return;
  if (words.front().find('=') == std::string::npos) {
    const auto [key, value] = cutAtBlanks(args);
    if (!value) fail(Code::invalid, "{} must have two arguments", toUpper(node.keyword));
    node.args = {std::string(key), std::string(*value), ""};
    return;
  }
  for (const std::string& word : words) {
    const auto [key, value] = cut(word, '=');
    if (!value) {
      fail(Code::invalid, "Syntax error - can't find = in {}. Must be of the form: name=value", quoted(word));
    }
    node.args.insert(node.args.end(), {key, *value, "="});
  }
}

void argsHealth(Node& node, const std::string& args, char escape) {
  size_t end = 0;
  while (end < args.size() && !isSpace(static_cast<unsigned char>(args[end]))) ++end;
  if (end == 0) return;
  argsCommand(node, std::string(trimSpaceLeft(std::string_view(args).substr(end))), escape);
  node.args.insert(node.args.begin(), args.substr(0, end));
}

using ArgsReader = void (*)(Node&, const std::string&, char);

ArgsReader readerFor(const std::string& keyword) {
  static const std::map<std::string, ArgsReader> kReaders = {
      {"ADD", argsPaths},          {"ARG", argsNames},       {"CMD", argsCommand},       {"COPY", argsPaths},
      {"ENTRYPOINT", argsCommand}, {"ENV", argsPairs},       {"EXPOSE", argsBlankWords}, {"FROM", argsBlankWords},
      {"HEALTHCHECK", argsHealth}, {"LABEL", argsPairs},     {"MAINTAINER", argsText},   {"RUN", argsCommand},
      {"SHELL", argsCommand},      {"STOPSIGNAL", argsText}, {"USER", argsText},         {"VOLUME", argsPaths},
      {"WORKDIR", argsText}};
  const auto found = kReaders.find(keyword);
  return found == kReaders.end() ? nullptr : found->second;
}

Node readNode(std::string_view line, char escape, int depth = 0) {
  SplitLine parts = splitLine(line, escape);
  Node node;
  node.keyword = std::move(parts.keyword);
  node.flags = std::move(parts.flags);
  node.original = line;
  const std::string keyword = toUpper(node.keyword);
  if (keyword == "ONBUILD") {
    if (depth == kMaxOnbuildDepth) fail(Code::invalid, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (!parts.args.empty()) node.trigger.push_back(readNode(parts.args, escape, depth + 1));
  } else if (const ArgsReader reader = readerFor(keyword)) {
    reader(node, parts.args, escape);
  } else {
    node.args = {""};  // an unknown instruction: its arguments mean nothing yet
  }
  return node;
}

bool mayHaveHeredocs(const Node& node) {
  const Node& inner = node.trigger.empty() ? node : node.trigger.front();
  const std::string keyword = toUpper(inner.keyword);
  return !inner.json && (keyword == "RUN" || keyword == "COPY" || keyword == "ADD");
}

std::vector<Heredoc> heredocsOf(std::string_view line) {
  std::vector<Heredoc> out;
  const Expander raw{.keepQuotes = true, .keepEscapes = true, .keepUnset = true};
  std::vector<std::string> words;
  try {
    words = raw.expand(line, {}).words;
  } catch (const Error&) {
    return out;  // words that the shell may understand; no here-document for us
  }
  for (const std::string& word : words) {
    if (auto mark = parseHeredocMark(word)) out.push_back({std::move(*mark), ""});
  }
  return out;
}

class FileParser {
 public:
  explicit FileParser(std::string_view text) : lines_(text) {}

  SyntaxTree parse() {
    while (auto line = lines_.next()) instruction(*line);
    if (tree_.instructions.empty()) {
      throw DockerfileError("file with no instructions", LineRange{lines_.number(), lines_.number()});
    }
    return std::move(tree_);
  }

 private:
  void instruction(std::string_view raw) {
    if (isComment(raw)) return comment(raw);
    directivesAllowed_ = false;
    const int start = lines_.number();
    std::string_view first = trimSpaceLeft(trimLineEnd(raw));
    const bool continued = cutContinuation(first, escape());
    if (!continued && first.empty()) return;
    std::string line(first);
    if (continued) appendContinuations(line);
    finish(line, start);
  }

  void comment(std::string_view raw) {
    const std::string_view line = trimSpaceLeft(trimLineEnd(raw));
    if (directivesAllowed_ && directive(line.substr(1))) return;
    directivesAllowed_ = false;
    const std::string text(trimSpace(raw.substr(1)));
    if (text.empty()) {
      comments_.clear();
    } else {
      comments_.push_back(text);
    }
  }

  bool directive(std::string_view comment) {
    const auto found = parseDirective(comment);
    if (!found) return false;
    const auto& [name, value] = *found;
    const LineRange here{lines_.number(), lines_.number()};
    if (!seen_.insert(name).second) {
      throw DockerfileError(fmt::format("only one {} parser directive can be used", name), here);
    }
    if (name == "escape" && value != "\\" && value != "`") {
      throw DockerfileError(fmt::format("invalid escape token '{}' does not match ` or \\", value), here);
    }
    Directives& d = tree_.directives;
    if (name == "escape") d.escape = value.front();
    if (name == "check") d.check = cut(value, ' ').first;
    if (name == "syntax") {
      d.syntax = cut(value, ' ').first;
      d.syntaxLine = lines_.number();
    }
    return true;
  }

  void appendContinuations(std::string& line) {
    bool emptyLine = false;
    bool open = true;
    while (open) {
      const auto raw = lines_.next();
      if (!raw) break;
      if (isComment(*raw)) continue;
      std::string_view part = trimLineEnd(*raw);
      if (trimSpaceLeft(part).empty()) {
        emptyLine = true;
        continue;
      }
      open = cutContinuation(part, escape());
      line += part;
    }
    if (emptyLine) tree_.emptyContinuations.push_back(lines_.number());
  }

  void finish(const std::string& line, int start) {
    try {
      Node node = readNode(line, escape());
      if (mayHaveHeredocs(node) && line.find("<<") != std::string::npos) {
        node.heredocs = heredocsOf(line);
        for (Heredoc& heredoc : node.heredocs) readContent(heredoc);
      }
      node.lines = {start, lines_.number()};
      node.comments = std::exchange(comments_, {});
      tree_.instructions.push_back(std::move(node));
    } catch (const DockerfileError&) {
      throw;
    } catch (const Error& e) {
      throw DockerfileError(e.what(), LineRange{start, lines_.number()});
    }
  }

  void readContent(Heredoc& heredoc) {
    while (const auto raw = lines_.next()) {
      std::string_view line = trimLineEnd(*raw);
      if (heredoc.stripTabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
      if (line == heredoc.name) return;
      heredoc.content += *raw;
    }
    fail(Code::invalid, "unterminated heredoc");
  }

  char escape() const { return tree_.directives.escape; }

  Lines lines_;
  SyntaxTree tree_;
  std::vector<std::string> comments_;
  std::set<std::string> seen_;
  bool directivesAllowed_ = true;
};

/// `syntax` and `check` may follow a "#!" line, of which the parser proper only sees a comment.
Directives directivesAfterShebang(std::string_view text, Directives known) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (!text.starts_with("#!")) return known;
  Lines lines(text);
  lines.next();
  std::set<std::string> seen;
  while (const auto raw = lines.next()) {
    const std::string_view line = trimLineEnd(*raw);
    const auto found = line.starts_with('#') ? parseDirective(line.substr(1)) : std::nullopt;
    if (!found || !seen.insert(found->first).second) break;
    const std::string value = cut(found->second, ' ').first;
    if (found->first == "check") known.check = value;
    if (found->first == "syntax") known.syntax = value, known.syntaxLine = lines.number();
  }
  return known;
}

}  // namespace

std::optional<std::pair<std::string, std::string>> parseDirective(std::string_view comment) {
  comment = trimSpaceLeft(comment);
  size_t end = 0;
  while (end < comment.size() && std::isalnum(static_cast<unsigned char>(comment[end]))) ++end;
  const std::string name = toLower(comment.substr(0, end));
  if (name != "syntax" && name != "escape" && name != "check") return std::nullopt;
  std::string_view rest = trim(comment.substr(end));
  if (!rest.starts_with('=')) return std::nullopt;
  const std::string_view value = trim(rest.substr(1));
  if (value.empty()) return std::nullopt;
  return std::pair(name, std::string(value));
}

std::optional<HeredocMark> parseHeredocMark(std::string_view word) {
  HeredocMark mark;
  const size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  if (!word.substr(digits).starts_with("<<")) return std::nullopt;
  mark.fd = static_cast<unsigned>(std::min<uint64_t>(parseUint(word.substr(0, digits)).value_or(0), UINT32_MAX));
  std::string_view rest = word.substr(digits + 2);
  mark.stripTabs = rest.starts_with('-');
  if (mark.stripTabs) rest.remove_prefix(1);
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t\n\f\r"), rest.size()));
  if (rest.empty() || rest.find('<') != std::string_view::npos) return std::nullopt;

  const std::vector<std::string> plain = Expander{.keepUnset = true}.expand(rest, {}).words;
  if (plain.size() != 1) return std::nullopt;
  const std::vector<std::string> raw = Expander{.keepQuotes = true, .keepUnset = true}.expand(rest, {}).words;
  const auto quotes = [](const std::string& s) {
    return std::count_if(s.begin(), s.end(), [](char c) { return c == '\'' || c == '"'; });
  };
  mark.name = plain.front();
  mark.expand = raw.size() == 1 && quotes(raw.front()) == quotes(mark.name);
  return mark;
}

std::string stripLeadingTabs(std::string_view text) {
  std::string out;
  bool lineStart = true;
  for (const char c : text) {
    if (lineStart && c == '\t') continue;
    lineStart = c == '\n';
    out += c;
  }
  return out;
}

SyntaxTree parseDockerfile(std::string_view text) {
  SyntaxTree tree = FileParser(text).parse();
  tree.directives = directivesAfterShebang(text, tree.directives);
  return tree;
}

std::string dump(const Node& node) {
  std::string out = toLower(node.keyword);
  if (!node.flags.empty()) {
    std::vector<std::string> flags;
    for (const std::string& flag : node.flags) flags.push_back(quoted(flag));
    out += " [" + join(flags, " ") + "]";
  }
  for (const Node& trigger : node.trigger) out += " (" + dump(trigger) + ")";
  for (const std::string& arg : node.args) out += " " + quoted(arg);
  return out;
}

std::string dump(const SyntaxTree& tree) {
  std::string out;
  for (const Node& node : tree.instructions) out += "(" + dump(node) + ")\n";
  return out;
}

}  // namespace estiba::build
