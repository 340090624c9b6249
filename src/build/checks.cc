#include "build/checks.h"

#include "build/call.h"
#include "build/dockerfile/lint.h"
#include "oci/reference.h"

namespace estiba::build {

namespace {

// What is known of the image that a stage stands on; of one that is not here, nothing is held against the file.
BaseFacts baseFacts(const Session& session, const Origin& base) {
  BaseFacts out;
  if (base.kind != Origin::Kind::image) return out;
  const auto& images = session.services.images;
  const auto id = oci::Reference::tryParse(base.image) ? images.tryResolve(base.image) : std::nullopt;
  if (!id) return out;
  const auto config = images.config(*id).config;
  if (!config.Env.empty()) out.env = config.Env;
  out.hasShell = !config.Shell.empty();
  return out;
}

LintOptions lintOptionsOf(Session& session, BuildContext& context, const PlanOptions& options, const Plan& plan) {
  LintOptions out;
  out.plan = options;
  out.ignore = &context.files()->ignore();
  out.base = [&](size_t stage) { return baseFacts(session, plan.stages.at(stage).base); };
  return out;
}

}  // namespace

apitypes::BuildCall answerRequest(Session& session, BuildContext& context, const PlanOptions& options) {
  const auto& request = session.request;
  Plan plan;
  LintOptions lint = lintOptionsOf(session, context, options, plan);
  try {
    plan = planBuild(readDockerfile(context.dockerfileText()), options);
  } catch (const Error&) {  // the call itself will say so
    lint.base = nullptr;
  }
  const std::string& name = request.dockerfile;
  const std::string last = name.substr(name.rfind('/') + 1);
  return answerCall(request.call, {context.dockerfileText(), last,
                                   request.shownDockerfile.empty() ? last : request.shownDockerfile, lint});
}

void checkDockerfile(Session& session, BuildContext& context, const PlanOptions& options, const Plan& plan) {
  LintOptions lint = lintOptionsOf(session, context, options, plan);
  lint.allStages = false;
  const std::string& text = context.dockerfileText();
  const LintResult result = lintDockerfile(text, lint);
  for (const auto& warning : result.warnings) {
    context.definition().warn(shortText(warning), longText(warning, session.request.dockerfile, text));
  }
  if (result.fails) fail(Code::invalid, "{}", lintFailure(result));
}

}  // namespace estiba::build
