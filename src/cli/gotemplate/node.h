#pragma once
// The syntax tree of a template.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/gotemplate.h"

namespace estiba::cli::gotemplate {

struct Node;
using NodePtr = std::unique_ptr<Node>;

/// One kind for all nodes: a template is small, and the walker switches over `type`.
struct Node {
  enum class Type {
    list,       ///< children
    text,       ///< text
    action,     ///< pipe
    if_,        ///< pipe, body, otherwise
    range,      ///< the same
    with,       ///< the same
    template_,  ///< text: the name; pipe, or none
    break_,
    continue_,
    end,         ///< only while parsing
    else_,       ///< only while parsing
    pipe,        ///< children: commands; names: variables that it declares or assigns
    command,     ///< children: operands
    field,       ///< names: ".A.B"
    variable,    ///< names: "$x.A.B"
    chain,       ///< children[0], then names
    identifier,  ///< text: a function
    dot,
    nil,
    boolean,  ///< literal
    number,   ///< literal; text as written
    string,   ///< literal; text as written
  };

  Type type;
  size_t pos = 0;  ///< byte offset into the source
  int line = 1;    ///< of the token, for parse errors
  std::string text;
  std::vector<NodePtr> children;
  std::vector<std::string> names;
  bool assigns = false;  ///< pipe: "$x = …" instead of "$x := …"
  Value literal;
  NodePtr pipe;
  NodePtr body;
  NodePtr otherwise;

  Node(Type t, size_t p) : type(t), pos(p) {}
  /// As Go prints the node in errors.
  std::string print() const;
};

/// Everything that one source text defined.
struct Set {
  std::string name;
  std::string source;
  TemplateFunctions functions;
  std::map<std::string, NodePtr, std::less<>> templates;  ///< the main one under `name`
};

/// Fills `set.templates` from `set.source`. @throws Error(invalid) "template: NAME:LINE: …"
void parse(Set& set);

/// Walks the template called `set.name`.
std::string execute(const Set& set, bool missingKeyIsError, const Value& data);

/// How deep actions, parentheses and template calls may nest.
inline constexpr int kMaxDepth = 500;

}  // namespace estiba::cli::gotemplate
