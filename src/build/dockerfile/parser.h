#pragma once
// The text of a Dockerfile -> its syntax tree: instructions with flags and arguments, nothing expanded, few checks.
// Source: Dockerfile reference, "Format", "Parser directives", "Here-documents"; BuildKit's parser for the odd corners.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "build/dockerfile/source.h"

namespace estiba::build {

/// The word after `<<`: COPY <<-"EOF" /x
struct HeredocMark {
  std::string name;
  unsigned fd = 0;
  bool expand = true;      ///< false where a part of the name was quoted: the content is literal
  bool stripTabs = false;  ///< `<<-`
};

struct Heredoc : HeredocMark {
  std::string content;  ///< every line with its line end, leading tabs still there
};

/// One instruction as written.
struct Node {
  std::string keyword;             ///< as written: "run", "RUN"
  std::vector<std::string> flags;  ///< "--name=value", quotes removed
  /// RUN in shell form: one text. ENV and LABEL: three each of key, value, "=" ("" in the old form without '=').
  /// HEALTHCHECK: the type, then the command. ONBUILD: none, see trigger.
  std::vector<std::string> args;
  bool json = false;          ///< args came as a JSON array
  std::vector<Node> trigger;  ///< ONBUILD: none or one
  std::vector<Heredoc> heredocs;
  std::string original;               ///< the line with its continuations joined
  LineRange lines;                    ///< with its here-documents
  std::vector<std::string> comments;  ///< comment lines before it, without '#'
};

struct Directives {
  std::string syntax;  ///< "docker/dockerfile:1"; empty where not given
  std::string check;   ///< "skip=all;error=true"
  char escape = '\\';
  int syntaxLine = 0;
};

struct SyntaxTree {
  std::vector<Node> instructions;
  Directives directives;
  std::vector<int> emptyContinuations;  ///< last lines of instructions with an empty line among their continuations
};

/// Longest line with its line end, in bytes. Source: BuildKit, "line greater than max allowed size".
inline constexpr size_t kMaxLine = 65535;

/// Parses a whole file. Throws DockerfileError with Docker's words and lines.
SyntaxTree parseDockerfile(std::string_view text);

/// The tree as one s-expression a line: (copy ["--from=a"] "b" "c").
std::string dump(const SyntaxTree& tree);
std::string dump(const Node& node);

/// Reads a word as `<<EOF`; nullopt where it is none.
std::optional<HeredocMark> parseHeredocMark(std::string_view word);
/// Leading tabs off every line, as `<<-` asks.
std::string stripLeadingTabs(std::string_view text);

/// One `name = value` comment of the closed set syntax, escape, check (`comment` without its '#').
std::optional<std::pair<std::string, std::string>> parseDirective(std::string_view comment);

}  // namespace estiba::build
