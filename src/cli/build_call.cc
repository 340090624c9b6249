#include "cli/build_call.h"

#include <ostream>

#include "base/text.h"
#include "cli/flag_values.h"
#include "cli/go_json.h"
#include "cli/table.h"

namespace estiba::cli {

namespace {

// A member's text: empty where it is not there.
std::string textOf(const json::object& object, std::string_view name) {
  const json::value* found = object.if_contains(name);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
}

const json::array& listOf(const json::object& object, std::string_view name) {
  static const json::array kNone;
  const json::value* found = object.if_contains(name);
  return found != nullptr && found->is_array() ? found->get_array() : kNone;
}

bool flagOf(const json::object& object, std::string_view name) {
  const json::value* found = object.if_contains(name);
  return found != nullptr && found->is_bool() && found->get_bool();
}

constexpr TabStyle kNarrow{.minWidth = 0, .padding = 1};
constexpr TabStyle kWide{.minWidth = 0, .padding = 3};

std::string mountTable(const std::string& heading, const json::array& mounts) {
  if (mounts.empty()) return "";
  std::string out = heading + "\tREQUIRED\n";
  for (const auto& m : mounts) {
    const auto& item = m.as_object();
    out += textOf(item, "name") + "\t" + (flagOf(item, "required") ? "true" : "") + "\n";
  }
  return alignTabs(out, kWide) + "\n";
}

std::string outlineText(const json::object& outline) {
  std::string out;
  const std::string name = textOf(outline, "name");
  const std::string description = textOf(outline, "description");
  if (!name.empty() || !description.empty()) {
    std::string head = "TARGET:\t" + (name.empty() ? "(default)" : name) + "\n";
    if (!description.empty()) head += "DESCRIPTION:\t" + description + "\n";
    out += alignTabs(head, kNarrow) + "\n";
  }
  if (const auto& args = listOf(outline, "args"); !args.empty()) {
    std::string table = "BUILD ARG\tVALUE\tDESCRIPTION\n";
    for (const auto& a : args) {
      const auto& item = a.as_object();
      table += textOf(item, "name") + "\t" + textOf(item, "value") + "\t" + textOf(item, "description") + "\n";
    }
    out += alignTabs(table, kWide) + "\n";
  }
  return out + mountTable("SECRET", listOf(outline, "secrets")) + mountTable("SSH", listOf(outline, "ssh"));
}

std::string targetsText(const json::object& list) {
  std::string out = "TARGET\tDESCRIPTION\n";
  for (const auto& t : listOf(list, "targets")) {
    const auto& item = t.as_object();
    std::string name = textOf(item, "name");
    if (flagOf(item, "default")) name += name.empty() ? "(default)" : " (default)";
    out += name + "\t" + textOf(item, "description") + "\n";
  }
  return alignTabs(out, kNarrow);
}

}  // namespace

BuildCallFlag parseCall(const std::string& text) {
  BuildCallFlag out;
  if (text.empty()) return out;
  for (const auto& field : parseCsvRecord(text)) {
    const auto [key, value] = cut(field, '=');
    if (!value) {
      if (!out.name.empty()) fail(Code::invalid, "invalid print value: {}", text);
      out.name = field;
    } else if (key == "format") {
      out.format = *value;
    } else if (key == "ignorestatus") {
      try {
        out.ignoreStatus = parseGoBool(*value);
      } catch (const Error& e) {
        fail(Code::invalid, "invalid ignorestatus print value: {}: {}", *value, e.what());
      }
    } else {
      fail(Code::invalid, "invalid print field: {}", field);
    }
  }
  if (out.name == "check") out.name = "lint";
  if (out.name == "build") out.name.clear();
  return out;
}

int printCall(Cli& cli, const BuildCallFlag& flag, const apitypes::BuildCall& answer) {
  if (flag.format == "json") {
    cli.out() << goJson(answer.result, {.indent = "  ", .escapeHtml = true}) << '\n';
  } else if (answer.text) {
    cli.out() << *answer.text;
  } else {
    const auto& result = answer.result.as_object();
    cli.out() << (flag.name == "targets" ? targetsText(result) : outlineText(result));
  }
  cli.out().flush();
  if (answer.error) throw ExitError(1, "ERROR: " + *answer.error);
  return flag.ignoreStatus ? 0 : answer.status;
}

}  // namespace estiba::cli
