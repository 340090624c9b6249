#include "build/dockerfile/stages.h"

#include <algorithm>

#include "base/text.h"
#include "build/dockerfile/chars.h"

namespace estiba::build {
namespace {

std::string descriptionOf(const Instruction& from, const std::string& name) {
  if (name.empty()) return "";
  for (const std::string& comment : from.comments) {
    if (startsWith(comment, name + " ")) return comment.substr(name.size() + 1);
  }
  return "";
}

Instruction typed(const Node& node) {
  try {
    return parseInstruction(node);
  } catch (const DockerfileError& e) {
    throw DockerfileError(fmt::format("dockerfile parse error on line {}: {}", node.lines.first, e.what()), e.where());
  }
}

int countedSteps(const std::vector<Instruction>& instructions) {
  return static_cast<int>(std::count_if(instructions.begin(), instructions.end(), [](const Instruction& i) {
    return i.fromOnbuild || i.as<RunInstruction>() || i.as<CopyInstruction>() || i.as<WorkdirInstruction>();
  }));
}

std::string withAllArgs(std::string_view text, const Variables& env, char escape, LineRange where) {
  try {
    return Expander{.escape = escape}.text(text, env);
  } catch (const Error& e) {
    throw DockerfileError(e.what(), where);
  }
}

class Planner {
 public:
  Planner(const Dockerfile& file, const PlanOptions& options) : file_(file), options_(options) {}

  Plan plan() {
    if (file_.stages.empty()) fail(Code::invalid, "dockerfile contains no stages to build");
    plan_.globals = globalVariables(file_, options_);
    findDeclared();
    for (const Stage& stage : file_.stages) resolveBase(stage);
    plan_.target = findTarget();
    for (const Stage& stage : file_.stages) resolveOrigins(stage);
    checkCycles();
    name();
    reach(plan_.target);
    for (const PlannedStage& stage : plan_.stages) {
      if (stage.reachable) plan_.order.push_back(stage.index);
    }
    findUnused();
    return std::move(plan_);
  }

 private:
  void findDeclared() {
    for (const Instruction& instruction : file_.globalArgs) {
      for (const ArgDefinition& arg : instruction.as<ArgInstruction>()->args) plan_.declared.insert(arg.key);
    }
  }

  bool isNamedContext(const std::string& name) const {
    return !name.empty() && name != "scratch" && name != "context" && options_.namedContexts.contains(contextKey(name));
  }

  /// The stage called `name` among the first `count`; a later one of two with the same name wins.
  std::optional<size_t> findStage(const std::string& name, size_t count) const {
    const std::string wanted = toLower(name);
    for (size_t i = count; i-- > 0;) {
      if (!wanted.empty() && file_.stages[i].name() == wanted) return i;
    }
    return std::nullopt;
  }

  Origin originOf(const std::string& name, size_t stageCount) const {
    if (const auto stage = findStage(name, stageCount)) return {Origin::Kind::stage, *stage, ""};
    if (isNamedContext(name)) return {Origin::Kind::named, 0, contextKey(name)};
    if (name == "scratch") return {Origin::Kind::scratch, 0, ""};
    return {Origin::Kind::image, 0, name};
  }

  void resolveBase(const Stage& stage) {
    const LineRange where = stage.from.lines;
    const char escape = file_.directives.escape;
    PlannedStage planned{
        .index = stage.index, .base = {}, .platform = {}, .displayName = {}, .needs = {}, .origins = {}};
    const std::string image = withAllArgs(stage.base().image, plan_.globals, escape, where);
    if (image.empty()) {
      throw DockerfileError(fmt::format("base name ({}) should not be blank", stage.base().image), where);
    }
    if (!stage.base().platform.empty()) planned.platform = platformOf(stage);
    planned.base =
        isNamedContext(stage.name()) ? Origin{Origin::Kind::named, 0, contextKey(stage.name())} : originOf(image, stage.index);
    if (planned.base.kind == Origin::Kind::stage) planned.needs.insert(planned.base.stage);
    const bool ownImage = planned.base.kind == Origin::Kind::image || planned.base.kind == Origin::Kind::named;
    planned.totalSteps = countedSteps(stage.instructions) + (ownImage ? 1 : 0);
    planned.displayName = stage.name().empty() ? fmt::format("stage-{}", stage.index) : stage.name();
    plan_.stages.push_back(std::move(planned));
  }

