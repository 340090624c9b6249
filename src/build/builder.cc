#include "build/builder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "archive/compression.h"
#include "archive/copy.h"
#include "archive/extract.h"
#include "archive/stream.h"
#include "base/sha256.h"
#include "base/text.h"
#include "build/apply_config.h"
#include "build/call.h"
#include "build/copy_step.h"
#include "build/dockerfile/describe.h"
#include "build/dockerfile/stages.h"
#include "build/explain.h"
#include "build/fetch.h"
#include "build/stage_state.h"
#include "monitor/rootfs.h"
#include "oci/platform.h"
#include "sys/file.h"
#include "sys/lock.h"

namespace estiba::build {

Variables StageState::variables() const {
  Variables out;
  for (const auto& [name, value] : args) out.set(name, value);
  for (const auto& item : config.Env) {
    const auto [name, value] = cut(item, '=');
    out.set(name, value.value_or(""));
  }
  return out;
}

namespace {

using std::chrono::nanoseconds;

// A directory of this build's own under <root>/tmp, gone with the object.
class TempDir {
 public:
  explicit TempDir(const std::string& root) : path_(root + "/tmp/build-" + randomHex(8)) { makeDirs(path_, 0700); }
  ~TempDir() {
    try {
      removeTree(path_);
    } catch (const std::exception&) {  // recovery sweeps what is left
    }
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string next() {
    std::lock_guard lock(mutex_);
    const std::string path = path_ + "/" + std::to_string(++count_);
    makeDir(path, 0700);
    return path;
  }

 private:
  std::mutex mutex_;
  std::string path_;
  int count_ = 0;
};

// Hashes finished layers while the next steps run, then enters them into the cache.
class Hasher {
 public:
  Hasher(snapshot::Layers& layers, StepCache& cache, Lease& lease) : layers_(layers), cache_(cache), lease_(lease) {}
  ~Hasher() {
    for (auto& [id, future] : running_) {
      if (future.valid()) future.wait();
    }
  }

  void start(StepRecord record, Inputs inputs) {
    const auto id = record.layer;
    std::lock_guard lock(mutex_);
    running_.emplace_back(id, std::async(std::launch::async, [this, record, inputs = std::move(inputs)]() mutable {
                            const auto hashed = layers_.hash(record.layer, lease_);
                            record.layer = hashed.id;
                            cache_.put(record, inputs);
                            return hashed.id;
                          }).share());
  }

  // The layer that stands for `id` once it is hashed: another one where the same content was there already.
  snapshot::LayerId settled(const snapshot::LayerId& id) {
    std::shared_future<snapshot::LayerId> future;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [known, f] : running_) {
        if (known == id) future = f;
      }
    }
    return future.valid() ? future.get() : id;
  }

 private:
  snapshot::Layers& layers_;
  StepCache& cache_;
  Lease& lease_;
  std::mutex mutex_;
  std::vector<std::pair<snapshot::LayerId, std::shared_future<snapshot::LayerId>>> running_;
};

class Build {
 public:
  Build(const BuildServices& services, const apitypes::BuildRequest& request, Fd context, Progress& progress,
        std::stop_token stop)
      : s_(services),
        request_(request),
        progress_(progress),
        stop_(std::move(stop)),
        temp_(services.root),
        contextFd_(std::move(context)),
        hasher_(services.images.snapshots().layers(), services.cache, lease_) {}

  BuildResult run() {
    try {
      return runOrThrow();
    } catch (const DockerfileError& e) {
      tellExcerpt(e.where());
      throw;
    }
  }

 private:
  BuildResult runOrThrow() {
    checkRequest();
    loadContext();
    options_.target = request_.target;
    for (const auto& [name, value] : request_.buildArgs) {
      if (value) options_.buildArgs[name] = *value;
    }
    for (const auto& [name, where] : request_.buildContexts) options_.namedContexts.insert(name);
    loadDockerfile();
    if (!request_.call.empty()) return answer();
    plan_ = planBuild(file_, options_);
    loadBases();
    loadIgnore();
    lint();
    runStages();
    return exportImage();
  }

  LintOptions lintOptions() {
    LintOptions out;
    out.plan = options_;
    out.ignore = &context_->ignore();
    out.base = [this](size_t stage) { return baseFacts(plan_.stages.at(stage).base); };
    return out;
  }

  // What is known of the image that a stage stands on; of one that is not here, nothing is held against the file.
  BaseFacts baseFacts(const Origin& base) {
    BaseFacts out;
    if (base.kind != Origin::Kind::image) return out;
    const auto id = oci::Reference::tryParse(base.image) ? s_.images.tryResolve(base.image) : std::nullopt;
    if (!id) return out;
    const auto config = s_.images.config(*id).config;
    if (!config.Env.empty()) out.env = config.Env;
    out.hasShell = !config.Shell.empty();
    return out;
  }

