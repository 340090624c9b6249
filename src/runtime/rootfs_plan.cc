#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "runtime/rootfs.h"
#include "sys/root_dir.h"

namespace estiba::runtime {

namespace {

bool hasNamespace(const oci::RuntimeSpec& spec, std::string_view type) {
  const auto& all = spec.linux_->namespaces;
  return std::any_of(all.begin(), all.end(), [&](const oci::LinuxNamespace& ns) { return ns.type == type; });
}

// "net.ipv4.ip_forward" -> "net/ipv4/ip_forward"; a key that begins with '/' separators has dots in its names instead.
std::string sysctlPath(const std::string& key) {
  const size_t first = key.find_first_of("./");
  const bool dotted = first == std::string::npos || key[first] == '.';
  std::string path = key;
  for (char& c : path) {
    if (dotted && (c == '.' || c == '/')) c = c == '.' ? '/' : '.';
  }
  return path;
}

// Only what belongs to one of the container's own namespaces: the rest is the host's.
void checkSysctl(const oci::RuntimeSpec& spec, const std::string& path, const std::string& key) {
  constexpr std::string_view kIpc[] = {"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
                                       "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"};
  for (const auto& part : split(path, '/')) {
    if (part.empty() || part == "." || part == "..") fail(Code::invalid, "sysctl {} is no valid name", quoted(key));
  }
  const bool ipc =
      std::find(std::begin(kIpc), std::end(kIpc), path) != std::end(kIpc) || path.starts_with("fs/mqueue/");
  const bool own = (ipc && hasNamespace(spec, "ipc")) || (path.starts_with("net/") && hasNamespace(spec, "network")) ||
                   (path == "kernel/domainname" && hasNamespace(spec, "uts"));
  if (path == "kernel/hostname") {
    fail(Code::invalid, "sysctl {} is not allowed as it conflicts with the OCI {} field", quoted(key),
         quoted("hostname"));
  }
  if (!own) fail(Code::invalid, "sysctl {} is not in a separate kernel namespace", quoted(key));
}

}  // namespace

RootfsPlan planRootfs(const oci::RuntimeSpec& spec, const std::string& bundle) {
  if (!spec.root || spec.root->path.empty()) fail(Code::invalid, "the spec has no root");
  const oci::Linux& config = *spec.linux_;
  if (!config.mountLabel.value_or("").empty()) fail(Code::not_implemented, "mount labels are not supported");
  RootfsPlan plan;
  plan.rootfs = spec.root->path[0] == '/' ? spec.root->path : bundle + "/" + spec.root->path;
  plan.readonly = spec.root->readonly.value_or(false);
  for (const auto& mount : spec.mounts) {
    plan.mounts.push_back(planMount(mount, bundle));
    if (plan.mounts.back().destination == "/dev" && plan.mounts.back().bind) plan.ownDevices = false;
  }
  plan.devices = config.devices;
  plan.maskedPaths = config.maskedPaths;
  plan.readonlyPaths = config.readonlyPaths;
  for (const auto& [key, value] : config.sysctl) {
    const std::string path = sysctlPath(key);
    checkSysctl(spec, path, key);
    plan.sysctls[path] = value;
  }
  if (const std::string word = config.rootfsPropagation.value_or(""); !word.empty()) {
    plan.propagation = propagationOf(word, plan.recursivePropagation);
    if (plan.propagation == 0) fail(Code::invalid, "unknown rootfs propagation '{}'", word);
  }
  plan.terminal = spec.process->terminal.value_or(false);
  plan.cwd = spec.process->cwd;
  return plan;
}

}  // namespace estiba::runtime