  std::string platformOf(const Stage& stage) const {
    const std::string& written = stage.base().platform;
    const LineRange where = stage.from.lines;
    std::string out;
    std::set<std::string> unset;
    try {
      Expanded got = Expander{.escape = file_.directives.escape}.expand(written, plan_.globals);
      out = std::move(got.text);
      unset = std::move(got.unset);
    } catch (const Error& e) {
      throw DockerfileError(fmt::format("failed to process arguments for platform {}: {}", written, e.what()), where);
    }
    if (!out.empty()) return out;
    std::string hint;
    for (const std::string& name : unset) {
      if (hint.empty()) hint = didYouMean(name, plan_.globals.names(), true);
    }
    throw DockerfileError(fmt::format("empty platform value from expression {}{}", written, hint), where);
  }

  size_t findTarget() const {
    const std::string& target = options_.target;
    if (target.empty()) return file_.stages.size() - 1;
    if (const auto stage = findStage(target, file_.stages.size())) return *stage;
    if (const auto number = parseUint(target); number && *number < file_.stages.size()) return *number;
    std::vector<std::string> names;
    for (const PlannedStage& stage : plan_.stages) names.push_back(stage.displayName);
    fail(Code::invalid, "target stage {} could not be found{}", quoted(target), didYouMean(target, names, true));
  }

  void resolveOrigins(const Stage& stage) {
    PlannedStage& planned = plan_.stages[stage.index];
    for (const Instruction& instruction : stage.instructions) {
      std::vector<Origin> origins;
      if (const auto* copy = instruction.as<CopyInstruction>()) {
        if (!copy->from.empty()) origins.push_back(copyOrigin(copy->from, instruction.lines));
      } else if (const auto* run = instruction.as<RunInstruction>()) {
        for (const std::string& from : run->mountFroms) {
          origins.push_back(from.empty() ? Origin{} : originOf(from, file_.stages.size()));
        }
      }
      for (const Origin& origin : origins) {
        if (origin.kind == Origin::Kind::stage) planned.needs.insert(origin.stage);
        if (origin.kind != Origin::Kind::stage) foreignStates_ = true;
      }
      planned.origins.push_back(std::move(origins));
    }
  }

  Origin copyOrigin(const std::string& from, LineRange where) const {
    if (withAllArgs(from, {}, file_.directives.escape, where) != from) {
      throw DockerfileError(
          "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as "
          "a workaround",
          where);
    }
    const auto number = parseInt(from);
    if (!number) return originOf(from, file_.stages.size());
    if (*number < 0 || static_cast<size_t>(*number) >= file_.stages.size()) {
      throw DockerfileError(fmt::format("invalid stage index {}", *number), where);
    }
    return {Origin::Kind::stage, static_cast<size_t>(*number), ""};
  }

  /// Takes away stages that need none of those left, until nothing moves; what is left is caught in a cycle.
  void checkCycles() const {
    std::set<size_t> left;
    for (const PlannedStage& stage : plan_.stages) left.insert(stage.index);
    std::vector<std::vector<size_t>> users(plan_.stages.size());
    std::vector<size_t> open(plan_.stages.size());
    std::vector<size_t> ready;
    for (const PlannedStage& stage : plan_.stages) {
      for (const size_t need : stage.needs) users[need].push_back(stage.index);
      open[stage.index] = stage.needs.size();
      if (stage.needs.empty()) ready.push_back(stage.index);
    }
    while (!ready.empty()) {
      const size_t index = ready.back();
      ready.pop_back();
      left.erase(index);
      for (const size_t user : users[index]) {
        if (--open[user] == 0) ready.push_back(user);
      }
    }
    if (!left.empty()) refuseCycle(left);
  }

  [[noreturn]] void refuseCycle(const std::set<size_t>& caught) const {
    std::vector<LineRange> where;
    std::set<size_t> seen;
    for (size_t at = *caught.begin(); seen.insert(at).second;) {
      const std::set<size_t>& needs = plan_.stages[at].needs;
      const size_t next = *std::find_if(needs.begin(), needs.end(), [&](size_t n) { return caught.contains(n); });
      where.push_back(userOf(at, next));
      at = next;
    }
    throw DockerfileError(
        fmt::format("circular dependency detected on stage: {}", plan_.stages[*caught.begin()].displayName),
        std::move(where));
  }

