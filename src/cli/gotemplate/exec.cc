#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "cli/gotemplate/functions.h"
#include "cli/gotemplate/node.h"

namespace estiba::cli::gotemplate {

namespace {

using Kind = Value::Kind;

/// Output beyond this is a runaway template, not a listing.
constexpr size_t kMaxOutput = 256u << 20;
constexpr uint64_t kMaxSteps = 50'000'000;

bool isNil(const Value& value) {
  return value.kind() == Kind::none || value.kind() == Kind::nil;
}

/// What a list or branch ended with.
enum class Flow { normal, breaks, continues };

class Walker {
 public:
  Walker(const Set& set, bool missingKeyIsError) : set_(set), missingKeyIsError_(missingKeyIsError) {}

  std::string run(const Value& data) {
    const Node& root = *set_.templates.find(set_.name)->second;
    callTemplate(root, set_.name, data);
    return std::move(out_);
  }

 private:
  using Final = const Value*;  ///< what the pipeline hands on; nullptr: nothing

  // Errors.

  /// "template: NAME:LINE:COLUMN: executing "T" at <NODE>: what"
  [[noreturn]] void fail(const std::string& what) const {
    const size_t pos = std::min(node_->pos, set_.source.size());
    const std::string_view before = std::string_view(set_.source).substr(0, pos);
    const size_t newline = before.rfind('\n');
    const size_t column = newline == std::string_view::npos ? pos : pos - newline - 1;
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    throw Error(Code::invalid, fmt::format("template: {}:{}:{}: executing {} at <{}>: {}", set_.name, line, column,
                                           goQuote(current_), node_->print(), what));
  }
  void at(const Node& node) { node_ = &node; }

  struct Depth {
    explicit Depth(Walker& w) : walker(w) {
      if (++walker.depth_ > kMaxDepth * 2) walker.fail("exceeded maximum template depth");
    }
    ~Depth() { --walker.depth_; }
    Walker& walker;
  };

  // Statements.

  void callTemplate(const Node& root, std::string_view name, const Value& dot) {
    const auto outerName = std::exchange(current_, std::string(name));
    auto outer = std::exchange(variables_, {{"$", dot}});
    node_ = &root;
    walk(dot, root);
    variables_ = std::move(outer);
    current_ = outerName;
  }

  Flow walk(const Value& dot, const Node& node) {
    const Depth depth(*this);
    if (++steps_ > kMaxSteps) fail("template runs too long");
    switch (node.type) {
      case Node::Type::list:
        for (const NodePtr& child : node.children) {
          if (const Flow flow = walk(dot, *child); flow != Flow::normal) return flow;
        }
        return Flow::normal;
      case Node::Type::text:
        return write(node.text), Flow::normal;
      case Node::Type::action: {
        at(node);
        const Value value = pipeline(dot, *node.pipe);
        if (node.pipe->names.empty()) printValue(value);
        return Flow::normal;
      }
      case Node::Type::if_:
      case Node::Type::with:
        return branch(dot, node);
      case Node::Type::range:
        return range(dot, node);
      case Node::Type::template_:
        return invoke(dot, node), Flow::normal;
      case Node::Type::break_:
        return Flow::breaks;
      case Node::Type::continue_:
        return Flow::continues;
      default:
        fail("unknown node: " + node.print());
    }
  }

  void write(std::string_view text) {
    if (out_.size() + text.size() > kMaxOutput) fail("template prints too much");
    out_ += text;
  }

  /// A nil that has a type prints as Go's pointers do, one without as a value that is not there.
  void printValue(const Value& value) {
    write(isNil(value) && (value.kind() == Kind::none || value.isUntypedNil()) ? "<no value>" : value.print());
  }

  Flow branch(const Value& dot, const Node& node) {
    const size_t variables = variables_.size();
    const Value value = pipeline(dot, *node.pipe);
    Flow flow = Flow::normal;
    if (value.truth()) {
      flow = walk(node.type == Node::Type::with ? value : dot, *node.body);
    } else if (node.otherwise != nullptr) {
      flow = walk(dot, *node.otherwise);
    }
    variables_.resize(variables);
    return flow;
  }

