#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "cli/flag_values.h"
#include "cli/gotemplate/functions.h"
#include "cli/gotemplate/lexer.h"
#include "cli/gotemplate/node.h"
#include "cli/gotemplate/unquote.h"

namespace estiba::cli::gotemplate {

namespace {

using TokenType = Token::Type;

NodePtr make(Node::Type type, size_t pos) {
  return std::make_unique<Node>(type, pos);
}

/// ".A.B" or "$x.A" in its names.
std::vector<std::string> namesOf(std::string_view text) {
  std::vector<std::string> out = split(text, '.');
  if (!out.empty() && out[0].empty()) out.erase(out.begin());
  return out;
}

/// Not a template that shows anything: what only defines others.
bool isBlank(const Node& list) {
  return std::all_of(list.children.begin(), list.children.end(),
                     [](const NodePtr& child) { return child->type == Node::Type::text && trim(child->text).empty(); });
}

class Parser {
 public:
  explicit Parser(Set& set) : set_(set), tokens_(tokenize(set.source)) {}

  void run() {
    NodePtr root = make(Node::Type::list, 0);
    while (peek().type != TokenType::eof) {
      if (peek().type == TokenType::leftDelim && tokens_.size() > pos_ + 1) {
        const size_t mark = pos_;
        next();
        if (nextNonSpace().type == TokenType::define) {
          definition();
          continue;
        }
        pos_ = mark;
      }
      NodePtr node = textOrAction();
      if (node->type == Node::Type::end || node->type == Node::Type::else_) fail("unexpected " + node->print());
      root->children.push_back(std::move(node));
    }
    define(set_.name, std::move(root));
  }

 private:
  // Tokens.

  const Token& peek() {
    const Token& token = tokens_[std::min(pos_, tokens_.size() - 1)];
    if (token.type == TokenType::error) {
      line_ = token.line;
      fail(token.message);
    }
    return token;
  }
  const Token& next() {
    const Token& token = peek();
    line_ = token.line;
    if (pos_ < tokens_.size()) ++pos_;
    return token;
  }
  const Token& peekNonSpace() {
    while (peek().type == TokenType::space) ++pos_;
    return peek();
  }
  const Token& nextNonSpace() {
    peekNonSpace();
    return next();
  }
  const Token& expect(TokenType type, std::string_view context) {
    const Token& token = nextNonSpace();
    if (token.type != type) unexpected(token, context);
    return token;
  }

  [[noreturn]] void fail(const std::string& message) {
    throw Error(Code::invalid, fmt::format("template: {}:{}: {}", set_.name, line_, message));
  }
  [[noreturn]] void unexpected(const Token& token, std::string_view context) {
    fail(fmt::format("unexpected {} in {}", describe(token), context));
  }

  /// Guards the recursion against hostile nesting.
  struct Depth {
    explicit Depth(Parser& p) : parser(p) {
      if (++parser.depth_ > kMaxDepth) parser.fail("template is nested too deeply");
    }
    ~Depth() { --parser.depth_; }
    Parser& parser;
  };

  // Structure.

  void define(const std::string& name, NodePtr body) {
    auto& slot = set_.templates[name];
    if (slot == nullptr || !isBlank(*body) || name == set_.name) slot = std::move(body);
  }

  std::string templateName(const Token& token, std::string_view context) {
    if (token.type != TokenType::string && token.type != TokenType::rawString) unexpected(token, context);
    return text(token);
  }

  std::string text(const Token& token) {
    if (auto unquoted = unquote(token.text)) return *unquoted;
    fail("invalid syntax");
  }

  void definition() {
    const std::string name = templateName(nextNonSpace(), "define clause");
    expect(TokenType::rightDelim, "define clause");
    // Its variables are its own.
    std::vector<std::string> outer = std::exchange(variables_, {"$"});
    auto [body, last] = itemList();
    if (last->type != Node::Type::end) fail(fmt::format("unexpected {} in define clause", last->print()));
    variables_ = std::move(outer);
    define(name, std::move(body));
  }

  std::pair<NodePtr, NodePtr> itemList() {
    NodePtr list = make(Node::Type::list, peekNonSpace().pos);
    while (peekNonSpace().type != TokenType::eof) {
      NodePtr node = textOrAction();
      if (node->type == Node::Type::end || node->type == Node::Type::else_) return {std::move(list), std::move(node)};
      list->children.push_back(std::move(node));
    }
    next();
    fail("unexpected EOF");
  }

