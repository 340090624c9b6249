#include "build/dockerfile/instructions.h"

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "base/text.h"
#include "build/dockerfile/chars.h"
#include "build/dockerfile/flags.h"
#include "build/dockerfile/run_mount.h"

namespace estiba::build {
namespace {

using std::chrono::nanoseconds;

void atLeastOne(const Node& node, std::string_view keyword) {
  if (node.args.empty()) fail(Code::invalid, "{} requires at least one argument", keyword);
}

const std::string& exactlyOne(const Node& node, std::string_view keyword) {
  if (node.args.size() != 1) fail(Code::invalid, "{} requires exactly one argument", keyword);
  return node.args.front();
}

void noFlags(const Node& node) {
  Flags(node.flags, {});
}

std::string descriptionOf(const std::vector<std::string>& comments, const std::string& name) {
  for (const std::string& comment : comments) {
    if (startsWith(comment, name + " ")) return comment.substr(name.size() + 1);
  }
  return "";
}

CommandLine commandLine(const Node& node, size_t skip = 0) {
  CommandLine out;
  out.shellForm = !node.json;
  const std::vector<std::string> args(node.args.begin() + static_cast<ptrdiff_t>(skip), node.args.end());
  if (node.json) {
    out.args = args;
  } else if (!args.empty()) {
    out.args = {join(args, " ")};
  }
  return out;
}

bool validStageName(std::string_view name) {
  if (name.empty() || name.front() < 'a' || name.front() > 'z') return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string_view::npos;
}

FromInstruction readFrom(const Node& node) {
  FromInstruction from;
  if (node.args.size() == 3 && toLower(node.args[1]) == "as") {
    from.asWord = node.args[1];
    from.nameAsWritten = node.args[2];
    from.name = toLower(node.args[2]);
    if (!validStageName(from.name)) {
      fail(Code::invalid, "invalid name for build stage: {}, name can't start with a number or contain symbols",
           quoted(node.args[2]));
    }
  } else if (node.args.size() != 1) {
    fail(Code::invalid, "FROM requires either one or three arguments");
  }
  from.platform = Flags(node.flags, {{"platform", FlagKind::text}}).text("platform");
  from.image = node.args.front();
  return from;
}

RunInstruction readRun(const Node& node) {
  const Flags flags(node.flags, {{"mount", FlagKind::list},
                                 {"network", FlagKind::text},
                                 {"security", FlagKind::text},
                                 {"device", FlagKind::list}});
  RunInstruction run{commandLine(node)};
  run.heredocs = node.heredocs;
  run.devices = flags.list("device");
  run.mountTexts = flags.list("mount");
  for (const std::string& text : run.mountTexts) run.mountFroms.push_back(runMountFrom(text));
  run.network = flags.text("network", "default");
  if (run.network != "default" && run.network != "none" && run.network != "host") {
    fail(Code::invalid, "invalid network mode {}", quoted(run.network));
  }
  run.security = flags.text("security", "sandbox");
  if (run.security != "sandbox" && run.security != "insecure") {
    fail(Code::invalid, "security {} is not valid", quoted(run.security));
  }
  return run;
}

/// As parseHeredocMark, a word that cannot be read being no mark.
std::optional<HeredocMark> markIn(const std::string& word) {
  try {
    return parseHeredocMark(word);
  } catch (const Error&) {
    return std::nullopt;
  }
}

InlineFile inlineFile(const Node& node, const HeredocMark& mark) {
  std::string content;
  for (const Heredoc& heredoc : node.heredocs) {
    if (heredoc.name == mark.name) content = heredoc.content;
  }
  return {mark.name, mark.stripTabs ? stripLeadingTabs(content) : content, mark.expand};
}

void readPaths(const Node& node, std::string_view keyword, CopyInstruction& copy) {
  copy.destination = node.args.back();
  if (markIn(copy.destination)) fail(Code::invalid, "{} cannot accept a heredoc as a destination", keyword);
  for (size_t i = 0; i + 1 < node.args.size(); ++i) {
    if (const auto mark = markIn(node.args[i])) {
      copy.inlineFiles.push_back(inlineFile(node, *mark));
    } else {
      copy.sources.push_back(node.args[i]);
    }
  }
}

CopyInstruction readCopy(const Node& node, bool add) {
  static const FlagTable kCopyFlags = {{"chown", FlagKind::text},   {"from", FlagKind::text},
                                       {"chmod", FlagKind::text},   {"link", FlagKind::boolean},
                                       {"exclude", FlagKind::list}, {"parents", FlagKind::boolean}};
  static const FlagTable kAddFlags = {{"chown", FlagKind::text},    {"chmod", FlagKind::text},
                                      {"link", FlagKind::boolean},  {"keep-git-dir", FlagKind::boolean},
                                      {"checksum", FlagKind::text}, {"unpack", FlagKind::boolean},
                                      {"exclude", FlagKind::list}};
  const std::string_view keyword = add ? "ADD" : "COPY";
  if (node.args.size() < 2) {
    fail(Code::invalid,
         "{} requires at least two arguments, but only one was provided. Destination could not be determined", keyword);
  }
  const Flags flags(node.flags, add ? kAddFlags : kCopyFlags);
  CopyInstruction copy;
  readPaths(node, keyword, copy);
  copy.add = add;
  copy.from = flags.text("from");
  copy.chown = flags.text("chown");
  copy.chmod = flags.text("chmod");
  copy.link = flags.isTrue("link");
  copy.parents = flags.isTrue("parents");
  copy.excludes = flags.list("exclude");
  copy.keepGitDir = flags.tristate("keep-git-dir");
  copy.unpack = flags.tristate("unpack");
  copy.checksum = flags.text("checksum");
  return copy;
}

std::vector<KeyValue> readPairs(const Node& node, std::string_view keyword) {
  noFlags(node);
  atLeastOne(node, keyword);
  std::vector<KeyValue> out;
  for (size_t i = 0; i + 2 < node.args.size(); i += 3) {
    if (node.args[i].empty()) fail(Code::invalid, "{} names can not be blank", keyword);
    out.push_back({node.args[i], node.args[i + 1], node.args[i + 2].empty()});
  }
  return out;
}

ArgInstruction readArg(const Node& node) {
  atLeastOne(node, "ARG");
  ArgInstruction out;
  for (const std::string& word : node.args) {
    auto [key, value] = cut(word, '=');
    if (value && key.empty()) fail(Code::invalid, "ARG names can not be blank");
    const std::string description = descriptionOf(node.comments, key);
    out.args.push_back({std::move(key), std::move(value), description});
  }
  return out;
}

nanoseconds interval(const Flags& flags, const std::string& name) {
  const std::string text = flags.text(name);
  if (text.empty()) return {};
  const auto parsed = parseDuration(text);
  if (!parsed) {
    const bool bare = text.find_first_not_of("0123456789.+-") == std::string::npos;
    fail(Code::invalid, "time: {} duration {}", bare ? "missing unit in" : "invalid", quoted(text));
  }
  if (*parsed != nanoseconds(0) && *parsed < std::chrono::milliseconds(1)) {
    fail(Code::invalid, "Interval {} cannot be less than 1ms", quoted(name));
  }
  return *parsed;
}

int retries(const Flags& flags) {
  const std::string text = flags.text("retries");
  if (text.empty()) return 0;
  const auto number = parseInt(text);
  if (!number) fail(Code::invalid, "strconv.ParseInt: parsing {}: invalid syntax", quoted(text));
  if (*number > INT32_MAX || *number < INT32_MIN) {
    fail(Code::invalid, "strconv.ParseInt: parsing {}: value out of range", quoted(text));
  }
  if (*number < 0) fail(Code::invalid, "--retries cannot be negative ({})", *number);
  return static_cast<int>(*number);
}

HealthcheckInstruction readHealthcheck(const Node& node) {
  atLeastOne(node, "HEALTHCHECK");
  HealthcheckInstruction health;
  const std::string type = toUpper(node.args.front());
  if (type == "NONE") {
    if (node.args.size() > 1) fail(Code::invalid, "HEALTHCHECK NONE takes no arguments");
    health.test = {type};
    return health;
  }
  const Flags flags(node.flags, {{"interval", FlagKind::text},
                                 {"timeout", FlagKind::text},
                                 {"start-period", FlagKind::text},
                                 {"start-interval", FlagKind::text},
                                 {"retries", FlagKind::text}});
  if (type != "CMD") fail(Code::invalid, "Unknown type {} in HEALTHCHECK (try CMD)", quoted(type));
  const CommandLine command = commandLine(node, 1);
  if (command.args.empty()) fail(Code::invalid, "Missing command after HEALTHCHECK CMD");
  health.test = {command.shellForm ? "CMD-SHELL" : "CMD"};
  health.test.insert(health.test.end(), command.args.begin(), command.args.end());
  health.interval = interval(flags, "interval");
  health.timeout = interval(flags, "timeout");
  health.startPeriod = interval(flags, "start-period");
  health.startInterval = interval(flags, "start-interval");
  health.retries = retries(flags);
  return health;
}

OnbuildInstruction readOnbuild(const Node& node) {
  if (node.trigger.empty()) fail(Code::invalid, "ONBUILD requires at least one argument");
  noFlags(node);
  const std::string trigger = toUpper(node.trigger.front().keyword);
  if (trigger == "ONBUILD") fail(Code::invalid, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "MAINTAINER" || trigger == "FROM") {
    fail(Code::invalid, "{} isn't allowed as an ONBUILD trigger", trigger);
  }
  std::string_view text = trimSpaceLeft(node.original);
  OnbuildInstruction out{std::string(trimSpaceLeft(text.substr(node.keyword.size())))};
  for (const Heredoc& heredoc : node.heredocs) out.trigger += "\n" + heredoc.content + heredoc.name;
  return out;
}

ShellInstruction readShell(const Node& node) {
  noFlags(node);
  atLeastOne(node, "SHELL");
  if (!node.json) fail(Code::invalid, "SHELL requires the arguments to be in JSON form");
  return {node.args};
}

VolumeInstruction readVolume(const Node& node) {
  atLeastOne(node, "VOLUME");
  noFlags(node);
  VolumeInstruction out;
  for (const std::string& arg : node.args) {
    out.paths.emplace_back(trimSpace(arg));
    if (out.paths.back().empty()) fail(Code::invalid, "VOLUME specified can not be an empty string");
  }
  return out;
}

ExposeInstruction readExpose(const Node& node) {
  atLeastOne(node, "EXPOSE");
  noFlags(node);
  ExposeInstruction out{node.args};
  std::sort(out.ports.begin(), out.ports.end());
  return out;
}

template <class T>
T readOne(const Node& node, std::string_view keyword) {
  T out{exactlyOne(node, keyword)};
  noFlags(node);
  return out;
}

template <class T>
T readCommand(const Node& node) {
  noFlags(node);
  return T{commandLine(node)};
}

decltype(Instruction::body) readBody(const Node& node) {
  const std::string keyword = toUpper(node.keyword);
  if (keyword == "FROM") return readFrom(node);
  if (keyword == "RUN") return readRun(node);
  if (keyword == "COPY") return readCopy(node, false);
  if (keyword == "ADD") return readCopy(node, true);
  if (keyword == "ENV") return EnvInstruction{readPairs(node, keyword)};
  if (keyword == "LABEL") return LabelInstruction{readPairs(node, keyword)};
  if (keyword == "ARG") return readArg(node);
  if (keyword == "CMD") return readCommand<CmdInstruction>(node);
  if (keyword == "ENTRYPOINT") return readCommand<EntrypointInstruction>(node);
  if (keyword == "WORKDIR") return readOne<WorkdirInstruction>(node, keyword);
  if (keyword == "USER") return readOne<UserInstruction>(node, keyword);
  if (keyword == "MAINTAINER") return readOne<MaintainerInstruction>(node, keyword);
  if (keyword == "STOPSIGNAL") return StopSignalInstruction{exactlyOne(node, keyword)};
  if (keyword == "VOLUME") return readVolume(node);
  if (keyword == "EXPOSE") return readExpose(node);
  if (keyword == "SHELL") return readShell(node);
  if (keyword == "HEALTHCHECK") return readHealthcheck(node);
  if (keyword == "ONBUILD") return readOnbuild(node);
  fail(Code::invalid, "unknown instruction: {}{}", node.keyword, didYouMean(node.keyword, instructionNames(), false));
}

}  // namespace

Instruction parseInstruction(const Node& node) {
  try {
    return {.keyword = node.keyword,
            .text = std::string(trimSpace(node.original)),
            .lines = node.lines,
            .comments = node.comments,
            .fromOnbuild = false,
            .body = readBody(node)};
  } catch (const Error& e) {
    throw DockerfileError(e.what(), node.lines);
  }
}

Instruction parseOnbuildTrigger(const std::string& trigger, LineRange where) {
  try {
    SyntaxTree tree = parseDockerfile(trigger);
    if (tree.instructions.size() != 1) fail(Code::invalid, "onbuild trigger should be a single expression");
    Instruction instruction = parseInstruction(tree.instructions.front());
    if (instruction.as<FromInstruction>() || instruction.as<OnbuildInstruction>()) {
      fail(Code::invalid, "{} isn't allowed as an ONBUILD trigger", toUpper(instruction.keyword));
    }
    instruction.lines = where;
    instruction.fromOnbuild = true;
    return instruction;
  } catch (const Error& e) {
    throw DockerfileError(e.what(), where);
  }
}

bool isGitSource(std::string_view source) {
  const bool http = source.starts_with("http://") || source.starts_with("https://");
  if (http) return source.substr(0, source.find_first_of("?#")).ends_with(".git");
  return source.starts_with("git://") || source.starts_with("ssh://") || source.starts_with("git@");
}

bool isHttpSource(std::string_view source) {
  return (source.starts_with("http://") || source.starts_with("https://")) && !isGitSource(source);
}

namespace {

bool symbolicClause(std::string_view clause) {
  const size_t who = std::min(clause.find_first_not_of("ugoa"), clause.size());
  clause.remove_prefix(who);
  if (clause.empty()) return false;
  while (!clause.empty()) {
    if (std::string_view("+-=").find(clause.front()) == std::string_view::npos) return false;
    clause.remove_prefix(1);
    clause.remove_prefix(std::min(clause.find_first_not_of("rwxXstugo"), clause.size()));
  }
  return true;
}

}  // namespace

void checkChmod(std::string_view mode) {
  unsigned number = 0;
  const auto [stop, error] = std::from_chars(mode.data(), mode.data() + mode.size(), number, 8);
  if (error == std::errc() && stop == mode.data() + mode.size() && number <= 07777) return;
  const std::vector<std::string> clauses = split(mode, ',');
  const bool digits = mode.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits && std::all_of(clauses.begin(), clauses.end(), symbolicClause)) return;
  fail(Code::invalid, "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777", mode);
}

std::vector<std::string> instructionNames() {
  return {"ADD",   "ARG",        "CMD",     "COPY", "ENTRYPOINT", "ENV",        "EXPOSE", "FROM",   "HEALTHCHECK",
          "LABEL", "MAINTAINER", "ONBUILD", "RUN",  "SHELL",      "STOPSIGNAL", "USER",   "VOLUME", "WORKDIR"};
}

}  // namespace estiba::build
