#include "build/dockerfile/outline.h"

#include <algorithm>

namespace estiba::build {

namespace {

struct KnownArg {
  Outline::Arg arg;
  std::set<std::string> needs;  // names that its default is made of
};

// What a stage knows of arguments and mounts. A stage that stands on another one starts with what that one knew before
// its own instructions.
struct StageFacts {
  std::vector<KnownArg> known;  // in the order of their definition
  std::set<std::string> used;
  std::vector<Outline::Mount> secrets, agents;
  Variables env;

  KnownArg* find(const std::string& name) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.arg.name == name; });
    return found == known.end() ? nullptr : &*found;
  }
  void set(KnownArg arg) {
    if (KnownArg* old = find(arg.arg.name)) *old = std::move(arg);
    else known.push_back(std::move(arg));
  }
};

void addMount(std::vector<Outline::Mount>& to, const std::string& id, bool required, LineRange lines) {
  if (std::any_of(to.begin(), to.end(), [&](const auto& m) { return m.id == id; })) return;
  to.push_back({id, required, lines});
}

class Outliner {
 public:
  Outliner(const Dockerfile& file, const PlanOptions& options)
      : file_(file), options_(options), plan_(planBuild(file, options)), facts_(file.stages.size()) {}

  Outline run() {
    readGlobals();
    for (const Stage& stage : file_.stages) start(stage);
    for (const size_t index : plan_.order) walk(index);
    const Stage& target = file_.stages[plan_.target];
    out_.name = target.name();
    out_.description = target.description;
    collect(plan_.target);
    const auto byLine = [](const auto& a, const auto& b) { return a.lines.first < b.lines.first; };
    std::stable_sort(out_.args.begin(), out_.args.end(), byLine);
    std::stable_sort(out_.secrets.begin(), out_.secrets.end(), byLine);
    std::stable_sort(out_.agents.begin(), out_.agents.end(), byLine);
    return std::move(out_);
  }

 private:
  Expanded expanded(const std::string& text, const Variables& env) const {
    return Expander{.escape = file_.directives.escape}.expand(text, env);
  }

  void readGlobals() {
    Variables env = platformArgs(options_, options_.target.empty() ? file_.stages.back().name() : options_.target);
    for (const Instruction& instruction : file_.globalArgs) {
      for (const ArgDefinition& definition : instruction.as<ArgInstruction>()->args) {
        KnownArg arg{{definition.key, "", definition.description, instruction.lines}, {}};
        const auto given = options_.buildArgs.find(definition.key);
        if (given != options_.buildArgs.end()) {
          arg.arg.value = given->second;
        } else if (definition.value) {
          Expanded value = expanded(*definition.value, env);
          arg.arg.value = std::move(value.text);
          arg.needs = std::move(value.used);
          // "ARG A=${A}-x" stands on what the A before it stood on.
          if (arg.needs.erase(definition.key) != 0) {
            if (KnownArg* old = globals_.find(definition.key)) arg.needs.insert(old->needs.begin(), old->needs.end());
          }
        }
        if (given != options_.buildArgs.end() || definition.value) env.set(definition.key, arg.arg.value);
        globals_.set(std::move(arg));
      }
    }
  }

  void start(const Stage& stage) {
    const PlannedStage& planned = plan_.stages[stage.index];
    StageFacts& facts = facts_[stage.index];
    facts = planned.base.kind == Origin::Kind::stage ? facts_[planned.base.stage] : globals_;
    if (planned.base.kind == Origin::Kind::named && !stage.name().empty()) return;
    facts.used.merge(expanded(stage.base().image, plan_.globals).used);
    facts.used.merge(expanded(stage.base().platform, plan_.globals).used);
  }

  void walk(size_t index) {
    const PlannedStage& planned = plan_.stages[index];
    StageFacts& facts = facts_[index];
    if (planned.base.kind == Origin::Kind::stage) facts.env = facts_[planned.base.stage].env;
    for (const Instruction& raw : file_.stages[index].instructions) {
      if (const auto* arg = raw.as<ArgInstruction>()) {
        for (const ArgDefinition& definition : arg->args) declare(definition, raw.lines, facts);
        continue;
      }
      const auto got = expandInstruction(raw, facts.env, file_.directives.escape);
      if (const auto* env = got.instruction.as<EnvInstruction>()) {
        for (const KeyValue& pair : env->pairs) facts.env.set(pair.key, pair.value);
      } else if (const auto* run = got.instruction.as<RunInstruction>()) {
        for (const RunMount& mount : run->mounts) {
          if (mount.type == MountType::secret) addMount(facts.secrets, mount.id, mount.required, raw.lines);
          if (mount.type != MountType::ssh) continue;
          addMount(facts.agents, mount.id.empty() ? "default" : mount.id, mount.required, raw.lines);
        }
      }
    }
  }

  void declare(const ArgDefinition& definition, LineRange lines, StageFacts& facts) {
    const auto value = argValue(definition, options_, plan_.globals, facts.env, file_.directives.escape);
    if (value) facts.env.set(definition.key, *value);
    facts.used.insert(definition.key);
    // A bare "ARG X" that takes the value of a global X is shown where that one stands.
    const bool inherited = !definition.value && !options_.buildArgs.contains(definition.key) &&
                           plan_.globals.has(definition.key);
    if (inherited) return;
    facts.set({{definition.key, value.value_or(""), definition.description, lines}, {}});
  }

  void markNeeds(StageFacts& facts) {
    std::vector<std::string> open(facts.used.begin(), facts.used.end());
    while (!open.empty()) {
      const KnownArg* arg = facts.find(open.back());
      open.pop_back();
      if (arg == nullptr) continue;
      for (const std::string& need : arg->needs) {
        if (facts.used.insert(need).second) open.push_back(need);
      }
    }
  }

  // Of the stage, what it stands on, then what it copies from; what came first under a name stays.
  void collect(size_t index) {
    if (!collected_.insert(index).second) return;
    StageFacts& facts = facts_[index];
    markNeeds(facts);
    for (const KnownArg& known : facts.known) {
      if (facts.used.contains(known.arg.name) && seen_.insert(known.arg.name).second) out_.args.push_back(known.arg);
    }
    for (const auto& m : facts.secrets) addMount(out_.secrets, m.id, m.required, m.lines);
    for (const auto& m : facts.agents) addMount(out_.agents, m.id, m.required, m.lines);
    const PlannedStage& planned = plan_.stages[index];
    if (planned.base.kind == Origin::Kind::stage) collect(planned.base.stage);
    for (const size_t need : planned.needs) collect(need);
  }

  const Dockerfile& file_;
  const PlanOptions& options_;
  Plan plan_;
  StageFacts globals_;
  std::vector<StageFacts> facts_;
  std::set<size_t> collected_;
  std::set<std::string> seen_;
  Outline out_;
};

}  // namespace

Outline outlineOf(const Dockerfile& file, const PlanOptions& options) { return Outliner(file, options).run(); }

}  // namespace estiba::build