  NodePtr textOrAction() {
    const Depth depth(*this);
    const Token& token = nextNonSpace();
    if (token.type == TokenType::text) {
      NodePtr node = make(Node::Type::text, token.pos);
      node->text = token.text;
      return node;
    }
    if (token.type != TokenType::leftDelim) unexpected(token, "input");
    return action();
  }

  NodePtr action() {
    const Token& token = nextNonSpace();
    switch (token.type) {
      case TokenType::block:
        return block(token);
      case TokenType::break_:
        return loopControl(token, Node::Type::break_);
      case TokenType::continue_:
        return loopControl(token, Node::Type::continue_);
      case TokenType::else_:
        return elseControl(token);
      case TokenType::end:
        expect(TokenType::rightDelim, "end");
        return make(Node::Type::end, token.pos);
      case TokenType::if_:
        return control(token, Node::Type::if_, "if");
      case TokenType::range:
        return control(token, Node::Type::range, "range");
      case TokenType::with:
        return control(token, Node::Type::with, "with");
      case TokenType::template_:
        return templateCall();
      default:
        break;
    }
    --pos_;
    NodePtr node = make(Node::Type::action, token.pos);
    node->pipe = pipeline("command", TokenType::rightDelim);
    return node;
  }

  NodePtr loopControl(const Token& token, Node::Type type) {
    const std::string name = "{{" + std::string(token.text) + "}}";
    NodePtr node = make(type, token.pos);
    if (const Token& after = nextNonSpace(); after.type != TokenType::rightDelim) unexpected(after, name);
    if (rangeDepth_ == 0) fail(name + " outside {{range}}");
    return node;
  }

  NodePtr elseControl(const Token& token) {
    NodePtr node = make(Node::Type::else_, token.pos);
    const TokenType after = peekNonSpace().type;
    // "{{else if" and "{{else with" go on as an action of their own.
    if (after != TokenType::if_ && after != TokenType::with) expect(TokenType::rightDelim, "else");
    return node;
  }

  NodePtr control(const Token& token, Node::Type type, std::string_view context) {
    const size_t variables = variables_.size();
    NodePtr node = make(type, token.pos);
    node->pipe = pipeline(context, TokenType::rightDelim);
    if (type == Node::Type::range) ++rangeDepth_;
    auto [body, last] = itemList();
    if (type == Node::Type::range) --rangeDepth_;
    node->body = std::move(body);
    if (last->type == Node::Type::else_) node->otherwise = alternative(type, context);
    variables_.resize(variables);
    return node;
  }

  NodePtr alternative(Node::Type type, std::string_view context) {
    const TokenType wanted = type == Node::Type::if_ ? TokenType::if_ : TokenType::with;
    if (type != Node::Type::range && peekNonSpace().type == wanted) {
      const Depth depth(*this);
      NodePtr list = make(Node::Type::list, peek().pos);
      const Token& token = next();
      list->children.push_back(control(token, type, context));  // its end is ours
      return list;
    }
    if (peek().type == TokenType::if_ || peek().type == TokenType::with) {
      next();
      unexpected(tokens_[pos_ - 1], "else");
    }
    auto [list, last] = itemList();
    if (last->type != Node::Type::end) fail("expected end; found " + last->print());
    return std::move(list);
  }

  NodePtr templateCall() {
    const Token& token = nextNonSpace();
    NodePtr node = make(Node::Type::template_, token.pos);
    node->text = templateName(token, "template clause");
    if (peekNonSpace().type == TokenType::rightDelim) {
      next();
    } else {
      node->pipe = pipeline("template clause", TokenType::rightDelim);
    }
    return node;
  }

  NodePtr block(const Token& token) {
    const std::string name = templateName(nextNonSpace(), "block clause");
    NodePtr node = make(Node::Type::template_, token.pos);
    node->text = name;
    node->pipe = pipeline("block clause", TokenType::rightDelim);
    std::vector<std::string> outer = std::exchange(variables_, {"$"});
    auto [body, last] = itemList();
    if (last->type != Node::Type::end) fail(fmt::format("unexpected {} in block clause", last->print()));
    variables_ = std::move(outer);
    define(name, std::move(body));
    return node;
  }

  // Pipelines.

