#include "cli/formatter.h"

#include <ostream>

#include "base/error.h"
#include "base/text.h"
#include "cli/go_json.h"
#include "cli/table.h"

namespace estiba::cli {

namespace {

/// The headers as template data: `{{.ID}}` gives "IMAGE ID"; functions that cut or change text leave them alone.
class HeaderObject : public Object {
 public:
  HeaderObject(const Headers& headers, std::string_view typeName) : headers_(headers), typeName_(typeName) {}

  std::optional<Value> member(std::string_view name, std::span<const Value> args) const override {
    // {{.Label "x"}} has the label's own name as its header.
    if (name == "Label" && !args.empty()) return Value(labelHeader(args[0].print()));
    const auto found = headers_.find(name);
    return found == headers_.end() ? Value() : Value(found->second);
  }
  json::value toJson() const override { return nullptr; }
  std::string_view typeName() const override { return typeName_; }

 private:
  static std::string labelHeader(const std::string& name) {
    const size_t dot = name.rfind('.');
    std::string out = dot == std::string::npos ? name : name.substr(dot + 1);
    for (char& c : out) {
      if (c == '-' || c == '_') c = ' ';
    }
    return out;
  }

  const Headers& headers_;
  std::string_view typeName_;
};

TemplateFunctions headerFunctions() {
  const auto same = [](std::span<const Value> args) { return args[0]; };
  const auto nothing = [](std::span<const Value>) { return Value(""); };
  return {{"json", {1, 1, same}},
          {"title", {1, 1, same}},
          {"lower", {1, 1, same}},
          {"upper", {1, 1, same}},
          {"truncate", {2, 2, same}},
          {"pad", {3, 3, same}},
          {"split", {2, 2, nothing}},
          {"join", {2, 2, same}},
          {"println", {0, -1, [](std::span<const Value> args) { return args.empty() ? Value("") : args[0]; }}}};
}

Template parseFormat(std::string_view text, TemplateFunctions functions = {}) {
  try {
    return Template::parse(text, {.functions = std::move(functions)});
  } catch (const Error& e) {
    throw Error(Code::invalid, fmt::format("template parsing error: {}", e.what()));
  }
}

std::string run(const Template& format, const Value& row) {
  try {
    return format.execute(row);
  } catch (const Error& e) {
    throw Error(Code::invalid, fmt::format("template parsing error: {}", e.what()));
  }
}

std::string unescaped(std::string_view format) {
  return replaceAll(replaceAll(trim(format), "\\t", "\t"), "\\n", "\n");
}

}  // namespace

void printRows(std::ostream& out, const ListFormat& list, std::string_view format, bool quiet, const Headers& headers,
               const std::vector<std::shared_ptr<const Object>>& rows) {
  std::string text = unescaped(format);
  if (text.empty() || text == "table") text = list.defaultTable;
  if (quiet && !list.quiet.empty()) text = list.quiet;
  if (text == "raw") {
    if (list.raw.empty()) fail(Code::invalid, "format \"raw\" is not supported here");
    text = list.raw;
  }
  if (text == "json") text = "{{json .}}";
  const bool isTable = startsWith(text, "table ") || startsWith(text, "table\t");
  if (isTable) text = unescaped(std::string_view(text).substr(6));

  const Template rowTemplate = parseFormat(text);
  std::string body;
  for (const auto& row : rows) body += run(rowTemplate, Value::object(row)) + "\n";
  if (!isTable) {
    out << body;
    return;
  }
  const std::string_view typeName = rows.empty() ? "formatter.SubHeaderContext" : rows.front()->typeName();
  const auto head = Value::object(std::make_shared<HeaderObject>(headers, typeName));
  out << alignTabs(run(parseFormat(text, headerFunctions()), head) + "\n" + body);
}

InspectPrinter::InspectPrinter(std::string_view format)
    : mode_(format.empty()     ? Mode::indentedArray
            : format == "json" ? Mode::jsonLine
                               : Mode::lines) {
  if (mode_ == Mode::lines) template_ = parseFormat(format);
}

void InspectPrinter::add(const json::value& element, const Shape* shape) {
  if (mode_ != Mode::lines) {
    elements_.push_back(element);
    return;
  }
  if (shape != nullptr) {
    try {
      lines_ += template_->execute(Value::ofJson(element, shape)) + "\n";
      return;
    } catch (const Error&) {
      // The bare JSON has fields that the type does not know; its error is the one that is shown.
    }
  }
  lines_ += run(template_->withMissingKeyError(true), Value::ofJson(element)) + "\n";
}

void InspectPrinter::flush(std::ostream& out) const {
  switch (mode_) {
    case Mode::indentedArray:
      out << goJson(elements_, {.indent = "    "}) << '\n';
      break;
    case Mode::jsonLine:
      out << goJson(elements_) << '\n';
      break;
    case Mode::lines:
      out << (lines_.empty() ? "\n" : lines_);
      break;
  }
}

}  // namespace estiba::cli
