#include "build/dockerfile/lint.h"

#include <algorithm>

#include "base/text.h"
#include "build/dockerfile/image_name.h"

namespace estiba::build {
namespace {

constexpr std::string_view kRulePages = "https://docs.docker.com/go/dockerfile/rule/";

/// Collects warnings, leaving out what the configuration leaves out.
class Reporter {
 public:
  Reporter(LintResult& result, LintConfig config) : result_(result), config_(std::move(config)) {}

  /// The same with the `# check=…` among the comments before an instruction.
  Reporter with(const std::vector<std::string>& comments) const {
    Reporter out = *this;
    for (const std::string& comment : comments) {
      const auto directive = parseDirective(comment);
      if (!directive || directive->first != "check") continue;
      out.merge(cut(directive->second, ' ').first);
      break;
    }
    return out;
  }

  template <class... A>
  void warn(std::string_view name, LineRange lines, fmt::format_string<A...> message, A&&... args) const {
    const auto rule =
        std::find_if(lintRules().begin(), lintRules().end(), [&](const auto& r) { return r.name == name; });
    if (!wanted(*rule)) return;
    result_.warnings.push_back({std::string(name), std::string(rule->description),
                                fmt::format("{}{}/", kRulePages, rule->page),
                                fmt::format(message, std::forward<A>(args)...), lines});
  }

 private:
  bool wanted(const LintRule& rule) const {
    const std::string name(rule.name);
    if (rule.experimental) return config_.experimentalAll || config_.experimental.contains(name);
    return !config_.skipAll && !config_.skip.contains(name);
  }

  void merge(const std::string& text) {
    try {
      LintConfig more = parseLintConfig(text);
      config_.skipAll |= more.skipAll;
      config_.experimentalAll |= more.experimentalAll;
      config_.skip.merge(more.skip);
      config_.experimental.merge(more.experimental);
    } catch (const Error&) {
      // A comment that is no valid option is a comment.
    }
  }

