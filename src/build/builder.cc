#include "build/builder.h"

#include <map>

#include "build/checks.h"
#include "build/context.h"
#include "build/image_result.h"
#include "build/session.h"
#include "build/sources.h"
#include "build/stage_graph.h"
#include "build/stage_run.h"

namespace estiba::build {

namespace {

using apitypes::BuildRequest;

void refuseWhatIsNotSupported(const BuildRequest& request) {
  const auto refuse = [](bool asked, std::string_view what) {
    if (asked) fail(Code::not_implemented, "{} is not supported yet", what);
  };
  refuse(request.squash, "--squash");
  refuse(!request.outputType.empty() && request.outputType != "image" && request.outputType != "docker",
         "--output type=" + request.outputType);
  refuse(!request.platform.empty() && request.platform != "linux/amd64", "--platform " + request.platform);
  for (const auto& [name, where] : request.buildContexts) {
    refuse(!where.starts_with("docker-image://"), "--build-context " + name + "=" + where);
  }
}

std::vector<oci::Reference> namesOf(const BuildRequest& request) {
  std::vector<oci::Reference> names;
  for (const auto& tag : request.tags) names.push_back(oci::Reference::parse(tag).withDefaultTag());
  return names;
}

PlanOptions planOptionsOf(const BuildRequest& request) {
  PlanOptions options;
  options.target = request.target;
  for (const auto& [name, value] : request.buildArgs) {
    if (value) options.buildArgs[name] = *value;
  }
  for (const auto& [name, where] : request.buildContexts) options.namedContexts.insert(name);
  return options;
}

// Opens the images that stages stand on; their ONBUILD triggers may ask for more.
Plan planFor(Dockerfile& file, const PlanOptions& options, BaseImages& images) {
  const Plan first = planBuild(file, options);
  std::map<size_t, std::vector<std::string>> triggers;
  for (const size_t index : first.order) {
    const auto& base = first.stages[index].base;
    if (base.kind != Origin::Kind::image && base.kind != Origin::Kind::named) continue;
    const auto& image = images.open(base);
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

BuildResult buildFrom(Session& session, BuildContext& context, const std::vector<oci::Reference>& names) {
  const PlanOptions options = planOptionsOf(session.request);
  context.loadDockerfile();
  if (!session.request.call.empty()) return {{}, answerRequest(session, context, options), {}};
  Dockerfile file = context.dockerfile();
  BaseImages images(session);
  const Plan plan = planFor(file, options, images);
  StageGraph graph(plan);
  Sources sources(session, context, images, graph, plan);
  checkDockerfile(session, context, options, plan);
  const StageInputs inputs{session, sources, images, graph, plan, options, file};
  const auto failure = graph.run([&](size_t stage) { return runStage(inputs, stage); });
  context.remember();
  session.services.cache.touch(session.reports.usedKeys());
  if (failure) std::rethrow_exception(failure);
  const auto id = exportImage(session, graph.result(plan.target), names);
  return {id, std::nullopt, session.reports.all()};
}

}  // namespace

BuildResult build(const BuildServices& services, const BuildRequest& request, Fd given, Progress& progress,
                  std::stop_token stop) {
  const auto names = namesOf(request);
  refuseWhatIsNotSupported(request);
  Session session(services, request, progress, std::move(stop));
  BuildContext context(session, std::move(given));
  try {
    return buildFrom(session, context, names);
  } catch (const DockerfileError& e) {
    tellExcerpt(session, context.dockerfileText(), e.where());
    throw;
  }
}

}  // namespace estiba::build
