#include "cli/args.h"

#include <algorithm>

#include "base/text.h"
#include "cli/flag_values.h"
#include "cli/gotemplate.h"

namespace estiba::cli {

namespace {

const Flag* byName(std::span<const Flag> flags, std::string_view name) {
  const auto found = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; });
  return found == flags.end() ? nullptr : &*found;
}

const Flag* byShorthand(std::span<const Flag> flags, char shorthand) {
  const auto found = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.shorthand == shorthand; });
  return found == flags.end() ? nullptr : &*found;
}

std::string displayName(const Flag& flag) {
  // --help has its shorthand only for the sake of old habits.
  return flag.shorthand == 0 || flag.name == "help" ? fmt::format("--{}", flag.name)
                                                    : fmt::format("-{}, --{}", flag.shorthand, flag.name);
}

/// Looks at a value as its kind demands and keeps it in a form that the accessors read without failing.
void validate(const Flag& flag, std::string& value) {
  switch (flag.kind) {
    case ValueKind::boolean:
      value = parseGoBool(value) ? "true" : "false";
      break;
    case ValueKind::integer:
      value = std::to_string(parseGoInt(value));
      break;
    case ValueKind::uinteger:
      value = std::to_string(parseGoUint(value));
      break;
    case ValueKind::uint16:
      value = std::to_string(parseGoUint(value, 16));
      break;
    case ValueKind::decimal:
      value = std::to_string(parseNanoCpus(value));
      break;
    case ValueKind::duration:
      value = std::to_string(parseGoDuration(value));
      break;
    case ValueKind::bytes:
      value = std::to_string(parseBytes(value));
      break;
    case ValueKind::swapBytes:
      value = value == "-1" ? value : std::to_string(parseBytes(value));
      break;
    case ValueKind::text:
    case ValueKind::list:
    case ValueKind::strings:
    case ValueKind::map:
    case ValueKind::custom:
      break;
  }
  if (flag.check != nullptr) flag.check(value);
}

bool accumulates(ValueKind kind) {
  return kind == ValueKind::list || kind == ValueKind::strings || kind == ValueKind::map || kind == ValueKind::custom;
}

constexpr Flag kHelp{.name = "help",
                     .shorthand = 'h',
                     .kind = ValueKind::boolean,
                     .type = {},
                     .usage = "Print usage",
                     .initial = {},
                     .shown = {},
                     .check = nullptr,
                     .hidden = true,
                     .noValue = "true",
                     .instead = {},
                     .refusal = {}};

}  // namespace

/// Goes through the arguments once.
class ArgReader {
 public:
  ArgReader(std::span<const std::string> args, std::span<const Flag> flags, bool interspersed)
      : args_(args), flags_(flags), interspersed_(interspersed) {
    out_.table_ = flags;
  }

  Parsed run() {
    while (next_ < args_.size()) {
      const std::string& arg = args_[next_++];
      if (arg.size() < 2 || arg[0] != '-') {
        out_.args.push_back(arg);
        if (!interspersed_) rest();
      } else if (arg == "--") {
        out_.argsAtDash = out_.args.size();
        rest();
      } else if (arg[1] == '-') {
        longFlag(arg);
      } else {
        shortFlags(arg);
      }
      if (out_.help) break;  // what else stands there does not matter
    }
    return std::move(out_);
  }

 private:
  void rest() {
    for (; next_ < args_.size(); ++next_) out_.args.push_back(args_[next_]);
  }

  void longFlag(const std::string& arg) {
    const auto [name, given] = cut(std::string_view(arg).substr(2), '=');
    if (name.empty() || name[0] == '-') throw FlagError("bad flag syntax: " + arg);
    const Flag* flag = byName(flags_, name);
    if (flag == nullptr && name == kHelp.name) flag = &kHelp;
    if (flag == nullptr) throw FlagError("unknown flag: --" + name);
    if (given) {
      set(*flag, *given);
    } else if (!flag->noValue.empty()) {
      set(*flag, std::string(flag->noValue));
    } else if (next_ < args_.size()) {
      set(*flag, args_[next_++]);
    } else {
      throw FlagError("flag needs an argument: " + arg);
    }
  }

