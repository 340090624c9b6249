#pragma once
// Instructions -> stages -> the plan of one build: what its target needs, in which order, under which numbers.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "build/dockerfile/instructions.h"

namespace estiba::build {

struct Stage {
  size_t index = 0;
  Instruction from;  ///< body is a FromInstruction
  std::vector<Instruction> instructions;
  std::string description;  ///< of the comment "# name text" before FROM
  const FromInstruction& base() const { return std::get<FromInstruction>(from.body); }
  const std::string& name() const { return base().name; }
};

/// A whole file, checked as far as it can be without knowing arguments and images.
struct Dockerfile {
  Directives directives;
  std::vector<Instruction> globalArgs;  ///< ARGs before the first FROM
  std::vector<Stage> stages;
  std::vector<int> emptyContinuations;
};

/// Parses and checks. Throws DockerfileError: "dockerfile parse error on line 2: unknown instruction: AUTHOR",
/// "the Dockerfile cannot be empty", "file with no instructions", "no build stage in current context".
Dockerfile readDockerfile(std::string_view text);
Dockerfile parseStages(const SyntaxTree& tree);

/// os/architecture[/variant], in OCI's words.
struct PlatformWords {
  std::string os = "linux";
  std::string architecture = "amd64";
  std::string variant;
  std::string osVersion;
  std::string str() const;  ///< "linux/arm64/v8"
};

struct PlanOptions {
  std::string target;  ///< stage name or number; empty: the last stage
  std::map<std::string, std::string> buildArgs;
  PlatformWords buildPlatform;
  PlatformWords targetPlatform;
  std::set<std::string> namedContexts;  ///< contextKey() of --build-context names: they win over images
};

/// A --build-context by its name, or the name of an image that it stands for, as they are compared: "busybox" for
/// "docker.io/library/busybox:latest".
std::string contextKey(std::string_view name);

/// Where a FROM, a COPY --from or a mount's from leads.
struct Origin {
  enum class Kind { stage, image, scratch, context, named };
  Kind kind = Kind::context;
  size_t stage = 0;   ///< of kind stage
  std::string image;  ///< of kind image: as in the file, variables put in; of kind named: its contextKey()
  bool operator==(const Origin&) const = default;
};

struct PlannedStage {
  size_t index = 0;  ///< in Dockerfile::stages and Plan::stages
  Origin base;
  std::string platform;     ///< of FROM --platform, variables put in; empty: the target platform
  std::string displayName;  ///< "builder", "stage-1"; empty where the file has but one stage
  int totalSteps = 0;       ///< the 5 of [2/5]
  bool reachable = false;
  std::set<size_t> needs;  ///< stages that must be ready before: base, COPY --from, mounts
  /// Per instruction: where COPY --from leads (one), where each mount of a RUN leads; else empty.
  std::vector<std::vector<Origin>> origins;
};

struct Plan {
  size_t target = 0;
  std::vector<PlannedStage> stages;  ///< all of the file, in its order
  std::vector<size_t> order;         ///< reachable stages, each after what it needs
  Variables globals;                 ///< platform args and the file's global ARGs with their values
  std::set<std::string> declared;    ///< names of the ARGs before the first FROM
  std::vector<std::string> unused;   ///< --build-arg names that no ARG of a reachable stage asks for
};

/// Resolves names, arguments of FROM and the target. Throws DockerfileError or Error:
/// `target stage "x" could not be found`, `base name (${X}) should not be blank`, `invalid stage index 7`,
/// `circular dependency detected on stage: a`, `cannot copy from stage "b", it needs to be defined before …`.
Plan planBuild(const Dockerfile& file, const PlanOptions& options);

/// The same, after the ONBUILD triggers went in front of the instructions of the stages they are for: those in
/// `triggers` (OnBuild of a base image, per stage index; fetch the images of Plan's reachable stages first), and those
/// of a stage of this file that another one builds on. Call once per file, also where `triggers` is empty.
Plan planWithTriggers(Dockerfile& file, const PlanOptions& options,
                      const std::map<size_t, std::vector<std::string>>& triggers);

/// BUILDPLATFORM, BUILDOS, …, TARGETPLATFORM, …, TARGETSTAGE.
Variables platformArgs(const PlanOptions& options, std::string_view targetStage);

/// Those and the file's global ARGs, a --build-arg winning over a default. Throws DockerfileError.
Variables globalVariables(const Dockerfile& file, const PlanOptions& options);

/// HTTP_PROXY and its like, either case: usable without ARG, kept out of history and cache keys.
bool isProxyArg(std::string_view name);
/// A platform argument: usable in FROM, elsewhere after an ARG.
bool isPlatformArg(std::string_view name);

/// The value that `arg` gets in a stage: --build-arg, else its default expanded with `env`, else the global of that
/// name; nullopt where it has none. Names found and not found in the default go to `used` and `unset`.
std::optional<std::string> argValue(const ArgDefinition& arg, const PlanOptions& options, const Variables& globals,
                                    const Variables& env, char escape, std::set<std::string>* used = nullptr,
                                    std::set<std::string>* unset = nullptr);

/// Counts the steps of one stage for display. Call in the order of the steps; a step that is no layer takes no number.
class StepNumbers {
 public:
  /// `platform` is shown where several are built ("linux/arm64"), else empty.
  StepNumbers(std::string displayName, int total, std::string platform = "")
      : name_(std::move(displayName)), platform_(std::move(platform)), total_(total) {}
  /// "[builder 2/5] RUN …"; "[ 2/10] RUN …"; `text` alone where the stage has no steps.
  std::string next(const std::string& text, bool onbuild = false);

 private:
  std::string name_;
  std::string platform_;
  int total_;
  int index_ = 0;
};

}  // namespace estiba::build