  /// The lines of the first instruction of `stage` that uses stage `used`; those of its FROM where none does.
  LineRange userOf(size_t stage, size_t used) const {
    const PlannedStage& planned = plan_.stages[stage];
    for (size_t i = 0; i < planned.origins.size(); ++i) {
      for (const Origin& origin : planned.origins[i]) {
        if (origin.kind == Origin::Kind::stage && origin.stage == used)
          return file_.stages[stage].instructions[i].lines;
      }
    }
    return file_.stages[stage].from.lines;
  }

  void name() {
    if (plan_.stages.size() == 1 && !foreignStates_) plan_.stages.front().displayName.clear();
  }

  void reach(size_t index) {
    std::vector<size_t> open{index};
    while (!open.empty()) {
      PlannedStage& stage = plan_.stages[open.back()];
      open.pop_back();
      if (std::exchange(stage.reachable, true)) continue;
      for (const size_t need : stage.needs) {
        if (need > stage.index) refuseLater(stage, need);
        open.push_back(need);
      }
    }
  }

  [[noreturn]] void refuseLater(const PlannedStage& stage, size_t need) const {
    const LineRange where = userOf(stage.index, need);
    for (const Instruction& instruction : file_.stages[stage.index].instructions) {
      if (instruction.lines != where) continue;
      if (const auto* copy = instruction.as<CopyInstruction>()) {
        throw DockerfileError(fmt::format("cannot copy from stage {}, it needs to be defined before current stage {}",
                                          quoted(copy->from), quoted(stage.displayName)),
                              where);
      }
    }
    throw DockerfileError(fmt::format("cannot mount from stage {}, stage needs to be defined before current command",
                                      quoted(plan_.stages[need].displayName)),
                          where);
  }

  void findUnused() {
    std::set<std::string> asked = plan_.declared;
    for (const size_t index : plan_.order) {
      for (const Instruction& instruction : file_.stages[index].instructions) {
        const auto* arg = instruction.as<ArgInstruction>();
        if (!arg) continue;
        for (const ArgDefinition& definition : arg->args) asked.insert(definition.key);
      }
    }
    for (const auto& [name, value] : options_.buildArgs) {
      const bool known =
          isProxyArg(name) || isPlatformArg(name) || name == "SOURCE_DATE_EPOCH" || startsWith(name, "BUILDKIT_");
      if (!known && !asked.contains(name)) plan_.unused.push_back(name);
    }
  }

