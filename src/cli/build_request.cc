#include "cli/build_request.h"

#include <cstdlib>

#include "base/text.h"
#include "cli/flag_values.h"
#include "cli/run_flags.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

// "type=local,src=dir": the type and the rest.
std::pair<std::string, std::map<std::string, std::string>> cacheEntry(const std::string& text) {
  std::pair<std::string, std::map<std::string, std::string>> out;
  for (const auto& field : parseCsvRecord(text)) {
    const auto [key, value] = cut(field, '=');
    if (!value) fail(Code::invalid, "invalid value {}", field);
    if (toLower(key) == "type") out.first = *value;
    else out.second[toLower(key)] = *value;
  }
  if (out.first.empty()) fail(Code::invalid, "type required for {}", quoted(text));
  return out;
}

// --secret id=x[,src=path | ,env=NAME]
apitypes::BuildSecret readSecret(const std::string& text) {
  apitypes::BuildSecret out;
  std::string source;
  std::string env;
  std::string type;
  for (const auto& field : parseCsvRecord(text)) {
    const auto [key, value] = cut(field, '=');
    if (!value) fail(Code::invalid, "invalid field '{}' must be a key=value pair", field);
    if (key == "id") out.id = *value;
    else if (key == "src" || key == "source") source = *value;
    else if (key == "env") env = *value;
    else if (key == "type") type = *value;
    else fail(Code::invalid, "unexpected key '{}' in '{}'", key, field);
  }
  if (type == "env" && env.empty()) env = source.empty() ? out.id : source;
  if (!type.empty() && type != "file" && type != "env") fail(Code::invalid, "unsupported secret type {}", quoted(type));
  if (out.id.empty()) fail(Code::invalid, "secret missing ID: {}", text);
  const char* own = env.empty() && source.empty() ? ::getenv(out.id.c_str()) : env.empty() ? nullptr : ::getenv(env.c_str());
  if (!env.empty() || (source.empty() && own != nullptr)) {
    if (own == nullptr) fail(Code::not_found, "secret {}: environment variable {} is not set", out.id, env);
    out.value = base64Encode(own);
    return out;
  }
  const std::string path = source.empty() ? out.id : source;
  const auto value = tryReadFile(path, 500U << 10);
  if (!value) fail(Code::not_found, "failed to stat {}: no such file or directory", path);
  out.value = base64Encode(*value);
  return out;
}

// --cache-from: images by name, or type=registry,ref=NAME. Nothing is pulled yet, so that the engine says what it left.
std::vector<std::string> cacheSources(const Parsed& p) {
  std::vector<std::string> out;
  for (const auto& text : p.list("cache-from")) {
    if (text.empty()) continue;
    if (text.find('=') == std::string::npos) {
      for (const auto& name : parseCsvRecord(text)) out.push_back(name);
      continue;
    }
    const auto [type, attributes] = cacheEntry(text);
    if (type != "registry") fail(Code::not_implemented, "--cache-from type={} is not supported yet", type);
    if (!attributes.contains("ref")) fail(Code::invalid, "registry cache importer requires ref");
    out.push_back(attributes.at("ref"));
  }
  return out;
}

// --cache-to: only what asks for nothing that leaves this engine.
void checkCacheTargets(const Parsed& p) {
  for (const auto& text : p.list("cache-to")) {
    if (text.empty()) continue;
    const std::string type = text.find('=') == std::string::npos ? "registry" : cacheEntry(text).first;
    fail(Code::not_implemented, "--cache-to type={}: the cache cannot be exported yet", type);
  }
}

// --attest, --provenance, --sbom: none is made; what turns one off is welcome.
void checkAttestations(const Parsed& p) {
  auto all = p.list("attest");
  for (const char* type : {"provenance", "sbom"}) {
    const std::string value = p.str(type);
    if (value.empty()) continue;
    try {
      all.push_back(fmt::format("type={},disabled={}", type, parseGoBool(value) ? "false" : "true"));
    } catch (const Error&) {
      all.push_back(fmt::format("type={},{}", type, value));
    }
  }
  for (const auto& text : all) {
    std::string type;
    bool disabled = false;
    for (const auto& field : parseCsvRecord(text)) {
      const auto [key, value] = cut(field, '=');
      if (!value) fail(Code::invalid, "invalid value {}", field);
      if (key == "type") type = *value;
      else if (key == "disabled") disabled = parseGoBool(*value);
    }
    if (type.empty()) fail(Code::invalid, "attestation type not specified");
    if (!disabled) fail(Code::not_implemented, "attestations are not supported yet: {}", text);
  }
}

// --platform, or DOCKER_DEFAULT_PLATFORM.
std::string onlyPlatform(const Parsed& p) {
  auto all = p.list("platform");
  if (const char* own = ::getenv("DOCKER_DEFAULT_PLATFORM"); all.empty() && own != nullptr && *own != '\0') all = {own};
  const std::string text = join(all, ",");
  if (text.find(',') != std::string::npos) {
    fail(Code::not_implemented, "several platforms in one build are not supported yet: {}", text);
  }
  return text;
}

// --allow: what steps may be granted.
std::vector<std::string> entitlements(const Parsed& p) {
  std::vector<std::string> out;
  for (const auto& text : p.list("allow")) {
    if (text.empty()) continue;
    if (text == "device" || text.starts_with("device=")) {
      fail(Code::not_implemented, "--allow {}: devices cannot be given to a build step yet", text);
    }
    if (text != "network.host" && text != "security.insecure") fail(Code::invalid, "unknown entitlement {}", text);
    out.push_back(text);
  }
  return out;
}

}  // namespace

apitypes::BuildRequest buildRequest(const Parsed& p) {
  apitypes::BuildRequest out;
  out.tags = p.list("tag");
  out.target = p.str("target");
  for (const auto& arg : p.list("build-arg")) {
    const auto [name, value] = cut(arg, '=');
    if (value) {
      out.buildArgs[name] = *value;
    } else if (const char* own = ::getenv(name.c_str())) {
      out.buildArgs[name] = std::string(own);
    } else {
      out.buildArgs[name];
    }
  }
  for (const auto& label : p.list("label")) out.labels.insert(parseKeyValue(label));
  out.noCache = p.flag("no-cache");
  out.noCacheFilter = p.list("no-cache-filter");
  if (out.noCache && !out.noCacheFilter.empty()) {
    fail(Code::invalid, "--no-cache and --no-cache-filter cannot currently be used together");
  }
  out.cacheFrom = cacheSources(p);
  checkCacheTargets(p);
  checkAttestations(p);
  out.pull = p.flag("pull");
  out.platform = onlyPlatform(p);
  out.network = p.str("network");
  out.extraHosts = p.list("add-host");
  for (const auto& secret : p.list("secret")) out.secrets.push_back(readSecret(secret));
  out.allow = entitlements(p);
  out.squash = p.flag("squash");
  out.explain = p.flag("explain");
  auto& limits = out.limits;
  limits.Memory = p.integer("memory");
  limits.MemorySwap = p.integer("memory-swap");
  limits.CpuShares = p.integer("cpu-shares");
  limits.CpuPeriod = p.integer("cpu-period");
  limits.CpuQuota = p.integer("cpu-quota");
  limits.CpusetCpus = p.str("cpuset-cpus");
  limits.CpusetMems = p.str("cpuset-mems");
  limits.CgroupParent = p.str("cgroup-parent");
  limits.ShmSize = p.integer("shm-size");
  for (const auto& u : p.list("ulimit")) limits.Ulimits.push_back(parseUlimit(u));
  return out;
}

}  // namespace estiba::cli
