#include "build/dockerfile/describe.h"

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/text.h"
#include "build/dockerfile/chars.h"
#include "build/dockerfile/ignore.h"

namespace estiba::build {
namespace {

std::string upperKeyword(const std::string& text) {
  const size_t end = std::min(text.find(' '), text.size());
  return toUpper(std::string_view(text).substr(0, end)) + text.substr(end);
}

bool isLoneHeredoc(const RunInstruction& run) {
  return run.heredocs.size() == 1 && run.args.size() == 1 && parseHeredocMark(run.args.front()).has_value();
}

std::string contentOf(const Heredoc& heredoc) {
  return heredoc.stripTabs ? stripLeadingTabs(heredoc.content) : heredoc.content;
}

std::string summary(const std::string& content) {
  const auto [first, rest] = cut(trimSpace(content), '\n');
  return first.substr(0, first.find('\r')) + (rest ? "..." : "");
}

std::string quotedList(const std::vector<std::string>& list) {
  std::vector<std::string> out;
  for (const std::string& item : list) out.push_back(quoted(item));
  return "[" + join(out, " ") + "]";
}

std::string plainList(const std::vector<std::string>& list) {
  return "[" + join(list, " ") + "]";
}

std::string pairsText(std::string_view keyword, const std::vector<KeyValue>& pairs) {
  std::string out(keyword);
  for (const KeyValue& pair : pairs) out += " " + pair.key + "=" + pair.value;
  return out;
}

/// A number as Go's %q writes it: a quoted character.
std::string quotedRune(int code) {
  if (code == '\'') return "'\\''";
  if (code == '"') return "'\"'";
  const bool character = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  const std::string text = quoted(encodeUtf8(character ? static_cast<char32_t>(code) : U'\xfffd'));
  return "'" + text.substr(1, text.size() - 2) + "'";
}

class History {
 public:
  explicit History(const HistoryContext& context) : context_(context) {}

  std::string operator()(const RunInstruction& run) const {
    std::vector<std::string> words;
    if (!context_.buildArgs.empty()) {
      words.push_back(fmt::format("|{}", context_.buildArgs.size()));
      for (const auto& [key, value] : context_.buildArgs) words.push_back(key + "=" + value);
    }
    for (std::string& arg : runArgv(run, context_.shell)) words.push_back(std::move(arg));
    return "RUN " + join(words, " ") + " # buildkit";
  }
  std::string operator()(const CopyInstruction& copy) const {
    std::string out = copy.add ? "ADD" : "COPY";
    if (copy.parents) out += " --parents";
    if (!copy.chown.empty()) out += " --chown=" + copy.chown;
    if (!copy.chmod.empty()) out += " --chmod=" + copy.chmod;
    for (const std::string& source : copy.sources) out += " " + source;
    for (const InlineFile& file : copy.inlineFiles) out += " <<" + file.name;
    return out + " " + copy.destination + " # buildkit";
  }
  std::string operator()(const ArgInstruction& arg) const {
    std::vector<std::string> words;
    for (const ArgDefinition& definition : arg.args) {
      const auto found = std::find_if(context_.buildArgs.begin(), context_.buildArgs.end(),
                                      [&](const auto& pair) { return pair.first == definition.key; });
      words.push_back(found == context_.buildArgs.end() ? definition.key : definition.key + "=" + found->second);
    }
    return "ARG " + join(words, " ");
  }
  std::string operator()(const EnvInstruction& env) const { return pairsText("ENV", env.pairs); }
  std::string operator()(const LabelInstruction& label) const { return pairsText("LABEL", label.pairs); }
  std::string operator()(const CmdInstruction& cmd) const {
    return "CMD " + quotedList(commandArgv(cmd, context_.shell));
  }
  std::string operator()(const EntrypointInstruction& entrypoint) const {
    return "ENTRYPOINT " + quotedList(commandArgv(entrypoint, context_.shell));
  }
  std::string operator()(const WorkdirInstruction& workdir) const {
    return "WORKDIR " + (context_.workdir.empty() ? workdir.path : context_.workdir);
  }
  std::string operator()(const UserInstruction& user) const { return "USER " + user.user; }
  std::string operator()(const VolumeInstruction& volume) const { return "VOLUME " + plainList(volume.paths); }
  std::string operator()(const ExposeInstruction& expose) const {
    std::set<std::string> ports;
    for (const std::string& port : parseExposePorts(expose.ports)) ports.insert(port + ":{}");
    return "EXPOSE map" + plainList({ports.begin(), ports.end()});
  }
  std::string operator()(const ShellInstruction& shell) const { return "SHELL " + plainList(shell.args); }
  std::string operator()(const StopSignalInstruction& signal) const { return "STOPSIGNAL " + signal.signal; }
  std::string operator()(const HealthcheckInstruction& health) const {
    std::string out = "HEALTHCHECK &{" + quotedList(health.test);
    for (const auto duration : {health.interval, health.timeout, health.startPeriod, health.startInterval}) {
      out += " " + quoted(formatDuration(duration));
    }
    return out + " " + quotedRune(health.retries) + "}";
  }
  std::string operator()(const MaintainerInstruction& maintainer) const { return "MAINTAINER " + maintainer.author; }
  std::string operator()(const FromInstruction&) const { return ""; }
  std::string operator()(const OnbuildInstruction&) const { return ""; }