  BuildResult answer() {
    loadIgnore();
    LintOptions options = lintOptions();
    try {
      plan_ = planBuild(readDockerfile(text_), options_);
    } catch (const Error&) {  // the call itself will say so
      options.base = nullptr;
    }
    const std::string& name = request_.dockerfile;
    const std::string last = name.substr(name.rfind('/') + 1);
    BuildResult out;
    out.call = answerCall(request_.call,
                          {text_, last, request_.shownDockerfile.empty() ? last : request_.shownDockerfile, options});
    return out;
  }

  // The checks of a build: warnings, or its end where the file wants that.
  void lint() {
    LintOptions options = lintOptions();
    options.allStages = false;
    const LintResult result = lintDockerfile(text_, options);
    for (const auto& warning : result.warnings) {
      definition_->warn(shortText(warning), longText(warning, request_.dockerfile, text_));
    }
    if (result.fails) fail(Code::invalid, "{}", lintFailure(result));
  }

  void checkRequest() {
    for (const auto& tag : request_.tags) names_.push_back(oci::Reference::parse(tag).withDefaultTag());
    const auto refuse = [](bool asked, std::string_view what) {
      if (asked) fail(Code::not_implemented, "{} is not supported yet", what);
    };
    refuse(request_.squash, "--squash");
    refuse(!request_.outputType.empty() && request_.outputType != "image" && request_.outputType != "docker",
           "--output type=" + request_.outputType);
    refuse(!request_.platform.empty() && request_.platform != "linux/amd64", "--platform " + request_.platform);
    for (const auto& [name, where] : request_.buildContexts) {
      refuse(!where.starts_with("docker-image://"), "--build-context " + name + "=" + where);
    }
  }

  // A tar is unpacked once; a directory is read where it lies.
  void loadContext() {
    if (!request_.remote.empty()) {
      const std::string dir = temp_.next();
      Vertex vertex(progress_, "[internal] load remote build context");
      fetchContext(request_.remote, dir, stop_);
      vertex.done();
      contextFd_ = openFile(dir, O_PATH | O_DIRECTORY);
    } else if (request_.contextTar && contextFd_) {
      const std::string dir = temp_.next();
      Vertex vertex(progress_, "[internal] load remote build context");
      const RootDir root = RootDir::open(dir);
      auto source = std::make_unique<archive::FdSource>(std::move(contextFd_), "build context");
      const auto from = archive::decompressing(std::move(source));
      archive::ExtractOptions extract;
      extract.devices = false;
      archive::extractArchive(*from, root, "/", extract);
      vertex.done();
      contextFd_ = openFile(dir, O_PATH | O_DIRECTORY);
    } else if (!contextFd_) {
      contextFd_ = openFile(temp_.next(), O_PATH | O_DIRECTORY);
    }
    struct stat st{};
    sys([&] { return ::fstat(contextFd_.get(), &st); }, "stat the build context");
    indexName_ = fmt::format("{}:{}", st.st_dev, st.st_ino);
    indexed_ = !request_.contextTar && request_.remote.empty();
    index_ = std::make_shared<DigestIndex>(indexed_ ? s_.cache.contextIndex(indexName_) : "");
  }

  void loadDockerfile() {
    const std::string& name = request_.dockerfile;
    definition_.emplace(progress_, "[internal] load build definition from " + name.substr(name.rfind('/') + 1));
    Vertex& vertex = *definition_;
    if (request_.dockerfileContent) {
      text_ = *request_.dockerfileContent;
    } else {
      const RootDir root(dupContext(), "build context");
      auto text = root.tryRead(name, 64U << 20);
      if (!text && name == "Dockerfile") text = root.tryRead("dockerfile", 64U << 20);
      if (!text) {
        const std::string message = fmt::format("failed to read dockerfile: open {}: no such file or directory", name);
        vertex.fail(message);
        fail(Code::not_found, "{}", message);
      }
      text_ = std::move(*text);
    }
    vertex.status(fmt::format("transferring dockerfile: {} done", humanSize(static_cast<double>(text_.size()), 3)));
    try {
      if (request_.call.empty()) file_ = readDockerfile(text_);
    } catch (const Error& e) {
      vertex.fail(e.what());
      throw;
    }
    vertex.done();
  }

