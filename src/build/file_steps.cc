#include "build/file_steps.h"

#include "build/copy_step.h"
#include "build/fetch.h"

namespace estiba::build {

namespace {

CopyPlan planOf(const Step& step, const CopyInstruction& copy) {
  try {
    std::vector<Fetched> fetched;
    for (const auto& source : copy.sources) {
      if (copy.add && (isHttpSource(source) || isGitSource(source))) {
        fetched.push_back(fetchSource(source, copy, step.session.temp.next(), step.session.stop));
      }
    }
    return planCopy(copy, step.sources.treeOf(step.origin(0)), std::move(fetched), step.state.config.WorkingDir);
  } catch (const Error& e) {
    Vertex vertex(step.session.progress, step.shown);
    const std::string message = e.code() == Code::not_found
                                    ? fmt::format("failed to calculate checksum of ref: {}", e.what())
                                    : std::string(e.what());
    vertex.fail(message);
    throw Error(e.code(), message);
  }
}

}  // namespace

void copyStep(const Step& step, const CopyInstruction& copy) {
  auto& state = step.state;
  const std::string before = state.key;
  const CopyPlan plan = planOf(step, copy);
  Inputs inputs;
  if (!copy.link) inputs.emplace_back("parent", state.key);
  addInputs(plan, inputs);
  layerStep(step, inputs, [&](Vertex&) {
    // With --link the layer knows nothing of what lies below it.
    auto active = step.session.snapshots().prepare(copy.link ? std::vector<snapshot::LayerId>{} : state.layers,
                                                   step.session.lease);
    {
      const auto accounts = copy.chown.empty() ? image::Accounts{} : accountsOf(step);
      const RootDir target = mounted(step, active);
      runCopy(plan, target, accounts);
    }
    return step.session.snapshots().commit(std::move(active), step.session.lease);
  });
  if (copy.link) state.key = keyOf({{"parent", before}, {"link", keyOf(inputs)}});
}

void workdirStep(const Step& step, const std::string& path) {
  auto& state = step.state;
  const Inputs inputs = {{"parent", state.key}, {"kind", "WORKDIR"}, {"path", path}, {"user", state.config.User}};
  layerStep(step, inputs, [&](Vertex&) {
    auto active = step.session.snapshots().prepare(state.layers, step.session.lease);
    {
      const auto user = state.config.User.empty() ? image::User{}
                                                  : image::resolveUser(accountsOf(step), state.config.User, {});
      const RootDir root = mounted(step, active);
      root.makeDirs(path, 0755, user.uid, user.gid);
    }
    return step.session.snapshots().commit(std::move(active), step.session.lease);
  });
}

}  // namespace estiba::build
