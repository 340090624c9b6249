#include "build/run_step.h"

#include <algorithm>

#include "base/text.h"
#include "build/apply_config.h"
#include "build/dockerfile/describe.h"
#include "build/mount_points.h"
#include "build/run_mounts.h"

namespace estiba::build {

namespace {

void require(const Session& session, bool asked, std::string_view entitlement) {
  const auto& granted = session.request.allow;
  if (!asked || std::find(granted.begin(), granted.end(), entitlement) != granted.end()) return;
  fail(Code::forbidden, "entitlement {} is not allowed: the build was not granted it by --allow {}", entitlement,
       entitlement);
}

void refuseWhatIsNotGranted(const Session& session, const RunInstruction& run) {
  if (!run.devices.empty()) {
    fail(Code::not_implemented, "RUN --device={}: devices cannot be given to a build step yet", run.devices.front());
  }
  require(session, run.security == "insecure", "security.insecure");
  // --network host grants it to the whole build.
  require(session, run.network == "host" && session.request.network != "host", "network.host");
}

Inputs inputsOf(const Step& step, const RunInstruction& run, const std::vector<std::string>& argv,
                const std::optional<InlineScript>& script) {
  const auto& state = step.state;
  Inputs inputs = {{"parent", state.key}, {"kind", "RUN"}};
  for (const auto& arg : argv) inputs.emplace_back("command", arg);
  if (script) inputs.emplace_back("script", script->content);
  for (const auto& [name, value] : state.args) {
    if (!isProxyArg(name)) inputs.emplace_back("arg " + name, value);
  }
  for (const auto& item : state.config.Env) {
    const auto [name, value] = cut(item, '=');
    inputs.emplace_back("env " + name, value.value_or(""));
  }
  inputs.emplace_back("user", state.config.User);
  inputs.emplace_back("workdir", state.config.WorkingDir);
  inputs.emplace_back("network", run.network);
  if (run.security == "insecure") inputs.emplace_back("security", run.security);
  return inputs;
}

// ARGs, proxies, ENV, secrets: the later wins.
std::vector<std::string> environmentOf(const Step& step, const RunMounts& mounts, const MadeMounts& made) {
  std::vector<std::string> env;
  if (const auto socket = mounts.sshSocket(); !socket.empty()) setEnv(env, "SSH_AUTH_SOCK", socket);
  for (const auto& [name, value] : step.state.args) setEnv(env, name, value);
  for (const auto& [name, value] : step.session.request.buildArgs) {
    if (value && isProxyArg(name)) setEnv(env, name, *value);
  }
  for (const auto& item : step.state.config.Env) {
    const auto [name, value] = cut(item, '=');
    setEnv(env, name, value.value_or(""));
  }
  for (const auto& [name, value] : made.env) setEnv(env, name, value);
  return env;
}

StepProcess processOf(const Step& step, const RunInstruction& run, const RunMounts& mounts, const MadeMounts& made) {
  const auto& request = step.session.request;
  StepProcess process;
  process.id = randomHex(32);
  process.env = environmentOf(step, mounts, made);
  process.user = step.state.config.User;
  process.cwd = step.state.config.WorkingDir.empty() ? "/" : step.state.config.WorkingDir;
  process.network = run.network == "default" ? request.network : run.network;
  process.insecure = run.security == "insecure";
  process.extraHosts = request.extraHosts;
  process.limits = request.limits;
  process.mounts = made.mounts;
  return process;
}

StepStack stackOf(const Step& step, const snapshot::Active& active, const std::vector<StepMount>& mounts) {
  const auto own = active.mounts();
  StepStack stack{{step.session.services.initLayer}, own.upper, own.work};
  if (const auto points = makeMountPoints(step, mounts); !points.empty()) stack.lowers.insert(stack.lowers.begin(), points);
  stack.lowers.insert(stack.lowers.end(), own.lowers.begin(), own.lowers.end());
  return stack;
}

}  // namespace

void runStep(const Step& step, const RunInstruction& run) {
  refuseWhatIsNotGranted(step.session, run);
  const auto argv = runArgv(run, shellOf(step.state.config));
  const auto script = runScript(run);
  RunMounts mounts(step, run);
  Inputs inputs = inputsOf(step, run, argv, script);
  inputs.insert(inputs.end(), mounts.inputs().begin(), mounts.inputs().end());

  layerStep(step, inputs, [&](Vertex& vertex) {
    auto& session = step.session;
    const MadeMounts made = mounts.make();
    auto active = session.snapshots().prepare(step.state.layers, session.lease);
    StepProcess process = processOf(step, run, mounts, made);
    process.args = argv;
    if (script) process.mounts.push_back({"/dev/pipes/" + script->name, true, true, FileMount{script->content, 0755}});
    process.root = stackOf(step, active, process.mounts);
    const int code = session.services.runner.run(
        process, [&](int stream, std::string_view bytes) { vertex.log(stream, bytes); }, session.stop);
    if (code != 0) {
      fail(Code::invalid, "process {} did not complete successfully: exit code: {}", quoted(join(argv, " ")), code);
    }
    return session.snapshots().commit(std::move(active), session.lease);
  });
}

}  // namespace estiba::build