  NodePtr pipeline(std::string_view context, TokenType end) {
    const Depth depth(*this);
    NodePtr pipe = make(Node::Type::pipe, peekNonSpace().pos);
    declarations(*pipe, context);
    for (;;) {
      const Token& token = nextNonSpace();
      if (token.type == end) {
        check(*pipe, context);
        return pipe;
      }
      switch (token.type) {
        case TokenType::boolean:
        case TokenType::charConstant:
        case TokenType::dot:
        case TokenType::field:
        case TokenType::identifier:
        case TokenType::number:
        case TokenType::nil:
        case TokenType::rawString:
        case TokenType::string:
        case TokenType::variable:
        case TokenType::leftParen:
          --pos_;
          pipe->children.push_back(command());
          break;
        default:
          unexpected(token, context);
      }
    }
  }

  /// "$x :=", "$x =", "$i, $e :=".
  void declarations(Node& pipe, std::string_view context) {
    while (peekNonSpace().type == TokenType::variable) {
      const size_t mark = pos_;
      const Token& variable = next();
      const Token& after = peekNonSpace();
      if (after.type == TokenType::assign || after.type == TokenType::declare) {
        pipe.assigns = after.type == TokenType::assign;
        next();
        pipe.names.emplace_back(variable.text);
        variables_.emplace_back(variable.text);
        return;
      }
      if (after.type != TokenType::character || after.text != ",") {
        pos_ = mark;
        return;
      }
      next();
      pipe.names.emplace_back(variable.text);
      variables_.emplace_back(variable.text);
      if (context != "range" || pipe.names.size() >= 2) fail(fmt::format("too many declarations in {}", context));
      const TokenType second = peekNonSpace().type;
      if (second != TokenType::variable && second != TokenType::rightDelim && second != TokenType::rightParen) {
        fail("range can only initialize variables");
      }
    }
  }

  void check(const Node& pipe, std::string_view context) {
    if (pipe.children.empty()) fail(fmt::format("missing value for {}", context));
    for (size_t i = 1; i < pipe.children.size(); ++i) {
      switch (pipe.children[i]->children[0]->type) {
        case Node::Type::boolean:
        case Node::Type::dot:
        case Node::Type::nil:
        case Node::Type::number:
        case Node::Type::string:
          fail(fmt::format("non executable command in pipeline stage {}", i + 1));
        default:
          break;
      }
    }
  }

  NodePtr command() {
    NodePtr node = make(Node::Type::command, peekNonSpace().pos);
    for (;;) {
      peekNonSpace();
      if (NodePtr argument = operand()) node->children.push_back(std::move(argument));
      const Token& token = next();
      if (token.type == TokenType::space) continue;
      if (token.type == TokenType::rightDelim || token.type == TokenType::rightParen) {
        --pos_;
      } else if (token.type != TokenType::pipe) {
        unexpected(token, "operand");
      }
      break;
    }
    if (node->children.empty()) fail("empty command");
    return node;
  }

  NodePtr operand() {
    NodePtr node = term();
    if (node == nullptr || peek().type != TokenType::field) return node;
    NodePtr chain = make(Node::Type::chain, peek().pos);
    while (peek().type == TokenType::field) {
      for (std::string& name : namesOf(next().text)) chain->names.push_back(std::move(name));
    }
    switch (node->type) {
      case Node::Type::field:
      case Node::Type::variable:
        for (std::string& name : chain->names) node->names.push_back(std::move(name));
        node->pos = chain->pos;
        return node;
      case Node::Type::boolean:
      case Node::Type::string:
      case Node::Type::number:
      case Node::Type::nil:
      case Node::Type::dot:
        fail("unexpected . after term " + goQuote(node->print()));
      default:
        break;
    }
    chain->children.push_back(std::move(node));
    return chain;
  }

  NodePtr term() {
    const Token& token = nextNonSpace();
    switch (token.type) {
      case TokenType::identifier:
        return identifier(token);
      case TokenType::dot:
        return make(Node::Type::dot, token.pos);
      case TokenType::nil:
        return make(Node::Type::nil, token.pos);
      case TokenType::variable:
        return variable(token);
      case TokenType::field: {
        NodePtr node = make(Node::Type::field, token.pos);
        node->names = namesOf(token.text);
        return node;
      }
      case TokenType::boolean: {
        NodePtr node = make(Node::Type::boolean, token.pos);
        node->literal = Value(token.text == "true");
        return node;
      }
      case TokenType::charConstant:
      case TokenType::number:
        return number(token);
      case TokenType::leftParen:
        return pipeline("parenthesized pipeline", TokenType::rightParen);
      case TokenType::string:
      case TokenType::rawString: {
        NodePtr node = make(Node::Type::string, token.pos);
        node->literal = Value(text(token));
        node->text = token.text;
        return node;
      }
      default:
        break;
    }
    --pos_;
    return nullptr;
  }