  void loadIgnore() {
    Vertex vertex(progress_, "[internal] load .dockerignore");
    const RootDir root(dupContext(), "build context");
    std::optional<std::string> text = request_.ignoreContent;
    if (!text && !request_.dockerfileContent) text = root.tryRead(request_.dockerfile + ".dockerignore", 16U << 20);
    if (!text) text = root.tryRead(".dockerignore", 16U << 20);
    SourceTree::Options options;
    if (text) options.ignore = parseIgnoreFile(*text);
    vertex.status(fmt::format("transferring context: {} done", humanSize(static_cast<double>(text ? text->size() : 2), 3)));
    vertex.done();
    context_ = std::make_shared<SourceTree>(RootDir(dupContext(), "build context"), std::move(options), index_);
  }

  Fd dupContext() const {
    return Fd(sys([&] { return ::fcntl(contextFd_.get(), F_DUPFD_CLOEXEC, 3); }, "duplicate a descriptor"));
  }

  // The images that stages stand on; their ONBUILD triggers may ask for more.
  void loadBases() {
    std::map<size_t, std::vector<std::string>> triggers;
    for (const size_t index : plan_.order) {
      const auto& stage = plan_.stages[index];
      if (stage.base.kind != Origin::Kind::image && stage.base.kind != Origin::Kind::named) continue;
      const auto& image = openImage(stage.base);
      if (!image.config.config.OnBuild.empty()) triggers[index] = image.config.config.OnBuild;
    }
    plan_ = planWithTriggers(file_, options_, triggers);
  }

  const image::Resolved& openImage(const Origin& origin) {
    std::string name = origin.image;
    if (origin.kind == Origin::Kind::named) {
      name = request_.buildContexts.at(origin.image).substr(std::string_view("docker-image://").size());
    }
    std::lock_guard lock(imagesMutex_);
    const auto found = images_.find(name);
    if (found != images_.end()) return found->second;
    const auto reference = oci::Reference::tryParse(name);
    Vertex vertex(progress_, "[internal] load metadata for " + (reference ? reference->withDefaultTag().str() : name));
    try {
      auto resolved = s_.images.open(name, lease_);
      vertex.done();
      return images_.emplace(name, std::move(resolved)).first->second;
    } catch (const Error& e) {
      const std::string message =
          e.code() == Code::not_found
              ? fmt::format("{}: not found: it is not among this engine's images (pulling is not supported yet)",
                            reference ? reference->withDefaultTag().str() : name)
              : std::string(e.what());
      vertex.fail(message);
      throw Error(e.code(), message);
    }
  }

  // Stages that the target needs run at the same time, each after what it needs.
  void runStages() {
    std::vector<std::jthread> threads;
    for (const size_t index : plan_.order) {
      done_[index] = promises_[index].get_future().share();
    }
    for (const size_t index : plan_.order) {
      threads.emplace_back([this, index] {
        try {
          for (const size_t need : plan_.stages[index].needs) done_.at(need).get();
          if (failed_) fail(Code::cancelled, "another stage has failed");
          promises_.at(index).set_value(runStage(index));
        } catch (...) {
          failed_ = true;
          promises_.at(index).set_exception(std::current_exception());
        }
      });
    }
    threads.clear();  // joins
    std::exception_ptr first;
    for (const size_t index : plan_.order) {
      try {
        done_.at(index).get();
      } catch (const Error& e) {
        if (!first || e.code() != Code::cancelled) first = std::current_exception();
        if (e.code() != Code::cancelled) break;
      } catch (...) {
        first = std::current_exception();
        break;
      }
    }
    if (indexed_ && index_->changed()) s_.cache.setContextIndex(indexName_, index_->bytes());
    s_.cache.touch(used_);
    if (first) std::rethrow_exception(first);
  }