 private:
  const HistoryContext& context_;
};

}  // namespace

std::string displayText(const Instruction& unexpanded, const Variables& env, char escape) {
  std::string text = unexpanded.text;
  Expander how{.escape = escape};
  if (const auto* run = unexpanded.as<RunInstruction>()) {
    how.keepQuotes = how.keepUnset = true;
    if (isLoneHeredoc(*run)) text += " (" + summary(run->heredocs.front().content) + ")";
  }
  try {
    text = how.text(text, env);
  } catch (const Error&) {
    // What cannot be expanded is shown as it was written.
  }
  return upperKeyword(text);
}

std::optional<InlineScript> runScript(const RunInstruction& run) {
  if (!isLoneHeredoc(run)) return std::nullopt;
  InlineScript script{run.heredocs.front().name, contentOf(run.heredocs.front())};
  if (!script.content.starts_with("#!")) return std::nullopt;
  return script;
}

std::vector<std::string> runArgv(const RunInstruction& run, const std::vector<std::string>& shell) {
  CommandLine command = run;
  if (!run.heredocs.empty()) {
    if (run.args.size() != 1 || !run.shellForm) {
      fail(Code::invalid, "parsing produced an invalid run command: {}", plainList(run.args));
    }
    std::string& text = command.args.front();
    if (const auto script = runScript(run)) {
      text = "/dev/pipes/" + script->name;
    } else if (isLoneHeredoc(run)) {
      text = contentOf(run.heredocs.front());
    } else {
      for (const Heredoc& heredoc : run.heredocs) text += "\n" + heredoc.content + heredoc.name;
    }
  }
  return commandArgv(command, shell);
}

std::vector<std::string> commandArgv(const CommandLine& command, const std::vector<std::string>& shell) {
  if (!command.shellForm) return command.args;
  std::vector<std::string> argv = shell;
  argv.push_back(join(command.args, " "));
  return argv;
}

std::string historyText(const Instruction& expanded, const HistoryContext& context) {
  return std::visit(History(context), expanded.body);
}

bool makesLayer(const Instruction& expanded, const HistoryContext& context) {
  if (const auto* workdir = expanded.as<WorkdirInstruction>()) {
    return (context.workdir.empty() ? workdir->path : context.workdir) != "/";
  }
  return expanded.as<RunInstruction>() || expanded.as<CopyInstruction>();
}

std::string resolveWorkdir(std::string_view current, std::string_view path) {
  if (path.starts_with('/')) return cleanPath(path);
  return cleanPath(fmt::format("/{}/{}", current, path));
}

}  // namespace estiba::build
