#include "build/builder.h"

#include <map>

#include "build/checks.h"
#include "build/context.h"
#include "build/outputs.h"
#include "build/session.h"
#include "build/sources.h"
#include "build/stage_graph.h"
#include "build/stage_run.h"

namespace estiba::build {

namespace {

using apitypes::BuildRequest;

std::vector<oci::Reference> namesOf(const BuildRequest& request) {
  std::vector<oci::Reference> names;
  for (const auto& tag : request.tags) names.push_back(oci::Reference::parse(tag).withDefaultTag());
  return names;
}

PlatformWords wordsOf(const oci::Platform& platform) {
  return {platform.os, platform.architecture, platform.variant, platform.osVersion};
}

PlanOptions planOptionsOf(const BuildRequest& request) {
  PlanOptions options;
  options.target = request.target;
  for (const auto& [name, value] : request.buildArgs) {
    if (value) options.buildArgs[name] = *value;
  }
  for (const auto& [name, where] : request.buildContexts) options.namedContexts.insert(contextKey(name));
  const auto host = oci::Platform::host();
  options.buildPlatform = wordsOf(host);
  options.targetPlatform = request.platform.empty() ? wordsOf(host) : wordsOf(oci::Platform::parse(request.platform));
  return options;
}

// Opens the images that stages stand on; their ONBUILD triggers may ask for more.
Plan planFor(Dockerfile& file, const PlanOptions& options, BaseImages& images) {
  const Plan first = planBuild(file, options);
  std::map<size_t, std::vector<std::string>> triggers;
  for (const size_t index : first.order) {
    const auto& base = first.stages[index].base;
    if (!images.isImage(base)) continue;
    const auto& image = images.open(base, first.stages[index].platform);
    if (!image.config.config.OnBuild.empty()) triggers[index] = image.config.config.OnBuild;
  }
  return planWithTriggers(file, options, triggers);
}

void tellExcerpt(Session& session, const std::string& dockerfile, const std::vector<LineRange>& where) {
  const std::string text = sourceExcerpt(session.request.dockerfile, dockerfile, where);
  if (text.empty()) return;
  apitypes::BuildTrace trace;
  trace.excerpt = text;
  session.progress.emit(trace);
}

// Nothing is pulled for its cache: this engine's own is used. As docker does where an image is missing, it goes on.
void tellCacheSources(Session& session) {
  for (const auto& name : session.request.cacheFrom) {
    Vertex vertex(session.progress, "importing cache manifest from " + name);
    vertex.warn(fmt::format("--cache-from {} has no effect: caches cannot be imported yet", name));
    vertex.done();
  }
}

TargetBase targetBase(Session& session, const PlannedStage& target, BaseImages& images, const StageGraph& graph) {
  switch (target.base.kind) {
    case Origin::Kind::scratch:
    case Origin::Kind::context: return {};
    case Origin::Kind::stage: {
      const auto state = graph.result(target.base.stage);
      image::Assembly assembly;
      assembly.layers = session.hasher.settled(state.layers);
      assembly.config = configOf(session, state);
      const auto sealed = session.services.images.seal(assembly, session.lease);
      return {sealed.id.str(), state.layers.size(), state.history.size()};
    }
    case Origin::Kind::image:
    case Origin::Kind::named: {
      if (!images.isImage(target.base)) return {"", 1, 0};
      const auto& image = images.open(target.base, target.platform);
      return {image.id.str(), image.layers.size(), image.config.history.size()};
    }
  }
  return {};
}

BuildResult buildFrom(Session& session, BuildContext& context, const std::vector<oci::Reference>& names) {
  const PlanOptions options = planOptionsOf(session.request);
  context.loadDockerfile();
  if (!session.request.call.empty()) {
    BuildResult answered;
    answered.call = answerRequest(session, context, options);
    return answered;
  }
  tellCacheSources(session);
  Dockerfile file = context.dockerfile();
  NamedContexts contexts(session);
  BaseImages images(session, contexts);
  const Plan plan = planFor(file, options, images);
  StageGraph graph(plan);
  Sources sources(session, context, contexts, images, graph, plan);
  checkDockerfile(session, context, options, plan);
  const StageInputs inputs{session, sources, images, graph, plan, options, file};
  const auto failure = graph.run([&](size_t stage) { return runStage(inputs, stage); });
  try {
    context.remember();
    session.services.cache.touch(session.reports.usedKeys());
  } catch (const Error&) {
    if (!failure) throw;  // on a full disk this fails as well: what failed first is what matters
  }
  if (failure) std::rethrow_exception(failure);
  std::optional<TargetBase> base;
  if (session.request.squash) base = targetBase(session, plan.stages[plan.target], images, graph);
  auto made = makeOutputs(session, graph.result(plan.target), names, base);
  return {std::move(made.id), std::move(made.tagged), std::move(made.metadata), std::nullopt, session.reports.all()};
}

}  // namespace

BuildResult build(const BuildServices& services, const BuildRequest& request, std::vector<Fd> fds, Progress& progress,
                  std::stop_token stop) {
  const auto names = namesOf(request);
  checkOutputs(request);
  Session session(services, request, std::move(fds), progress, std::move(stop));
  BuildContext context(session);
  try {
    return buildFrom(session, context, names);
  } catch (const DockerfileError& e) {
    tellExcerpt(session, context.dockerfileText(), e.where());
    throw;
  }
}

}  // namespace estiba::build