  Flow range(const Value& dot, const Node& node) {
    at(node);
    const size_t outer = variables_.size();
    const Value value = pipeline(dot, *node.pipe);
    const size_t inner = variables_.size();
    bool ran = false;
    // True: go on.
    const auto once = [&](const Value& index, const Value& element) {
      ran = true;
      bindRange(*node.pipe, inner, index, element);
      const Flow flow = walk(element, *node.body);
      variables_.resize(inner);
      return flow != Flow::breaks;
    };
    iterate(value, *node.pipe, once);
    variables_.resize(outer);
    return !ran && node.otherwise != nullptr ? walk(dot, *node.otherwise) : Flow::normal;
  }

  template <class F>
  void iterate(const Value& value, const Node& pipe, const F& once) {
    switch (value.kind()) {
      case Kind::list:
        for (size_t i = 0, n = value.size(); i < n; ++i) {
          if (!once(static_cast<int64_t>(i), value.at(i))) return;
        }
        return;
      case Kind::map:
        for (const auto& [key, item] : value.entries()) {
          if (!once(key, item)) return;
        }
        return;
      case Kind::integer:
        if (pipe.names.size() > 1)
          fail(fmt::format("can't use {} to iterate over more than one variable", value.print()));
        for (int64_t i = 0; i < value.asInteger(); ++i) {
          if (++steps_ > kMaxSteps) fail("template runs too long");
          if (!once(i, i)) return;
        }
        return;
      case Kind::none:
      case Kind::nil:
        return;
      default:
        fail("range can't iterate over " + value.print());
    }
  }

  /// The variables of "range $i, $e :=" were pushed by the pipeline, the last of them on top.
  void bindRange(const Node& pipe, size_t top, const Value& index, const Value& element) {
    const size_t count = pipe.names.size();
    if (count == 0) return;
    if (pipe.assigns) {
      if (count > 1) {
        assign(pipe.names[0], index);
        assign(pipe.names[1], element);
      } else {
        assign(pipe.names[0], element);
      }
      return;
    }
    variables_[top - 1].second = element;
    if (count > 1) variables_[top - 2].second = index;
  }

  void invoke(const Value& dot, const Node& node) {
    at(node);
    const auto found = set_.templates.find(node.text);
    if (found == set_.templates.end()) fail(fmt::format("template {} not defined", goQuote(node.text)));
    const Value argument = node.pipe == nullptr ? Value() : pipeline(dot, *node.pipe);
    callTemplate(*found->second, node.text, argument);
  }

  // Variables.

  void assign(const std::string& name, const Value& value) {
    const auto found = std::find_if(variables_.rbegin(), variables_.rend(), [&](auto& v) { return v.first == name; });
    if (found == variables_.rend()) fail("undefined variable: " + name);
    found->second = value;
  }

  const Value& variable(const std::string& name) {
    const auto found = std::find_if(variables_.rbegin(), variables_.rend(), [&](auto& v) { return v.first == name; });
    if (found == variables_.rend()) fail("undefined variable: " + name);
    return found->second;
  }

  // Expressions.

  Value pipeline(const Value& dot, const Node& pipe) {
    const Depth depth(*this);
    at(pipe);
    Value value;
    for (size_t i = 0; i < pipe.children.size(); ++i) {
      const Value before = std::move(value);
      value = command(dot, *pipe.children[i], i == 0 ? nullptr : &before);
    }
    for (const std::string& name : pipe.names) {
      if (pipe.assigns) {
        assign(name, value);
      } else {
        variables_.emplace_back(name, value);
      }
    }
    return value;
  }

  Value command(const Value& dot, const Node& node, Final final) {
    const Node& first = *node.children[0];
    switch (first.type) {
      case Node::Type::field:
        return field(dot, first, &node, final);
      case Node::Type::chain:
        return chain(dot, first, &node, final);
      case Node::Type::identifier:
        return function(dot, first, node, &node, final);
      case Node::Type::variable:
        return variableField(dot, first, &node, final);
      case Node::Type::pipe:
        return notFunction(node, final), pipeline(dot, first);
      default:
        break;
    }
    at(first);
    notFunction(node, final);
    switch (first.type) {
      case Node::Type::dot:
        return dot;
      case Node::Type::nil:
        fail("nil is not a command");
      default:
        return first.literal;
    }
  }

  void notFunction(const Node& node, Final final) {
    if (node.children.size() > 1 || final != nullptr) {
      at(*node.children[0]);
      fail("can't give argument to non-function " + node.children[0]->print());
    }
  }