  LintResult& result_;
  LintConfig config_;
};

bool isLowerCase(const std::string& text) {
  return text == toLower(text);
}
bool isUpperCase(const std::string& text) {
  return text == toUpper(text);
}

std::string hint(const std::string& match, std::string_view sigil) {
  return match.empty() ? "" : fmt::format(" (did you mean {}{}?)", sigil, match);
}

// ---- one instruction as written ----

void checkDescription(const Reporter& report, const Node& node, std::string_view keyword,
                      const std::vector<std::string>& names) {
  if (node.comments.empty() || names.empty() || names.front().empty()) return;
  const std::string first = cut(node.comments.back(), ' ').first;
  if (std::find(names.begin(), names.end(), first) != names.end()) return;
  report.warn("InvalidDefinitionDescription", node.lines,
              "Comment for {} should follow the format: `# {} <description>`", keyword,
              names.size() > 1 ? "<arg_key>" : names.front());
}

void checkFromWords(const Reporter& report, const Node& node) {
  if (node.args.size() == 3 && !isLowerCase(node.args[2])) {
    report.warn("StageNameCasing", node.lines, "Stage name '{}' should be lowercase", node.args[2]);
  }
  if (node.args.size() < 3) return;
  const bool lower = isLowerCase(node.keyword);
  const bool consistent = lower || isUpperCase(node.keyword);
  if (consistent && !(lower ? isLowerCase(node.args[1]) : isUpperCase(node.args[1]))) {
    report.warn("FromAsCasing", node.lines, "'{}' and '{}' keywords' casing do not match", node.args[1], node.keyword);
  }
}

void checkNode(const Reporter& all, const Node& node) {
  const Reporter report = all.with(node.comments);
  const std::string keyword = toUpper(node.keyword);
  if (keyword == "MAINTAINER") {
    report.warn("MaintainerDeprecated", node.lines, "Maintainer instruction is deprecated in favor of using label");
  }
  if (keyword == "FROM") checkFromWords(report, node);
  if (keyword != "FROM" && keyword != "ARG") return;
  const Instruction instruction = parseInstruction(node);
  if (const auto* from = instruction.as<FromInstruction>()) checkDescription(report, node, keyword, {from->name});
  if (const auto* arg = instruction.as<ArgInstruction>()) {
    std::vector<std::string> names;
    for (const ArgDefinition& definition : arg->args) names.push_back(definition.key);
    checkDescription(report, node, keyword, names);
  }
}

/// Checks the nodes up to the first one that cannot be read, as a build reads them.
void checkNodes(const Reporter& report, const SyntaxTree& tree) {
  for (const int line : tree.emptyContinuations) {
    report.warn("NoEmptyContinuation", {line, line}, "Empty continuation line");
  }
  for (const Node& node : tree.instructions) {
    try {
      checkNode(report, node);
      parseInstruction(node);
    } catch (const Error&) {
      return;  // parseStages reports it
    }
  }
}

// ---- the file as a whole ----

void checkStageNames(const Reporter& report, const Dockerfile& file) {
  std::set<std::string> seen;
  for (const Stage& stage : file.stages) {
    const std::string& name = stage.name();
    if (name.empty()) continue;
    if (name == "context" || name == "scratch") {
      report.warn("ReservedStageName", stage.from.lines, "Stage name should not use the same name as reserved stage {}",
                  quoted(name));
    }
    if (!seen.insert(name).second) {
      report.warn("DuplicateStageName", stage.from.lines, "Duplicate stage name {}, stage names should be unique",
                  quoted(name));
    }
  }
}

void checkCasing(const Reporter& report, const Dockerfile& file) {
  std::vector<const Instruction*> all;
  for (const Stage& stage : file.stages) {
    all.push_back(&stage.from);
    for (const Instruction& instruction : stage.instructions) all.push_back(&instruction);
  }
  const auto count = [&](auto&& is) {
    return std::count_if(all.begin(), all.end(), [&](const Instruction* i) { return is(i->keyword); });
  };
  const bool lower = count(isLowerCase) > count(isUpperCase);
  for (const Instruction* instruction : all) {
    if (lower ? isLowerCase(instruction->keyword) : isUpperCase(instruction->keyword)) continue;
    report.warn("ConsistentInstructionCasing", instruction->lines,
                "Command '{}' should match the case of the command majority ({})", instruction->keyword,
                lower ? "lowercase" : "uppercase");
  }
}

void checkDefaultImages(const Reporter& report, const Dockerfile& file, PlanOptions options) {
  for (const Instruction& instruction : file.globalArgs) {
    for (const ArgDefinition& arg : instruction.as<ArgInstruction>()->args) options.buildArgs.erase(arg.key);
  }
  try {
    const Variables defaults = globalVariables(file, options);
    for (const Stage& stage : file.stages) {
      const std::string image = Expander{.escape = file.directives.escape}.text(stage.base().image, defaults);
      if (isImageName(image)) continue;
      report.warn("InvalidDefaultArgInFrom", stage.from.lines,
                  "Default value for ARG {} results in empty or invalid base image name", stage.base().image);
    }
  } catch (const Error&) {
    // The plan fails over the same words and says so.
  }
}

// ---- FROM ----

struct OsAndArchitecture {
  std::string os;
  std::string architecture;
};

OsAndArchitecture splitPlatform(const std::string& text) {
  const auto parts = split(text, '/');
  if (parts.size() > 1) return {toLower(parts[0]), toLower(parts[1])};
  const std::string one = toLower(text);
  const bool os = one == "linux" || one == "windows" || one == "darwin" || one == "freebsd";
  return os ? OsAndArchitecture{one, "amd64"} : OsAndArchitecture{"linux", one};
}

void checkPlatform(const Reporter& report, const Stage& stage, const Variables& globals, const Expanded& got) {
  if (got.unset.empty() && got.used == std::set<std::string>{"TARGETPLATFORM"} &&
      got.text == globals.get("TARGETPLATFORM")) {
    report.warn("RedundantTargetPlatform", stage.from.lines,
                "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                stage.base().platform);
  }
  if (!got.used.empty() || !got.unset.empty() || got.text.empty()) return;
  const auto [os, architecture] = splitPlatform(got.text);
  if (stage.name().find(os) != std::string::npos || stage.name().find(architecture) != std::string::npos) return;
  report.warn("FromPlatformFlagConstDisallowed", stage.from.lines,
              "FROM --platform flag should not use constant value {}", quoted(got.text));
}

void checkFroms(const Reporter& all, const Dockerfile& file, const Variables& globals) {
  std::vector<std::string> known = globals.names();
  for (const Instruction& instruction : file.globalArgs) {
    for (const ArgDefinition& arg : instruction.as<ArgInstruction>()->args) known.push_back(arg.key);
  }
  const Expander how{.escape = file.directives.escape};
  for (const Stage& stage : file.stages) {
    const Reporter report = all.with(stage.from.comments);
    const auto undeclared = [&](const Expanded& got) {
      for (const std::string& name : got.unset) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        report.warn("UndefinedArgInFrom", stage.from.lines, "FROM argument '{}' is not declared{}", name,
                    hint(nearest(name, known, true), ""));
      }
    };
    undeclared(how.expand(stage.base().image, globals));
    if (stage.base().platform.empty()) continue;
    const Expanded platform = how.expand(stage.base().platform, globals);
    undeclared(platform);
    checkPlatform(report, stage, globals, platform);
  }
}

// ---- the instructions of a stage, with the variables they see ----

struct StageState {
  Variables env;
  std::set<std::string> declared;
  bool workdirSet = false;
  bool hasShell = false;
  std::optional<LineRange> cmd;
  std::optional<LineRange> entrypoint;
  std::optional<LineRange> healthcheck;
};

bool hasSecretWord(const std::string& name) {
  static const std::set<std::string> kSecrets = {"apikey",   "auth",  "credential", "credentials", "key",
                                                 "password", "pword", "passwd",     "secret",      "token"};
  static const std::set<std::string> kHarmless = {"public", "file", "version"};
  bool secret = false;
  for (const std::string& word : split(toLower(name), '_')) {
    if (kHarmless.contains(word)) return false;
    secret |= kSecrets.contains(word);
  }
  return secret;
}

class StageWalk {
 public:
  StageWalk(const Reporter& report, const Dockerfile& file, const LintOptions& options, const Plan& plan)
      : all_(report), file_(file), options_(options), plan_(plan), states_(file.stages.size()) {}

