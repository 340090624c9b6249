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

/// What would change a header's text leaves it alone.
TemplateFunctions headerFunctions() {
  const auto same = [](std::span<const Value> args) { return args[0]; };
  return {{"json", {1, 1, same}},  {"title", {1, 1, same}},    {"lower", {1, 1, same}}, {"upper", {1, 1, same}},
          {"split", {2, 2, same}}, {"truncate", {2, 2, same}}, {"join", {2, 2, same}}};
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

/// "\t" and "\n" as they are typed in a shell.
std::string unescaped(std::string_view format) {
  return replaceAll(replaceAll(trim(format), "\\t", "\t"), "\\n", "\n");
}

/// The template behind the user's words, "table" still in front of it.
std::string chosenTemplate(const ListFormat& list, std::string_view format, bool quiet) {
  const bool isDefault = format.empty() || format == "table";
  if (quiet && isDefault && !list.quiet.empty()) return std::string(list.quiet);
  if (isDefault) return std::string(list.defaultTable);
  if (format == "json") return "{{json .}}";
  if (format == "raw" && !list.raw.empty()) return std::string(list.raw);
  return std::string(format);
}

/// A header that the template cannot make (it ranges over a value, say) is an empty line.
std::string headerLine(const std::string& text, const Headers& headers, std::string_view typeName) {
  const auto object = Value::object(std::make_shared<HeaderObject>(headers, typeName));
  try {
    return parseFormat(text, headerFunctions()).execute(object);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

void printRows(std::ostream& out, const ListFormat& list, std::string_view format, bool quiet, const Headers& headers,
               const std::vector<std::shared_ptr<const Object>>& rows) {
  std::string text = chosenTemplate(list, format, quiet);
  const bool isTable = startsWith(text, "table");
  text = unescaped(std::string_view(text).substr(isTable ? 5 : 0));
  const Template rowTemplate = parseFormat(text);
  std::string body;
  for (const auto& row : rows) body += run(rowTemplate, Value::object(row)) + "\n";
  if (!isTable) {
    out << body;
    return;
  }
  const std::string_view typeName = rows.empty() ? "formatter.SubHeaderContext" : rows.front()->typeName();
  out << alignTabs(headerLine(text, headers, typeName) + "\n" + body);
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
