#include "build/apply_config.h"

#include <algorithm>

#include "base/text.h"
#include "build/dockerfile/stages.h"
#include "sys/root_dir.h"

namespace estiba::build {

namespace {

void applyHealth(oci::RunConfig& config, const HealthcheckInstruction& h) {
  oci::HealthConfig out;
  out.Test = h.test;
  out.Interval = h.interval.count();
  out.Timeout = h.timeout.count();
  out.StartPeriod = h.startPeriod.count();
  out.StartInterval = h.startInterval.count();
  out.Retries = h.retries;
  config.Healthcheck = std::move(out);
}

}  // namespace

std::vector<std::string> shellOf(const oci::RunConfig& config) {
  return config.Shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : config.Shell;
}

std::vector<std::string> commandOf(const CommandLine& line, const oci::RunConfig& config) {
  if (!line.shellForm) return line.args;
  auto out = shellOf(config);
  if (line.args.empty()) return {};
  out.push_back(line.args[0]);
  return out;
}

void setEnv(std::vector<std::string>& env, const std::string& key, const std::string& value) {
  const auto same = std::find_if(env.begin(), env.end(), [&](const auto& item) { return item.starts_with(key + "="); });
  if (same != env.end()) *same = key + "=" + value;
  else env.push_back(key + "=" + value);
}

std::string joinWorkdir(const std::string& base, const std::string& path) {
  return cleanPath(path.starts_with('/') ? path : (base.empty() ? "/" : base) + "/" + path);
}

bool applyToConfig(oci::RunConfig& config, const Instruction& instruction, bool& cmdSet) {
  if (const auto* env = instruction.as<EnvInstruction>()) {
    for (const auto& pair : env->pairs) setEnv(config.Env, pair.key, pair.value);
  } else if (const auto* label = instruction.as<LabelInstruction>()) {
    for (const auto& pair : label->pairs) config.Labels[pair.key] = pair.value;
  } else if (const auto* cmd = instruction.as<CmdInstruction>()) {
    config.Cmd = commandOf(*cmd, config);
    config.ArgsEscaped = true;
    cmdSet = true;
  } else if (const auto* entrypoint = instruction.as<EntrypointInstruction>()) {
    config.Entrypoint = commandOf(*entrypoint, config);
    if (!cmdSet) config.Cmd.clear();  // the base's command was meant for the base's entrypoint
  } else if (const auto* workdir = instruction.as<WorkdirInstruction>()) {
    config.WorkingDir = joinWorkdir(config.WorkingDir, workdir->path);
  } else if (const auto* user = instruction.as<UserInstruction>()) {
    config.User = user->user;
  } else if (const auto* volume = instruction.as<VolumeInstruction>()) {
    for (const auto& path : volume->paths) config.Volumes[path];
  } else if (const auto* expose = instruction.as<ExposeInstruction>()) {
    for (const auto& port : parseExposePorts(expose->ports)) config.ExposedPorts[port];
  } else if (const auto* shell = instruction.as<ShellInstruction>()) {
    config.Shell = shell->args;
  } else if (const auto* stop = instruction.as<StopSignalInstruction>()) {
    config.StopSignal = stop->signal;
  } else if (const auto* health = instruction.as<HealthcheckInstruction>()) {
    applyHealth(config, *health);
  } else if (const auto* onbuild = instruction.as<OnbuildInstruction>()) {
    config.OnBuild.push_back(onbuild->trigger);
  } else {
    return false;
  }
  return true;
}

void applyChanges(oci::RunConfig& config, const std::vector<std::string>& changes) {
  bool cmdSet = false;
  Variables env;
  for (const auto& change : changes) {
    const Dockerfile file = readDockerfile("FROM scratch\n" + change + "\n");
    for (const auto& instruction : file.stages.at(0).instructions) {
      const auto expanded = expandInstruction(instruction, env, '\\');
      if (!applyToConfig(config, expanded.instruction, cmdSet)) {
        fail(Code::invalid, "{} is not a valid change command", toLower(instruction.keyword));
      }
    }
  }
}

}  // namespace estiba::build