  void stage(size_t index) {
    const Origin& base = plan_.stages[index].base;
    state_ = &states_[index];
    if (base.kind == Origin::Kind::stage) {
      *state_ = states_[base.stage];
      state_->cmd = state_->entrypoint = state_->healthcheck = std::nullopt;
    } else {
      const bool image = base.kind != Origin::Kind::scratch && options_.base;
      const BaseFacts facts = image ? options_.base(index) : BaseFacts{};
      state_->env = Variables(facts.env);
      state_->hasShell = facts.hasShell;
    }
    for (const Instruction& instruction : file_.stages[index].instructions) check(instruction);
  }

 private:
  void check(const Instruction& instruction) {
    const Reporter report = all_.with(instruction.comments);
    report_ = &report;
    const ExpandedInstruction got = expandInstruction(instruction, state_->env, file_.directives.escape);
    undefined(got.unsetByWord, instruction);
    now_ = &got.instruction;
    try {
      std::visit(*this, got.instruction.body);
    } catch (const Error& e) {
      throw DockerfileError(e.what(), instruction.lines);
    }
  }

  void undefined(const std::vector<std::string>& names, const Instruction& instruction) const {
    for (const std::string& name : names) {
      if (state_->declared.contains(name)) continue;
      report_->warn("UndefinedVar", instruction.lines, "Usage of undefined variable '${}'{}", name,
                    hint(nearest(name, state_->env.names(), true), "$"));
    }
  }

  void secrets(std::string_view keyword, const std::string& name) const {
    if (!hasSecretWord(name)) return;
    report_->warn("SecretsUsedInArgOrEnv", now_->lines, "Do not use ARG or ENV instructions for sensitive data ({} {})",
                  keyword, quoted(name));
  }

  void oldForm(const KeyValue& pair) const {
    if (!pair.oldForm) return;
    report_->warn("LegacyKeyValueFormat", now_->lines,
                  "\"{0} key=value\" should be used instead of legacy \"{0} key value\" format", now_->keyword);
  }

  void once(std::optional<LineRange>& before) const {
    if (before) {
      report_->warn("MultipleInstructionsDisallowed", *before,
                    "Multiple {} instructions should not be used in the same stage because only the last one will be "
                    "used",
                    now_->keyword);
    }
    before = now_->lines;
  }

