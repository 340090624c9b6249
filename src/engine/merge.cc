#include "engine/merge.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"

namespace estiba::engine {

namespace {

std::string nameOf(const std::string& variable) { return variable.substr(0, variable.find('=')); }

void mergeEnv(std::vector<std::string>& env, const std::vector<std::string>& image) {
  std::set<std::string> set;
  for (const auto& item : env) set.insert(nameOf(item));
  std::vector<std::string> merged;
  for (const auto& item : image) {
    if (!set.contains(nameOf(item))) merged.push_back(item);
  }
  // The image's come first where they stand alone, then the request's: the order that docker's inspect shows.
  env.insert(env.end(), merged.begin(), merged.end());
}

apitypes::HealthConfig apiHealth(const oci::HealthConfig& h) {
  apitypes::HealthConfig out;
  if (!h.Test.empty()) out.Test = h.Test;
  if (h.Interval != 0) out.Interval = h.Interval;
  if (h.Timeout != 0) out.Timeout = h.Timeout;
  if (h.StartPeriod != 0) out.StartPeriod = h.StartPeriod;
  if (h.StartInterval != 0) out.StartInterval = h.StartInterval;
  if (h.Retries != 0) out.Retries = h.Retries;
  return out;
}

void mergeHealth(apitypes::ContainerConfig& config, const oci::RunConfig& image) {
  if (!image.Healthcheck) return;
  const apitypes::HealthConfig from = apiHealth(*image.Healthcheck);
  if (!config.Healthcheck) {
    config.Healthcheck = from;
    return;
  }
  apitypes::HealthConfig& to = *config.Healthcheck;
  const auto inherit = [](auto& mine, const auto& theirs) {
    if (!mine) mine = theirs;
  };
  if (!to.Test || to.Test->empty()) to.Test = from.Test;
  inherit(to.Interval, from.Interval);
  inherit(to.Timeout, from.Timeout);
  inherit(to.StartPeriod, from.StartPeriod);
  inherit(to.StartInterval, from.StartInterval);
  inherit(to.Retries, from.Retries);
}

}  // namespace

void mergeImageConfig(apitypes::ContainerConfig& config, const oci::RunConfig& image) {
  if (config.User.empty()) config.User = image.User;
  if (!image.ExposedPorts.empty()) {
    if (!config.ExposedPorts) config.ExposedPorts.emplace();
    for (const auto& [port, empty] : image.ExposedPorts) (*config.ExposedPorts)[port];
  }
  mergeEnv(config.Env, image.Env);
  for (const auto& [key, value] : image.Labels) config.Labels.try_emplace(key, value);
  const bool ownEntrypoint = config.Entrypoint && !config.Entrypoint->empty();
  if (!ownEntrypoint) {
    if (!config.Cmd || config.Cmd->empty()) {
      if (!image.Cmd.empty()) config.Cmd = image.Cmd;
    }
    // [""] in a request clears the image's entrypoint.
    if (!image.Entrypoint.empty() && !config.Entrypoint) config.Entrypoint = image.Entrypoint;
  }
  if (config.Entrypoint && config.Entrypoint->size() == 1 && config.Entrypoint->front().empty()) {
    config.Entrypoint.reset();
  }
  mergeHealth(config, image);
  if (config.WorkingDir.empty()) config.WorkingDir = image.WorkingDir;
  if (!image.Volumes.empty()) {
    if (!config.Volumes) config.Volumes.emplace();
    for (const auto& [path, empty] : image.Volumes) (*config.Volumes)[path];
  }
  if (!config.StopSignal && !image.StopSignal.empty()) config.StopSignal = image.StopSignal;
  if (!config.Shell && !image.Shell.empty()) config.Shell = image.Shell;
  if (!image.OnBuild.empty() && !config.OnBuild) config.OnBuild = image.OnBuild;
}

std::vector<std::string> commandOf(const apitypes::ContainerConfig& config) {
  std::vector<std::string> command;
  if (config.Entrypoint) command = *config.Entrypoint;
  if (config.Cmd) command.insert(command.end(), config.Cmd->begin(), config.Cmd->end());
  if (command.empty()) fail(Code::invalid, "no command specified");
  return command;
}

oci::RunConfig imagePartOf(const apitypes::ContainerConfig& config) {
  oci::RunConfig out;
  out.User = config.User;
  if (config.ExposedPorts) out.ExposedPorts = *config.ExposedPorts;
  out.Env = config.Env;
  if (config.Entrypoint) out.Entrypoint = *config.Entrypoint;
  if (config.Cmd) out.Cmd = *config.Cmd;
  if (config.Volumes) out.Volumes = *config.Volumes;
  out.WorkingDir = config.WorkingDir;
  out.Labels = config.Labels;
  out.StopSignal = config.StopSignal.value_or("");
  if (config.Healthcheck) {
    oci::HealthConfig h;
    h.Test = config.Healthcheck->Test.value_or(std::vector<std::string>{});
    h.Interval = config.Healthcheck->Interval.value_or(0);
    h.Timeout = config.Healthcheck->Timeout.value_or(0);
    h.StartPeriod = config.Healthcheck->StartPeriod.value_or(0);
    h.StartInterval = config.Healthcheck->StartInterval.value_or(0);
    h.Retries = config.Healthcheck->Retries.value_or(0);
    out.Healthcheck = std::move(h);
  }
  if (config.OnBuild) out.OnBuild = *config.OnBuild;
  if (config.Shell) out.Shell = *config.Shell;
  return out;
}

}  // namespace estiba::engine