  void shortFlags(const std::string& arg) {
    for (std::string_view left = std::string_view(arg).substr(1); !left.empty() && !out_.help;) {
      const char c = left[0];
      const Flag* flag = byShorthand(flags_, c);
      if (flag == nullptr && c == kHelp.shorthand) {
        out_.helpByShorthand = true;
        flag = &kHelp;
      }
      if (flag == nullptr) throw FlagError(fmt::format("unknown shorthand flag: {} in -{}", quoteChar(c), left));
      if (left.size() > 2 && left[1] == '=') {
        return set(*flag, std::string(left.substr(2)));
      }
      if (!flag->noValue.empty()) {
        set(*flag, std::string(flag->noValue));
        left.remove_prefix(1);
      } else if (left.size() > 1) {
        return set(*flag, std::string(left.substr(1)));
      } else if (next_ < args_.size()) {
        return set(*flag, args_[next_++]);
      } else {
        throw FlagError(fmt::format("flag needs an argument: {} in -{}", quoteChar(c), left));
      }
    }
  }

  static std::string quoteChar(char c) {
    const Value rune(static_cast<int64_t>(static_cast<unsigned char>(c)));
    return goSprintf("%q", std::span(&rune, 1));
  }

  void set(const Flag& flag, std::string value) {
    const std::string given = value;
    try {
      validate(flag, value);
    } catch (const Error& e) {
      throw FlagError(
          fmt::format("invalid argument {} for {} flag: {}", goQuote(given), goQuote(displayName(flag)), e.what()));
    }
    if (&flag == &kHelp) {
      out_.help = value == "true";
      return;
    }
    if (!flag.refusal.empty()) fail(Code::not_implemented, "flag --{} is not supported: {}", flag.name, flag.refusal);
    if (!flag.instead.empty()) {
      out_.warnings.push_back(fmt::format("Flag --{} has been deprecated, use --{} instead", flag.name, flag.instead));
    }
    auto& slot = out_.values_[std::string(flag.instead.empty() ? flag.name : flag.instead)];
    if (!accumulates(flag.kind)) {
      slot = {std::move(value)};
    } else if (flag.kind != ValueKind::strings) {
      slot.push_back(std::move(value));
    } else if (!value.empty()) {
      try {
        for (std::string& item : parseCsvRecord(value)) slot.push_back(std::move(item));
      } catch (const Error& e) {
        throw FlagError(
            fmt::format("invalid argument {} for {} flag: {}", goQuote(given), goQuote(displayName(flag)), e.what()));
      }
    }
  }

  std::span<const std::string> args_;
  std::span<const Flag> flags_;
  bool interspersed_;
  size_t next_ = 0;
  Parsed out_;
};

Parsed parseArgs(std::span<const std::string> args, std::span<const Flag> flags, bool interspersed) {
  return ArgReader(args, flags, interspersed).run();
}

const Flag& Parsed::find(std::string_view name) const {
  const Flag* flag = byName(table_, name);
  if (flag == nullptr) fail(Code::internal, "no flag --{} in the table", name);
  return *flag;
}

const std::string* Parsed::last(std::string_view name) const {
  find(name);
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? nullptr : &found->second.back();
}

bool Parsed::given(std::string_view name) const {
  find(name);
  return values_.find(name) != values_.end();
}

bool Parsed::flag(std::string_view name) const {
  const std::string* value = last(name);
  return value == nullptr ? find(name).initial == "true" : *value == "true";
}

std::string Parsed::str(std::string_view name) const {
  const std::string* value = last(name);
  return value == nullptr ? std::string(find(name).initial) : *value;
}