  void command(const CommandLine& line) const {
    if (!line.shellForm || state_->hasShell) return;
    report_->warn("JSONArgsRecommended", now_->lines,
                  "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                  now_->keyword);
  }

 public:
  void operator()(const EnvInstruction& env) {
    for (const KeyValue& pair : env.pairs) {
      oldForm(pair);
      secrets("ENV", pair.key);
      state_->env.set(pair.key, pair.value);
    }
  }
  void operator()(const LabelInstruction& label) {
    for (const KeyValue& pair : label.pairs) oldForm(pair);
  }
  void operator()(const ArgInstruction& arg) {
    for (const ArgDefinition& definition : arg.args) {
      secrets("ARG", definition.key);
      std::set<std::string> unset;
      const auto value =
          argValue(definition, options_.plan, plan_.globals, state_->env, file_.directives.escape, nullptr, &unset);
      undefined({unset.begin(), unset.end()}, *now_);
      if (value) state_->env.set(definition.key, *value);
      state_->declared.insert(definition.key);
    }
  }
  void operator()(const CmdInstruction& cmd) {
    once(state_->cmd);
    command(cmd);
  }
  void operator()(const EntrypointInstruction& entrypoint) {
    once(state_->entrypoint);
    command(entrypoint);
  }
  void operator()(const HealthcheckInstruction&) { once(state_->healthcheck); }
  void operator()(const ShellInstruction&) { state_->hasShell = true; }
  void operator()(const WorkdirInstruction& workdir) {
    if (!state_->workdirSet && !workdir.path.starts_with('/')) {
      report_->warn("WorkdirRelativePath", now_->lines,
                    "Relative workdir {} can have unexpected results if the base image changes", quoted(workdir.path));
    }
    state_->workdirSet = true;
  }
  void operator()(const ExposeInstruction& expose) {
    for (const std::string& port : expose.ports) {
      const auto [number, protocol] = cut(port, '/');
      if (protocol && !isLowerCase(*protocol)) {
        report_->warn("ExposeProtoCasing", now_->lines,
                      "Defined protocol '{}' in EXPOSE instruction should be lowercase", port);
      }
      const std::string_view mapping = std::string_view(number).substr(0, number.rfind(':') + 1);
      if (mapping.find_first_not_of(':') != std::string::npos) {
        report_->warn("ExposeInvalidFormat", now_->lines,
                      "EXPOSE instruction should not define an IP address or host-port mapping, found '{}'", port);
      }
    }
    parseExposePorts(expose.ports);
  }
  void operator()(const CopyInstruction& copy) {
    const IgnoreMatcher* ignore = options_.ignore;
    if (!copy.from.empty() || !ignore || ignore->empty() || ignore->hasExceptions()) return;
    for (const std::string& source : copy.sources) {
      if (isHttpSource(source) || isGitSource(source)) continue;
      const std::string path = cleanPath(source);
      const bool root = path == "." || path == "/";
      if (root ? !ignore->hasCatchAll() : !ignore->ignored(path)) continue;
      report_->warn("CopyIgnoredFile", now_->lines, "Attempting to {} file {} that is excluded by .dockerignore",
                    copy.add ? "Add" : "Copy", quoted(path));
    }
  }
  template <class Other>
  void operator()(const Other&) {}

 private:
  const Reporter& all_;
  const Dockerfile& file_;
  const LintOptions& options_;
  const Plan& plan_;
  std::vector<StageState> states_;
  StageState* state_ = nullptr;
  const Reporter* report_ = nullptr;
  const Instruction* now_ = nullptr;
};

LintConfig configOf(const LintOptions& options, const Directives& directives) {
  const auto given = options.plan.buildArgs.find("BUILDKIT_DOCKERFILE_CHECK");
  try {
    return parseLintConfig(given == options.plan.buildArgs.end() ? directives.check : given->second);
  } catch (const Error& e) {
    throw DockerfileError(fmt::format("failed to parse check options: {}", e.what()), std::vector<LineRange>{});
  }
}

void run(std::string_view text, const LintOptions& options, LintResult& result) {
  if (text.empty()) throw DockerfileError("the Dockerfile cannot be empty", std::vector<LineRange>{});
  const SyntaxTree tree = parseDockerfile(text);
  const LintConfig config = configOf(options, tree.directives);
  result.fails = config.error;
  const Reporter report(result, config);
  checkNodes(report, tree);
  const Dockerfile file = parseStages(tree);
  checkStageNames(report, file);
  checkCasing(report, file);
  checkDefaultImages(report, file, options.plan);
  checkFroms(report, file, globalVariables(file, options.plan));
  const Plan plan = planBuild(file, options.plan);
  StageWalk walk(report, file, options, plan);
  for (const PlannedStage& stage : plan.stages) {
    if (stage.reachable || options.allStages) walk.stage(stage.index);
  }
}

}  // namespace

LintResult lintDockerfile(std::string_view text, const LintOptions& options) {
  LintResult result;
  try {
    run(text, options, result);
  } catch (const DockerfileError& e) {
    result.error = e;
  } catch (const Error& e) {
    result.error = DockerfileError(e.what(), std::vector<LineRange>{});
  }
  result.fails = result.fails && !result.warnings.empty();
  std::stable_sort(result.warnings.begin(), result.warnings.end(),
                   [](const LintWarning& a, const LintWarning& b) { return a.lines.first < b.lines.first; });
  return result;
}

}  // namespace estiba::build