  StageState baseState(size_t index, StepNumbers& numbers) {
    const auto& planned = plan_.stages[index];
    const auto& from = file_.stages[index];
    StageState state;
    switch (planned.base.kind) {
      case Origin::Kind::scratch: state.key = "scratch"; break;
      case Origin::Kind::stage:
        state = done_.at(planned.base.stage).get();
        state.args.clear();
        state.cmdSet = false;
        return state;
      default: {
        const auto& image = openImage(planned.base);
        state.layers = image.layers;
        state.key = oci::chainId(image.config.rootfs.diff_ids).str();
        state.config = image.config.config;
        state.config.OnBuild.clear();
        state.history = image.config.history;
        state.created = image.config.created;
        state.author = image.config.author;
        const auto reference = oci::Reference::tryParse(planned.base.image);
        Vertex vertex(progress_,
                      numbers.next("FROM " + (reference ? reference->withDefaultTag().str() : planned.base.image)));
        vertex.cached();
        break;
      }
    }
    static_cast<void>(from);
    if (state.config.Env.empty() ||
        std::none_of(state.config.Env.begin(), state.config.Env.end(), [](const auto& e) { return e.starts_with("PATH="); })) {
      setEnv(state.config.Env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }
    return state;
  }

  StageState runStage(size_t index) {
    const auto& planned = plan_.stages[index];
    const auto& stage = file_.stages[index];
    StepNumbers numbers(planned.displayName, planned.totalSteps);
    StageState state = baseState(index, numbers);
    const bool ignoreCache =
        request_.noCache || std::any_of(request_.noCacheFilter.begin(), request_.noCacheFilter.end(), [&](const auto& n) {
          return toLower(n) == stage.name() || (stage.name().empty() && n == std::to_string(index));
        });
    for (size_t i = 0; i < stage.instructions.size(); ++i) {
      if (stop_.stop_requested()) fail(Code::cancelled, "the build was cancelled");
      if (failed_) fail(Code::cancelled, "another stage has failed");
      const Instruction& instruction = stage.instructions[i];
      try {
        step(index, i, instruction, state, numbers, ignoreCache);
      } catch (const DockerfileError&) {
        throw;
      } catch (const Error& e) {
        if (e.code() == Code::cancelled) throw;
        throw DockerfileError(e.what(), instruction.lines);
      }
    }
    return state;
  }

  void step(size_t stageIndex, size_t index, const Instruction& raw, StageState& state, StepNumbers& numbers,
            bool ignoreCache) {
    const char escape = file_.directives.escape;
    const Variables env = state.variables();
    if (const auto* arg = raw.as<ArgInstruction>()) {
      declareArgs(*arg, state, env, escape);
      addHistory(raw, state, /*makesLayer=*/false);
      return;
    }
    const auto expanded = expandInstruction(raw, env, escape);
    const Instruction& instruction = expanded.instruction;
    if (const auto* maintainer = instruction.as<MaintainerInstruction>()) {
      state.author = maintainer->author;
      addHistory(instruction, state, false);
      return;
    }
    const std::string display = displayText(raw, env, escape);
    if (const auto* run = instruction.as<RunInstruction>()) {
      runStep(stageIndex, index, *run, raw, state, numbers.next(display, raw.fromOnbuild), ignoreCache);
      addHistory(instruction, state, true);
    } else if (const auto* copy = instruction.as<CopyInstruction>()) {
      copyStep(stageIndex, index, *copy, raw, state, numbers.next(display, raw.fromOnbuild), ignoreCache);
      addHistory(instruction, state, true);
    } else if (const auto* workdir = instruction.as<WorkdirInstruction>()) {
      const std::string path = joinWorkdir(state.config.WorkingDir, workdir->path);
      if (path != "/") workdirStep(path, raw, state, numbers.next(display, raw.fromOnbuild), ignoreCache);
      applyToConfig(state.config, instruction, state.cmdSet);
      addHistory(instruction, state, path != "/");
    } else {
      if (!applyToConfig(state.config, instruction, state.cmdSet)) {
        fail(Code::not_implemented, "instruction {} is not supported", instruction.keyword);
      }
      addHistory(instruction, state, false);
    }
  }

  void declareArgs(const ArgInstruction& arg, StageState& state, const Variables& env, char escape) {
    Variables seen = env;
    for (const auto& definition : arg.args) {
      const auto value = argValue(definition, options_, plan_.globals, seen, escape);
      std::erase_if(state.args, [&](const auto& a) { return a.first == definition.key; });
      if (!value) continue;
      state.args.emplace_back(definition.key, *value);
      seen.set(definition.key, *value);
    }
  }

  void addHistory(const Instruction& instruction, StageState& state, bool layer) {
    HistoryContext context;
    context.shell = shellOf(state.config);
    context.workdir = state.config.WorkingDir;
    for (const auto& [name, value] : state.args) {
      if (!isProxyArg(name)) context.buildArgs.emplace_back(name, value);
    }
    const std::string text = historyText(instruction, context);
    if (text.empty()) return;
    oci::History entry;
    entry.created = state.created;
    entry.createdBy = text;
    entry.comment = "buildkit.dockerfile.v0";
    entry.emptyLayer = !layer;
    state.history.push_back(std::move(entry));
  }

  // The common course of every step that makes a layer: a hit is looked up, a miss is done, timed, hashed, explained.
  void layerStep(const std::string& shown, const Instruction& raw, StageState& state, const Inputs& inputs,
                 bool ignoreCache, bool ownParent, const std::function<snapshot::LayerId(Vertex&)>& make) {
    const std::string key = keyOf(inputs);
    auto& layers = s_.images.snapshots().layers();
    Vertex vertex(progress_, shown);
    StepReport report;
    report.text = raw.text;
    report.shown = shown;
    if (!ignoreCache) {
      if (auto hit = s_.cache.find(key); hit && layers.hold(hit->layer, lease_)) {
        state.layers.push_back(hit->layer);
        state.created = hit->created;
        state.key = key;
        report.cached = true;
        report.took = hit->took;
        vertex.cached();
        remember(key, std::move(report));
        return;
      }
    }
    if (ignoreCache) report.reasons = {"the cache was not to be used (--no-cache)"};
    else explainMiss(s_.cache, raw.text, inputs, report);
    const auto begin = monotonic();
    snapshot::LayerId layer;
    try {
      layer = make(vertex);
    } catch (const Error& e) {
      vertex.fail(e.what());
      throw;
    }
    StepRecord record;
    record.key = key;
    record.text = raw.text;
    record.layer = layer;
    record.created = now();
    record.took = monotonic() - begin;
    report.took = record.took;
    state.layers.push_back(layer);
    state.created = record.created;
    state.key = key;
    static_cast<void>(ownParent);
    hasher_.start(record, inputs);
    vertex.done();
    remember(key, std::move(report));
  }

  void remember(const std::string& key, StepReport report) {
    std::lock_guard lock(reportsMutex_);
    if (report.cached) used_.push_back(key);
    reports_.push_back(std::move(report));
  }

  // Layers that other steps of this build have made may have been replaced by equal ones since.
  std::vector<snapshot::LayerId> settled(const std::vector<snapshot::LayerId>& layers) {
    std::vector<snapshot::LayerId> out;
    for (const auto& layer : layers) out.push_back(hasher_.settled(layer));
    return out;
  }

  image::Accounts accountsOf(const StageState& state) {
    if (state.layers.empty()) return {};
    const RootDir root(s_.images.snapshots().mountReadOnly(state.layers), "stage");
    return image::readAccounts(root);
  }

  void workdirStep(const std::string& path, const Instruction& raw, StageState& state, const std::string& shown,
                   bool ignoreCache) {
    const Inputs inputs = {{"parent", state.key}, {"kind", "WORKDIR"}, {"path", path}, {"user", state.config.User}};
    layerStep(shown, raw, state, inputs, ignoreCache, true, [&](Vertex&) {
      auto active = s_.images.snapshots().prepare(state.layers, lease_);
      {
        const auto user = state.config.User.empty() ? image::User{}
                                                    : image::resolveUser(accountsOf(state), state.config.User, {});
        const RootDir root = mounted(active);
        root.makeDirs(path, 0755, user.uid, user.gid);
      }
      return s_.images.snapshots().commit(std::move(active), lease_);
    });
  }

  // The stack with its writable layer, mounted nowhere but behind this descriptor.
  static RootDir mounted(const snapshot::Active& active) {
    const auto mounts = active.mounts();
    if (mounts.lowers.empty()) return RootDir::open(mounts.upper);
    monitor::RootfsConfig config;
    config.lowers = mounts.lowers;
    config.upper = mounts.upper;
    config.work = mounts.work;
    config.volatile_ = true;
    return {monitor::makeRootfs(config), "root of a build step"};
  }

  std::shared_ptr<SourceTree> treeOf(const Origin& origin) {
    if (origin.kind == Origin::Kind::context) return context_;
    SourceTree::Options options;
    options.keepOwner = true;
    std::vector<snapshot::LayerId> layers;
    if (origin.kind == Origin::Kind::stage) {
      layers = done_.at(origin.stage).get().layers;
      const auto& name = plan_.stages[origin.stage].displayName;
      options.label = (name.empty() ? std::to_string(origin.stage) : name) + ":";
    } else {
      layers = openImage(origin).layers;
      options.label = origin.image + ":";
    }
    if (layers.empty()) return std::make_shared<SourceTree>(RootDir::open(temp_.next()), options, std::make_shared<DigestIndex>());
    return std::make_shared<SourceTree>(RootDir(s_.images.snapshots().mountReadOnly(layers), options.label), options,
                                        std::make_shared<DigestIndex>());
  }

  const Origin& originOf(size_t stage, size_t index, size_t which) const {
    static const Origin context;
    const auto& origins = plan_.stages[stage].origins;
    if (index >= origins.size() || which >= origins[index].size()) return context;
    return origins[index][which];
  }

  void copyStep(size_t stage, size_t index, const CopyInstruction& copy, const Instruction& raw, StageState& state,
                const std::string& shown, bool ignoreCache) {
    CopyPlan plan;
    try {
      std::vector<Fetched> fetched;
      for (const auto& source : copy.sources) {
        if (copy.add && (isHttpSource(source) || isGitSource(source))) {
          fetched.push_back(fetchSource(source, copy, temp_.next(), stop_));
        }
      }
      plan = planCopy(copy, treeOf(originOf(stage, index, 0)), std::move(fetched), state.config.WorkingDir);
    } catch (const Error& e) {
      Vertex vertex(progress_, shown);
      const std::string message = fmt::format("failed to calculate checksum of ref: {}", e.what());
      vertex.fail(e.code() == Code::not_found ? message : e.what());
      throw Error(e.code(), e.code() == Code::not_found ? message : e.what());
    }
    Inputs inputs;
    if (!copy.link) inputs.emplace_back("parent", state.key);
    addInputs(plan, inputs);
    layerStep(shown, raw, state, inputs, ignoreCache, !copy.link, [&](Vertex&) {
      // With --link the layer knows nothing of what lies below it.
      auto active = s_.images.snapshots().prepare(copy.link ? std::vector<snapshot::LayerId>{} : state.layers, lease_);
      {
        const auto accounts = copy.chown.empty() ? image::Accounts{} : accountsOf(state);
        const RootDir target = mounted(active);
        runCopy(plan, target, accounts);
      }
      return s_.images.snapshots().commit(std::move(active), lease_);
    });
    if (copy.link) state.key = keyOf({{"parent", state.key}, {"link", state.key}, {"self", keyOf(inputs)}});
  }

  struct PreparedMounts {
    std::vector<StepMount> mounts;
    std::vector<std::pair<std::string, std::string>> secretEnv;
    std::vector<FileLock> locks;
    Inputs inputs;
  };

  PreparedMounts prepareMounts(size_t stage, size_t index, const RunInstruction& run, const StageState& state) {
    PreparedMounts out;
    for (size_t i = 0; i < run.mounts.size(); ++i) {
      const RunMount& m = run.mounts[i];
      const bool defaultSecret = m.type == MountType::secret && m.target.empty() && !m.env;
      const std::string target =
          resolveWorkdir(state.config.WorkingDir, defaultSecret ? "/run/secrets/" + m.id : m.target);
      const std::string what = fmt::format("mount {} {}", mountTypeName(m.type), target);
      StepMount mount;
      mount.target = target;
      mount.readonly = m.readOnly;
      switch (m.type) {
        case MountType::tmpfs:
          mount.tmpfsSize = m.sizeBytes;
          mount.readonly = false;
          out.inputs.emplace_back(what, std::to_string(m.sizeBytes));
          break;
        case MountType::cache: cacheMount(m, stage, index, i, mount, out); break;
        case MountType::bind: bindMount(m, stage, index, i, mount, out); break;
        case MountType::secret:
          out.inputs.emplace_back(what, m.id);
          if (!secretMount(m, mount, out)) continue;
          break;
        case MountType::ssh:
          if (m.required) fail(Code::not_implemented, "ssh mounts are not supported yet");
          continue;
      }
      out.mounts.push_back(std::move(mount));
    }
    return out;
  }

  void cacheMount(const RunMount& m, size_t stage, size_t index, size_t which, StepMount& mount, PreparedMounts& out) {
    const std::string id = m.id.empty() ? mount.target : m.id;
    mount.readonly = m.readOnly;
    out.inputs.emplace_back("mount cache " + mount.target, id);
    std::string dir = s_.root + "/buildcache/" + sha256Hex(id);  // an id is never a path
    makeDirs(s_.root + "/buildcache", 0700);
    const auto sharing = m.sharing.value_or(CacheSharing::shared);
    if (sharing == CacheSharing::private_) {
      for (int n = 0;; ++n) {
        const std::string candidate = n == 0 ? dir : dir + "." + std::to_string(n);
        if (auto lock = FileLock::tryAcquire(candidate + ".lock", FileLock::Kind::exclusive)) {
          out.locks.push_back(std::move(lock));
          dir = candidate;
          break;
        }
      }
    } else {
      out.locks.push_back(FileLock::acquire(dir + ".lock", sharing == CacheSharing::locked ? FileLock::Kind::exclusive
                                                                                            : FileLock::Kind::shared));
    }
    if (!exists(dir)) {
      const std::string fresh = temp_.next();
      if (!m.from.empty()) {
        const auto tree = treeOf(originOf(stage, index, which));
        archive::copyTree(tree->root(), m.source.empty() ? "/" : m.source, RootDir::open(fresh), "/", {});
      }
      sys([&] { return ::chown(fresh.c_str(), m.uid.value_or(0), m.gid.value_or(0)); }, "chown '{}'", fresh);
      sys([&] { return ::chmod(fresh.c_str(), m.mode.value_or(0755)); }, "chmod '{}'", fresh);
      if (::rename(fresh.c_str(), dir.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST) {
        throw SysError(errno, fmt::format("make cache '{}'", id));
      }
    }
    mount.hostPath = dir;
  }

  // What is bound is a copy: of the context without what .dockerignore leaves out, of a stage or image. Writes to it
  // are lost, as they are to be.
  void bindMount(const RunMount& m, size_t stage, size_t index, size_t which, StepMount& mount, PreparedMounts& out) {
    const auto tree = treeOf(originOf(stage, index, which));
    const std::string source = m.source.empty() ? "/" : m.source;
    out.inputs.emplace_back("mount bind " + mount.target, source);
    const auto paths = tree->expand(source);
    const IgnoreMatcher none;
    tree->digest(paths.at(0), none, out.inputs);
    const std::string dir = temp_.next();
    archive::CopyOptions options;
    if (!tree->keepOwner()) options.chown = {{0, 0}};
    options.filter = [&](const std::string& below, const struct stat& st) {
      return tree->wanted(paths[0], below, S_ISDIR(st.st_mode), none) ? archive::Pick::take : archive::Pick::skip;
    };
    const auto st = tree->root().stat(paths[0]);
    const bool directory = st && S_ISDIR(st->st_mode);
    archive::copyTree(tree->root(), paths[0], RootDir::open(dir), directory ? "/" : "/file", options);
    if (directory) ::chmod(dir.c_str(), 0755);
    mount.hostPath = directory ? dir : dir + "/file";
  }

  bool secretMount(const RunMount& m, StepMount& mount, PreparedMounts& out) {
    const auto secret = std::find_if(request_.secrets.begin(), request_.secrets.end(),
                                     [&](const auto& s) { return s.id == m.id; });
    if (secret == request_.secrets.end()) {
      if (m.required) fail(Code::not_found, "secret {}: not found", m.id);
      return false;
    }
    const std::string value = base64Decode(secret->value).value_or("");
    if (m.env) {
      out.secretEnv.emplace_back(m.env->empty() ? m.id : *m.env, value);
      if (m.target.empty()) return false;
    }
    const std::string path = temp_.next() + "/secret";
    writeFile(path, value, 0600);
    sys([&] { return ::chown(path.c_str(), m.uid.value_or(0), m.gid.value_or(0)); }, "chown a secret");
    sys([&] { return ::chmod(path.c_str(), m.mode.value_or(0400)); }, "chmod a secret");
    mount.hostPath = path;
    mount.readonly = true;
    return true;
  }

  void runStep(size_t stage, size_t index, const RunInstruction& run, const Instruction& raw, StageState& state,
               const std::string& shown, bool ignoreCache) {
    if (!run.devices.empty()) fail(Code::not_implemented, "RUN --device is not supported yet");
    if (run.security == "insecure") {
      fail(Code::forbidden, "security.insecure is not allowed: this build was not granted it");
    }
    const auto argv = runArgv(run, shellOf(state.config));
    StepProcess process;
    process.args = argv;
    const auto script = runScript(run);
    auto prepared = prepareMounts(stage, index, run, state);
    Inputs inputs = {{"parent", state.key}, {"kind", "RUN"}};
    for (const auto& arg : argv) inputs.emplace_back("command", arg);
    if (script) inputs.emplace_back("script", script->content);
    for (const auto& [name, value] : state.args) {
      if (isProxyArg(name)) continue;
      inputs.emplace_back("arg " + name, value);
    }
    for (const auto& item : state.config.Env) {
      const auto [name, value] = cut(item, '=');
      inputs.emplace_back("env " + name, value.value_or(""));
    }
    inputs.emplace_back("user", state.config.User);
    inputs.emplace_back("workdir", state.config.WorkingDir);
    inputs.emplace_back("network", run.network);
    inputs.insert(inputs.end(), prepared.inputs.begin(), prepared.inputs.end());

    layerStep(shown, raw, state, inputs, ignoreCache, true, [&](Vertex& vertex) {
      auto active = s_.images.snapshots().prepare(state.layers, lease_);
      const auto mounts = active.mounts();
      process.id = randomHex(32);
      process.root = {mounts.lowers, mounts.upper, mounts.work};
      process.root.lowers.insert(process.root.lowers.begin(), s_.initLayer);
      for (const auto& [name, value] : state.args) setEnv(process.env, name, value);
      for (const auto& [name, value] : request_.buildArgs) {
        if (value && isProxyArg(name)) setEnv(process.env, name, *value);
      }
      for (const auto& item : state.config.Env) {
        const auto [name, value] = cut(item, '=');
        setEnv(process.env, name, value.value_or(""));
      }
      for (const auto& [name, value] : prepared.secretEnv) setEnv(process.env, name, value);
      process.user = state.config.User;
      process.cwd = state.config.WorkingDir.empty() ? "/" : state.config.WorkingDir;
      process.network = run.network == "default" ? request_.network : run.network;
      process.extraHosts = request_.extraHosts;
      process.limits = request_.limits;
      process.mounts = prepared.mounts;
      if (script) {
        const std::string path = temp_.next() + "/" + sha256Hex(script->name);
        writeFile(path, script->content, 0755);
        process.mounts.push_back({"/dev/pipes/" + script->name, path, 0, true});
      }
      const auto stubs = missingTargets(state, process.mounts);
      const int code = s_.runner.run(
          process, [&](int stream, std::string_view bytes) { vertex.log(stream, bytes); }, stop_);
      if (code != 0) {
        fail(Code::invalid, "process {} did not complete successfully: exit code: {}", quoted(join(argv, " ")), code);
      }
      removeStubs(mounts.upper, stubs);
      return s_.images.snapshots().commit(std::move(active), lease_);
    });
  }

  // Directories and files that only exist because something was mounted on them, outermost first.
  std::vector<std::string> missingTargets(const StageState& state, const std::vector<StepMount>& mounts) {
    std::vector<std::string> out;
    if (mounts.empty()) return out;
    std::optional<RootDir> root;
    if (!state.layers.empty()) root.emplace(s_.images.snapshots().mountReadOnly(state.layers), "stage");
    for (const auto& m : mounts) {
      std::string path;
      for (const auto& part : split(m.target, '/')) {
        if (part.empty()) continue;
        path += "/" + part;
        if (!root || !root->lstat(path)) out.push_back(path);
      }
    }
    return out;
  }

  // Never follows a link (CVE-2024-23652), never takes what the step has filled.
  static void removeStubs(const std::string& upper, const std::vector<std::string>& stubs) {
    const RootDir root = RootDir::open(upper, RootDir::Confine::beneath);
    for (auto path = stubs.rbegin(); path != stubs.rend(); ++path) {
      try {
        const auto [parent, name] = root.parentOf(*path);
        struct stat st{};
        if (::fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISDIR(st.st_mode)) ::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR);
        else if (S_ISREG(st.st_mode) && st.st_size == 0) ::unlinkat(parent.get(), name.c_str(), 0);
      } catch (const Error&) {  // a parent that is gone, or is a link now
      }
    }
  }

  BuildResult exportImage() {
    const StageState state = done_.at(plan_.target).get();
    Vertex vertex(progress_, "exporting to image");
    try {
      image::Assembly assembly;
      assembly.layers = settled(state.layers);
      vertex.status("exporting layers done");
      auto& config = assembly.config;
      config.platform = oci::Platform::host();
      config.created = state.created.ns == 0 ? now() : state.created;
      config.author = state.author;
      config.config = state.config;
      for (const auto& [name, value] : request_.labels) config.config.Labels[name] = value;
      config.history = state.history;
      assembly.names = names_;
      const auto made = s_.images.assemble(assembly, lease_);
      vertex.status(fmt::format("writing image {} done", made.id.str()));
      for (const auto& name : names_) vertex.status(fmt::format("naming to {} done", name.str()));
      vertex.done();
      return {made.id, std::nullopt, ordered()};
    } catch (const Error& e) {
      vertex.fail(e.what());
      throw;
    }
  }

  // In the order of the file: stages that ran at the same time reported in any order.
  std::vector<StepReport> ordered() {
    std::lock_guard lock(reportsMutex_);
    return reports_;
  }

  void tellExcerpt(const std::vector<LineRange>& where) {
    apitypes::BuildTrace trace;
    const std::string text = sourceExcerpt(request_.dockerfile, text_, where);
    if (text.empty()) return;
    trace.excerpt = text;
    progress_.emit(trace);
  }

  BuildServices s_;
  const apitypes::BuildRequest& request_;
  Progress& progress_;
  std::stop_token stop_;
  TempDir temp_;
  Fd contextFd_;
  std::string indexName_;
  bool indexed_ = false;
  std::shared_ptr<DigestIndex> index_;
  std::shared_ptr<SourceTree> context_;
  std::string text_;
  std::optional<Vertex> definition_;  // where the checks' warnings belong
  Dockerfile file_;
  PlanOptions options_;
  Plan plan_;
  std::vector<oci::Reference> names_;
  std::mutex imagesMutex_;
  std::map<std::string, image::Resolved> images_;
  std::map<size_t, std::promise<StageState>> promises_;
  std::map<size_t, std::shared_future<StageState>> done_;
  std::atomic<bool> failed_{false};
  std::mutex reportsMutex_;
  std::vector<StepReport> reports_;
  std::vector<std::string> used_;
  Lease lease_;     // outlives the hasher, which works under it
  Hasher hasher_;
};

}  // namespace

BuildResult build(const BuildServices& services, const apitypes::BuildRequest& request, Fd context, Progress& progress,
                  std::stop_token stop) {
  return Build(services, request, std::move(context), progress, std::move(stop)).run();
}

}  // namespace estiba::build