  /// One operand of a command.
  Value argument(const Value& dot, const Node& node) {
    at(node);
    switch (node.type) {
      case Node::Type::dot:
        return dot;
      case Node::Type::nil:
        return Value::nil();
      case Node::Type::field:
        return field(dot, node, nullptr, nullptr);
      case Node::Type::variable:
        return variableField(dot, node, nullptr, nullptr);
      case Node::Type::pipe:
        return pipeline(dot, node);
      case Node::Type::identifier:
        return function(dot, node, node, nullptr, nullptr);
      case Node::Type::chain:
        return chain(dot, node, nullptr, nullptr);
      default:
        return node.literal;
    }
  }

  Value field(const Value& dot, const Node& node, const Node* command, Final final) {
    at(node);
    return fields(dot, dot, node.names, 0, command, final);
  }

  Value variableField(const Value& dot, const Node& node, const Node* command, Final final) {
    at(node);
    const Value value = variable(node.names[0]);
    if (node.names.size() > 1) return fields(dot, value, node.names, 1, command, final);
    if (command != nullptr) notFunction(*command, final);
    return value;
  }

  Value chain(const Value& dot, const Node& node, const Node* command, Final final) {
    at(node);
    if (node.children[0]->type == Node::Type::nil) fail("indirection through explicit nil in " + node.print());
    return fields(dot, argument(dot, *node.children[0]), node.names, 0, command, final);
  }

  Value fields(const Value& dot, Value receiver, const std::vector<std::string>& names, size_t from,
               const Node* command, Final final) {
    for (size_t i = from; i < names.size(); ++i) {
      const bool isLast = i + 1 == names.size();
      receiver = member(dot, receiver, names[i], isLast ? command : nullptr, isLast ? final : nullptr);
    }
    return receiver;
  }

  Value member(const Value& dot, const Value& receiver, const std::string& name, const Node* command, Final final) {
    const bool hasArgs = (command != nullptr && command->children.size() > 1) || final != nullptr;
    switch (receiver.kind()) {
      case Kind::none:
        if (missingKeyIsError_) fail("nil data; no entry for key " + goQuote(name));
        return {};
      case Kind::nil:
        if (receiver.isUntypedNil() && !missingKeyIsError_) return {};
        fail(fmt::format("nil pointer evaluating {}.{}", receiver.isUntypedNil() ? "interface {}" : receiver.typeName(),
                         name));
      case Kind::object:
        return method(dot, receiver, name, command, final);
      case Kind::map: {
        if (hasArgs) fail(name + " is not a method but has arguments");
        if (auto found = receiver.member(name)) return *found;
        if (missingKeyIsError_ && !receiver.isTyped()) fail("map has no entry for key " + goQuote(name));
        return {};
      }
      case Kind::structure:
        if (auto found = receiver.member(name)) {
          if (hasArgs) fail(name + " has arguments but cannot be invoked as function");
          return *found;
        }
        break;
      default:
        break;
    }
    // What lies in an untyped map is only known as an interface.
    const bool untyped = missingKeyIsError_ && receiver.kind() != Kind::structure;
    fail(fmt::format("can't evaluate field {} in type {}", name, untyped ? "interface {}" : receiver.typeName()));
  }

  Value method(const Value& dot, const Value& receiver, const std::string& name, const Node* command, Final final) {
    const Node* here = node_;
    std::vector<Value> args;
    for (size_t i = 1; command != nullptr && i < command->children.size(); ++i) {
      args.push_back(argument(dot, *command->children[i]));
    }
    if (final != nullptr) args.push_back(*final);
    at(*here);
    std::optional<Value> result;
    try {
      result = receiver.asObject().member(name, args);
    } catch (const Error& e) {
      fail(fmt::format("error calling {}: {}", name, e.what()));
    }
    if (!result) fail(fmt::format("can't evaluate field {} in type {}", name, receiver.typeName()));
    return std::move(*result);
  }

  // Functions.

  /// @param whole    what errors of the call name: the command, or the function alone
  /// @param command  has the arguments behind its first operand; nullptr: none
  Value function(const Value& dot, const Node& node, const Node& whole, const Node* command, Final final) {
    at(node);
    const size_t given = (command == nullptr ? 0 : command->children.size() - 1) + (final == nullptr ? 0 : 1);
    if (const auto own = set_.functions.find(node.text); own != set_.functions.end()) {
      checkCount(node.text, own->second.least, own->second.most, given);
      const auto args = arguments(dot, command, final, "*a");
      return guarded(whole, node.text, [&] { return own->second.call(args); });
    }
    const Builtin& builtin = *findBuiltin(node.text);
    const size_t star = builtin.parameters.find('*');
    const bool variadic = star != std::string_view::npos;
    const size_t least = variadic ? star : builtin.parameters.size();
    checkCount(node.text, static_cast<int>(least), variadic ? -1 : static_cast<int>(least), given);
    if (node.text == "and" || node.text == "or") return logical(dot, node.text == "or", *command, final);
    const auto args = arguments(dot, command, final, builtin.parameters);
    return guarded(whole, node.text, [&] { return builtin.call(args); });
  }