  NodePtr identifier(const Token& token) {
    NodePtr node = make(Node::Type::identifier, token.pos);
    node->text = token.text;
    if (findBuiltin(token.text) == nullptr && set_.functions.find(token.text) == set_.functions.end()) {
      fail(fmt::format("function {} not defined", goQuote(token.text)));
    }
    return node;
  }

  NodePtr variable(const Token& token) {
    NodePtr node = make(Node::Type::variable, token.pos);
    node->names = {std::string(token.text)};
    if (std::find(variables_.begin(), variables_.end(), token.text) == variables_.end()) {
      fail(fmt::format("undefined variable {}", goQuote(token.text)));
    }
    return node;
  }

  NodePtr number(const Token& token) {
    NodePtr node = make(Node::Type::number, token.pos);
    node->text = token.text;
    if (token.type == TokenType::charConstant) {
      const auto rune = unquoteRune(token.text);
      if (!rune) fail("malformed character constant: " + node->text);
      node->literal = Value(static_cast<int64_t>(*rune));
      return node;
    }
    const bool hex = node->text.find_first_of("xX") != std::string::npos;
    const bool isFloat = node->text.find_first_of(hex ? ".pP" : ".eE") != std::string::npos;
    const auto value = isFloat ? parseFloat(node->text) : parseInteger(node->text);
    if (!value) fail(fmt::format("illegal number syntax: {}", goQuote(node->text)));
    node->literal = *value;
    return node;
  }

  static std::optional<Value> parseInteger(const std::string& text) {
    try {
      return Value(parseGoInt(text));
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  static std::optional<Value> parseFloat(std::string text) {
    std::erase(text, '_');
    std::string_view digits = text;
    const bool negative = digits.starts_with('-');
    if (negative || digits.starts_with('+')) digits.remove_prefix(1);
    auto format = std::chars_format::general;
    if (digits.starts_with("0x") || digits.starts_with("0X")) {
      digits.remove_prefix(2);
      format = std::chars_format::hex;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, format);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return Value(negative ? -value : value);
  }

  Set& set_;
  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int line_ = 1;
  int depth_ = 0;
  int rangeDepth_ = 0;
  std::vector<std::string> variables_ = {"$"};
};

}  // namespace

void parse(Set& set) {
  Parser(set).run();
}

std::string Node::print() const {
  const auto all = [](const std::vector<NodePtr>& nodes, std::string_view between) {
    std::string out;
    for (const NodePtr& node : nodes) {
      if (!out.empty()) out += between;
      out += node->type == Type::pipe ? "(" + node->print() + ")" : node->print();
    }
    return out;
  };
  switch (type) {
    case Type::list:
      return all(children, "");
    case Type::text:
      return text;
    case Type::action:
      return "{{" + pipe->print() + "}}";
    case Type::if_:
    case Type::range:
    case Type::with: {
      const std::string name = type == Type::if_ ? "if" : type == Type::range ? "range" : "with";
      const std::string rest = otherwise == nullptr ? "" : "{{else}}" + otherwise->print();
      return "{{" + name + " " + pipe->print() + "}}" + body->print() + rest + "{{end}}";
    }
    case Type::template_:
      return "{{template " + goQuote(text) + (pipe == nullptr ? "" : " " + pipe->print()) + "}}";
    case Type::break_:
      return "{{break}}";
    case Type::continue_:
      return "{{continue}}";
    case Type::end:
      return "{{end}}";
    case Type::else_:
      return "{{else}}";
    case Type::pipe:
      return join(names, ", ") + (names.empty() ? "" : assigns ? " = " : " := ") + all(children, " | ");
    case Type::command:
      return all(children, " ");
    case Type::field:
      return "." + join(names, ".");
    case Type::variable:
      return join(names, ".");
    case Type::chain:
      return all(children, "") + "." + join(names, ".");
    case Type::identifier:
    case Type::number:
    case Type::string:
      return text;
    case Type::dot:
      return ".";
    case Type::nil:
      return "nil";
    case Type::boolean:
      return literal.print();
  }
  return {};
}

}  // namespace estiba::cli::gotemplate
