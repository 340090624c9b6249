#include "build/stage_run.h"

#include <algorithm>

#include "base/text.h"
#include "build/apply_config.h"
#include "build/dockerfile/describe.h"
#include "build/file_steps.h"
#include "build/run_step.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace estiba::build {

namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// For what is shown only: a variable that a secret sets does not have the value it has elsewhere.
Variables withoutSecrets(const Variables& env, const Instruction& instruction) {
  Variables shown = env;
  if (const auto* run = instruction.as<RunInstruction>()) {
    for (const auto& mount : run->mounts) {
      if (mount.type == MountType::secret && mount.env) shown.set(*mount.env, "****");
    }
  }
  return shown;
}

class StageRun {
 public:
  StageRun(const StageInputs& in, size_t index)
      : in_(in),
        s_(in.session),
        planned_(in.plan.stages[index]),
        stage_(in.file.stages[index]),
        numbers_(planned_.displayName, planned_.totalSteps) {}

  StageState run() {
    ignoreCache_ = ignoresCache();
    startFromBase();
    for (size_t i = 0; i < stage_.instructions.size(); ++i) {
      if (s_.stop.stop_requested()) fail(Code::cancelled, "the build was cancelled");
      in_.graph.checkGoingOn();
      const Instruction& instruction = stage_.instructions[i];
      try {
        carryOut(i, instruction);
      } catch (const DockerfileError&) {
        throw;
      } catch (const Error& e) {
        if (e.code() == Code::cancelled) throw;
        throw DockerfileError(e.what(), instruction.lines);
      }
    }
    return std::move(state_);
  }

 private:
  void startFromBase() {
    switch (planned_.base.kind) {
      case Origin::Kind::scratch:
        state_.key = "scratch";
        state_.platform = wantedPlatform();
        break;
      case Origin::Kind::stage:
        state_ = in_.graph.result(planned_.base.stage);
        state_.args.clear();
        state_.cmdSet = false;
        return;
      default:
        if (in_.images.isImage(planned_.base)) startFromImage();
        else startFromFiles();
    }
    const auto& env = state_.config.Env;
    if (std::none_of(env.begin(), env.end(), [](const auto& e) { return e.starts_with("PATH="); })) {
      setEnv(state_.config.Env, "PATH", kDefaultPath);
    }
  }

  void startFromImage() {
    const auto& image = in_.images.open(planned_.base, planned_.platform);
    state_.layers = image.layers;
    state_.platform = image.config.platform;
    state_.key = oci::chainId(image.config.rootfs.diff_ids).str();
    state_.config = image.config.config;
    state_.config.OnBuild.clear();
    state_.history = image.config.history;
    state_.created = image.config.created;
    state_.author = image.config.author;
    const auto reference = oci::Reference::tryParse(planned_.base.image);
    Vertex vertex(s_.progress,
                  numbers_.next("FROM " + (reference ? reference->withDefaultTag().str() : planned_.base.image)));
    vertex.cached();
  }

  // A directory under --build-context is the stage's first layer.
  void startFromFiles() {
    state_.key = "scratch";
    state_.platform = wantedPlatform();
    CopyInstruction all;
    all.sources = {"."};
    all.destination = "/";
    const std::vector<Origin> origins = {planned_.base};
    copyStep({s_, in_.sources, origins, stage_.from, state_, numbers_.next("FROM " + planned_.base.image), ignoreCache_},
             all);
  }

  oci::Platform wantedPlatform() const {
    const std::string& wanted = planned_.platform.empty() ? s_.request.platform : planned_.platform;
    return wanted.empty() ? oci::Platform::host() : oci::Platform::parse(wanted);
  }

  bool ignoresCache() const {
    const auto& filter = s_.request.noCacheFilter;
    return s_.request.noCache || std::any_of(filter.begin(), filter.end(), [&](const auto& name) {
      return toLower(name) == stage_.name() || (stage_.name().empty() && name == std::to_string(stage_.index));
    });
  }

  void carryOut(size_t index, const Instruction& raw) {
    const char escape = in_.file.directives.escape;
    const Variables env = state_.variables();
    if (const auto* arg = raw.as<ArgInstruction>()) {
      declareArgs(*arg, env, escape);
      addHistory(raw, /*makesLayer=*/false);
      return;
    }
    const auto expanded = expandInstruction(raw, env, escape);
    const Instruction& instruction = expanded.instruction;
    if (const auto* maintainer = instruction.as<MaintainerInstruction>()) {
      state_.author = maintainer->author;
      addHistory(instruction, false);
      return;
    }
    const std::string display = displayText(raw, withoutSecrets(env, instruction), escape);
    if (const auto* run = instruction.as<RunInstruction>()) {
      runStep(stepOf(index, raw, display), *run);
      addHistory(instruction, true);
    } else if (const auto* copy = instruction.as<CopyInstruction>()) {
      copyStep(stepOf(index, raw, display), *copy);
      addHistory(instruction, true);
    } else if (const auto* workdir = instruction.as<WorkdirInstruction>()) {
      const std::string path = joinWorkdir(state_.config.WorkingDir, workdir->path);
      if (path != "/") workdirStep(stepOf(index, raw, display), path);
      applyToConfig(state_.config, instruction, state_.cmdSet);
      addHistory(instruction, path != "/");
    } else {
      if (!applyToConfig(state_.config, instruction, state_.cmdSet)) {
        fail(Code::not_implemented, "instruction {} is not supported", instruction.keyword);
      }
      addHistory(instruction, false);
    }
  }

  Step stepOf(size_t index, const Instruction& raw, const std::string& display) {
    static const std::vector<Origin> none;
    const auto& origins = planned_.origins;
    return {s_,     in_.sources, index < origins.size() ? origins[index] : none,
            raw,    state_,      numbers_.next(display, raw.fromOnbuild),
            ignoreCache_};
  }

  void declareArgs(const ArgInstruction& arg, const Variables& env, char escape) {
    Variables seen = env;
    for (const auto& definition : arg.args) {
      const auto value = argValue(definition, in_.options, in_.plan.globals, seen, escape);
      std::erase_if(state_.args, [&](const auto& a) { return a.first == definition.key; });
      if (!value) continue;
      state_.args.emplace_back(definition.key, *value);
      seen.set(definition.key, *value);
    }
  }

  void addHistory(const Instruction& instruction, bool makesLayer) {
    HistoryContext context;
    context.shell = shellOf(state_.config);
    context.workdir = state_.config.WorkingDir;
    for (const auto& [name, value] : state_.args) {
      if (!isProxyArg(name)) context.buildArgs.emplace_back(name, value);
    }
    const std::string text = historyText(instruction, context);
    if (text.empty()) return;
    oci::History entry;
    entry.created = state_.created;
    entry.createdBy = text;
    entry.comment = "buildkit.dockerfile.v0";
    entry.emptyLayer = !makesLayer;
    state_.history.push_back(std::move(entry));
  }

  const StageInputs& in_;
  Session& s_;
  const PlannedStage& planned_;
  const Stage& stage_;
  StepNumbers numbers_;
  StageState state_;
  bool ignoreCache_ = false;
};

}  // namespace

StageState runStage(const StageInputs& in, size_t stage) {
  return StageRun(in, stage).run();
}

}  // namespace estiba::build