std::optional<std::string> Parsed::optString(std::string_view name) const {
  const std::string* value = last(name);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

int64_t Parsed::integer(std::string_view name) const {
  const std::string text = str(name);
  if (text.empty()) return 0;
  const auto value = parseInt(text);
  if (!value) fail(Code::internal, "flag --{} is no integer", name);
  return *value;
}

std::optional<int64_t> Parsed::optInt(std::string_view name) const {
  return given(name) ? std::optional(integer(name)) : std::nullopt;
}

uint64_t Parsed::uinteger(std::string_view name) const {
  const std::string text = str(name);
  if (text.empty()) return 0;
  const auto value = parseUint(text);
  if (!value) fail(Code::internal, "flag --{} is no unsigned integer", name);
  return *value;
}

std::chrono::nanoseconds Parsed::duration(std::string_view name) const {
  return std::chrono::nanoseconds(integer(name));
}

std::vector<std::string> Parsed::list(std::string_view name) const {
  find(name);
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

std::map<std::string, std::string> Parsed::map(std::string_view name) const {
  std::map<std::string, std::string> out;
  for (const std::string& item : list(name)) {
    auto [key, value] = parseKeyValue(item);
    out[key] = std::move(value);
  }
  return out;
}

namespace {

/// Cuts the next line of help off `text`: at a line break, or at the last blank before `width`; up to `slop` more
/// columns are allowed to a last line, so that no single word is left over.
std::string_view cutLine(std::string_view& text, size_t width, size_t slop) {
  if (width + slop > text.size()) return std::exchange(text, {});
  const std::string_view head = text.substr(0, width);
  size_t at = head.find_last_of(" \t\n");
  if (at == std::string_view::npos || at == 0) return std::exchange(text, {});
  if (const size_t newline = head.rfind('\n'); newline != std::string_view::npos && newline > 0) at = newline;
  const std::string_view line = text.substr(0, at);
  text.remove_prefix(at + 1);
  return line;
}

std::string wrapped(std::string_view text, size_t indent, size_t columns) {
  constexpr size_t kSlop = 5, kNarrowest = 24;
  const std::string newline = "\n" + std::string(indent, ' ');
  if (columns < indent + kNarrowest) return replaceAll(text, "\n", newline);
  const size_t width = columns - indent - kSlop;
  std::string out = replaceAll(cutLine(text, width, kSlop), "\n", newline);
  while (!text.empty()) out += newline + replaceAll(cutLine(text, width, kSlop), "\n", newline);
  return out;
}

std::string defaultNote(const Flag& flag) {
  if (!flag.shown.empty()) return fmt::format(" (default {})", flag.shown);
  if (flag.initial.empty() || flag.initial == "0") return "";
  const bool isText = flag.kind == ValueKind::text;
  return fmt::format(" (default {})", isText ? goQuote(flag.initial) : std::string(flag.initial));
}

}  // namespace

std::string flagUsages(std::span<const Flag> flags, int columns) {
  std::vector<const Flag*> sorted;
  for (const Flag& flag : flags) {
    if (!flag.hidden) sorted.push_back(&flag);
  }
  std::sort(sorted.begin(), sorted.end(), [](const Flag* a, const Flag* b) { return a->name < b->name; });
  std::vector<std::string> heads;
  size_t widest = 0;
  for (const Flag* flag : sorted) {
    heads.push_back(flag->shorthand == 0 ? fmt::format("      --{}", flag->name)
                                         : fmt::format("  -{}, --{}", flag->shorthand, flag->name));
    if (!flag->type.empty()) heads.back() += fmt::format(" {}", flag->type);
    widest = std::max(widest, heads.back().size());
  }
  std::string out;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const std::string text = std::string(sorted[i]->usage) + defaultNote(*sorted[i]);
    const size_t indent = widest + 3;
    out += heads[i] + std::string(indent - heads[i].size(), ' ');
    out += columns <= 0 ? replaceAll(text, "\n", "\n" + std::string(indent, ' '))
                        : wrapped(text, indent, static_cast<size_t>(columns));
    out += '\n';
  }
  return out;
}

}  // namespace estiba::cli