  const Dockerfile& file_;
  const PlanOptions& options_;
  Plan plan_;
  bool foreignStates_ = false;  // images copied from and mounts count as stages when it comes to showing names
};

void putInFront(Stage& stage, const std::vector<std::string>& triggers) {
  std::vector<Instruction> all;
  for (const std::string& trigger : triggers) all.push_back(parseOnbuildTrigger(trigger, stage.from.lines));
  std::move(stage.instructions.begin(), stage.instructions.end(), std::back_inserter(all));
  stage.instructions = std::move(all);
}

std::vector<std::string> ownTriggers(const Stage& stage) {
  std::vector<std::string> out;
  for (const Instruction& instruction : stage.instructions) {
    if (const auto* onbuild = instruction.as<OnbuildInstruction>()) out.push_back(onbuild->trigger);
  }
  return out;
}

}  // namespace

Dockerfile parseStages(const SyntaxTree& tree) {
  Dockerfile file;
  file.directives = tree.directives;
  file.emptyContinuations = tree.emptyContinuations;
  for (const Node& node : tree.instructions) {
    Instruction instruction = typed(node);
    if (const auto* from = instruction.as<FromInstruction>()) {
      const std::string description = descriptionOf(instruction, from->name);
      file.stages.push_back({file.stages.size(), std::move(instruction), {}, description});
    } else if (!file.stages.empty()) {
      file.stages.back().instructions.push_back(std::move(instruction));
    } else if (instruction.as<ArgInstruction>()) {
      file.globalArgs.push_back(std::move(instruction));
    } else {
      throw DockerfileError("no build stage in current context", node.lines);
    }
  }
  if (file.stages.empty()) throw DockerfileError("dockerfile contains no stages to build", std::vector<LineRange>{});
  return file;
}

Dockerfile readDockerfile(std::string_view text) {
  if (text.empty()) throw DockerfileError("the Dockerfile cannot be empty", std::vector<LineRange>{});
  return parseStages(parseDockerfile(text));
}

std::string contextKey(std::string_view name) {
  std::string key = toLower(name);
  for (const std::string_view prefix : {"docker.io/", "library/"}) {
    if (key.starts_with(prefix)) key.erase(0, prefix.size());
  }
  if (key.ends_with(":latest")) key.resize(key.size() - 7);
  return key;
}

std::string PlatformWords::str() const {
  return variant.empty() ? os + "/" + architecture : os + "/" + architecture + "/" + variant;
}

Plan planBuild(const Dockerfile& file, const PlanOptions& options) {
  return Planner(file, options).plan();
}

Plan planWithTriggers(Dockerfile& file, const PlanOptions& options,
                      const std::map<size_t, std::vector<std::string>>& triggers) {
  const Plan first = planBuild(file, options);
  for (const size_t index : first.order) {
    const Origin& base = first.stages[index].base;
    std::vector<std::string> all;
    if (const auto found = triggers.find(index); found != triggers.end()) all = found->second;
    if (base.kind == Origin::Kind::stage) {
      const auto own = ownTriggers(file.stages[base.stage]);
      all.insert(all.end(), own.begin(), own.end());
    }
    if (!all.empty()) putInFront(file.stages[index], all);
  }
  return planBuild(file, options);
}

Variables platformArgs(const PlanOptions& options, std::string_view targetStage) {
  const PlatformWords& build = options.buildPlatform;
  const PlatformWords& target = options.targetPlatform;
  const std::pair<std::string_view, std::string> args[] = {
      {"BUILDPLATFORM", build.str()},
      {"BUILDOS", build.os},
      {"BUILDOSVERSION", build.osVersion},
      {"BUILDARCH", build.architecture},
      {"BUILDVARIANT", build.variant},
      {"TARGETPLATFORM", target.str()},
      {"TARGETOS", target.os},
      {"TARGETOSVERSION", target.osVersion},
      {"TARGETARCH", target.architecture},
      {"TARGETVARIANT", target.variant},
      {"TARGETSTAGE", std::string(targetStage.empty() ? "default" : targetStage)}};
  Variables out;
  for (const auto& [name, value] : args) {
    const auto given = options.buildArgs.find(std::string(name));
    out.set(name, given == options.buildArgs.end() ? value : given->second);
  }
  return out;
}

Variables globalVariables(const Dockerfile& file, const PlanOptions& options) {
  Variables out = platformArgs(options, options.target.empty() ? file.stages.back().name() : options.target);
  for (const Instruction& instruction : file.globalArgs) {
    for (const ArgDefinition& arg : instruction.as<ArgInstruction>()->args) {
      const auto given = options.buildArgs.find(arg.key);
      if (given != options.buildArgs.end()) {
        out.set(arg.key, given->second);
      } else if (arg.value) {
        out.set(arg.key, withAllArgs(*arg.value, out, file.directives.escape, instruction.lines));
      }
    }
  }
  return out;
}

bool isProxyArg(std::string_view name) {
  const std::string lower = toLower(name);
  return lower == "http_proxy" || lower == "https_proxy" || lower == "ftp_proxy" || lower == "no_proxy" ||
         lower == "all_proxy";
}

bool isPlatformArg(std::string_view name) {
  return platformArgs({}, "").has(name);
}

std::optional<std::string> argValue(const ArgDefinition& arg, const PlanOptions& options, const Variables& globals,
                                    const Variables& env, char escape, std::set<std::string>* used,
                                    std::set<std::string>* unset) {
  if (const auto given = options.buildArgs.find(arg.key); given != options.buildArgs.end()) return given->second;
  if (!arg.value) return globals.get(arg.key);
  Expanded got = Expander{.escape = escape}.expand(*arg.value, env);
  if (used) used->merge(got.used);
  if (unset) unset->merge(got.unset);
  return std::move(got.text);
}

std::string StepNumbers::next(const std::string& text, bool onbuild) {
  if (total_ == 0) return text;
  std::string out = "[";
  if (!platform_.empty()) out += platform_ + " ";
  if (!name_.empty()) out += name_ + " ";
  const auto width = std::to_string(total_).size();
  return out + fmt::format("{:{}}/{}] {}{}", ++index_, width, total_, onbuild ? "ONBUILD " : "", text);
}

}  // namespace estiba::build