  template <class F>
  Value guarded(const Node& whole, const std::string& name, const F& call) {
    try {
      return call();
    } catch (const Error& e) {
      at(whole);
      fail(fmt::format("error calling {}: {}", name, e.what()));
    }
  }

  void checkCount(const std::string& name, int least, int most, size_t given) {
    if (given < static_cast<size_t>(least)) {
      fail(fmt::format("wrong number of args for {}: want {}{} got {}", name, most < 0 ? "at least " : "", least,
                       given));
    }
    if (most >= 0 && given > static_cast<size_t>(most)) {
      fail(fmt::format("wrong number of args for {}: want {} got {}", name, most, given));
    }
  }

  Value logical(const Value& dot, bool stopsAt, const Node& command, Final final) {
    Value value;
    for (size_t i = 1; i < command.children.size(); ++i) {
      value = argument(dot, *command.children[i]);
      if (value.truth() == stopsAt) return value;
    }
    return final == nullptr ? value : *final;
  }

  std::vector<Value> arguments(const Value& dot, const Node* command, Final final, std::string_view parameters) {
    std::vector<Value> out;
    const auto typeAt = [&](size_t i) {
      const size_t star = parameters.find('*');
      return star != std::string_view::npos && i >= star ? parameters[star + 1] : parameters[i];
    };
    for (size_t i = 1; command != nullptr && i < command->children.size(); ++i) {
      out.push_back(argument(dot, *command->children[i]));
      checkType(out.back(), typeAt(out.size() - 1), command->children[i].get());
    }
    if (final != nullptr) {
      out.push_back(*final);
      checkType(out.back(), typeAt(out.size() - 1), nullptr);
    }
    return out;
  }

  /// Strings, integers and lists of strings are checked before the call, as Go's reflection does.
  void checkType(const Value& value, char type, const Node* node) {
    if (type == 'a') return;
    const bool fits = (type == 's' && value.kind() == Kind::string) || (type == 'i' && value.kind() == Kind::integer) ||
                      (type == 'l' && value.kind() == Kind::list);
    if (fits) return;
    const std::string_view wanted = type == 's' ? "string" : type == 'i' ? "int" : "[]string";
    const std::string_view literal = type == 's' ? "string" : type == 'i' ? "integer" : "[]string";
    if (node != nullptr) at(*node);
    if (value.kind() == Kind::none) fail(fmt::format("invalid value; expected {}", wanted));
    if (node != nullptr && node->type == Node::Type::nil) fail(fmt::format("cannot assign nil to {}", wanted));
    const bool isLiteral = node != nullptr && (node->type == Node::Type::boolean || node->type == Node::Type::number ||
                                               node->type == Node::Type::string);
    if (isLiteral) fail(fmt::format("expected {}; found {}", literal, node->print()));
    fail(fmt::format("wrong type for value; expected {}; got {}", wanted, value.typeName()));
  }

  const Set& set_;
  const bool missingKeyIsError_;
  std::string out_;
  std::string current_;
  const Node* node_ = nullptr;
  std::vector<std::pair<std::string, Value>> variables_;
  int depth_ = 0;
  uint64_t steps_ = 0;
};

}  // namespace

std::string execute(const Set& set, bool missingKeyIsError, const Value& data) {
  return Walker(set, missingKeyIsError).run(data);
}

}  // namespace estiba::cli::gotemplate

namespace estiba::cli {

Template Template::parse(std::string_view text, TemplateOptions options) {
  auto set = std::make_shared<gotemplate::Set>();
  set->name = std::move(options.name);
  set->source = text;
  set->functions = std::move(options.functions);
  gotemplate::parse(*set);
  Template out;
  out.missingKeyIsError_ = options.missingKeyIsError;
  out.set_ = std::move(set);
  return out;
}

std::string Template::execute(const Value& data) const {
  return gotemplate::execute(*set_, missingKeyIsError_, data);
}

Template Template::withMissingKeyError(bool on) const {
  Template out = *this;
  out.missingKeyIsError_ = on;
  return out;
}

}  // namespace estiba::cli
