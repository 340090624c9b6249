#include "cli/build_request.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/text.h"
#include "cli/flag_values.h"
#include "cli/run_flags.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

bool isRemote(const std::string& context) {
  return context.starts_with("http://") || context.starts_with("https://") || context.starts_with("git://") ||
         context.starts_with("git@") || context.starts_with("ssh://") || context.starts_with("github.com/");
}

std::string readStdin(Session& s) { return readAll(s.streams().inFd, "standard input", 64U << 20); }

// All of a stream in a file without a name: the engine looks at it more than once.
Fd spool(int from) {
  Fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) file = anonymousFile("", "context");
  char buffer[65536];
  for (;;) {
    const ssize_t n = sys([&] { return ::read(from, buffer, sizeof buffer); }, "read the context");
    if (n == 0) break;
    writeAll(file.get(), {buffer, static_cast<size_t>(n)}, "context");
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

bool looksLikeTar(int fd) {
  char head[512] = {};
  const ssize_t n = ::pread(fd, head, sizeof head, 0);
  if (n < 4) return false;
  const std::string_view start(head, static_cast<size_t>(n));
  return start.starts_with("\x1f\x8b") || start.starts_with("BZh") || start.starts_with("\xfd" "7zXZ") ||
         start.starts_with("\x28\xb5\x2f\xfd") || (n >= 262 && start.substr(257, 5) == "ustar");
}

std::string absolute(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return "";
  std::string out = real;
  ::free(real);
  return out;
}

// What a lint calls the Dockerfile: the path as it was given.
std::string shownDockerfile(const std::string& context, const std::string& file) {
  if (file == "-") return "stdin";
  if (!file.empty()) return file;
  if (context == "-" || isRemote(context)) return "";
  std::string dir = context;
  while (dir.starts_with("./")) dir.erase(0, 2);
  while (dir.ends_with('/') && dir.size() > 1) dir.pop_back();
  return dir.empty() || dir == "." ? "Dockerfile" : dir == "/" ? "/Dockerfile" : dir + "/Dockerfile";
}

}  // namespace

Fd chooseContext(Session& s, const Parsed& p, apitypes::BuildRequest& request) {
  const std::string context = p.args[0];
  const std::string file = p.str("file");
  request.contextName = context;
  request.shownDockerfile = shownDockerfile(context, file);
  if (context == "-") {
    if (file == "-") fail(Code::invalid, "invalid argument: can't use stdin for both build context and dockerfile");
    Fd spooled = spool(s.streams().inFd);
    if (looksLikeTar(spooled.get())) {
      request.contextTar = true;
      if (!file.empty()) request.dockerfile = file;
      return spooled;
    }
    request.dockerfileContent = readAll(spooled.get(), "standard input");
    return {};
  }
  if (isRemote(context)) {
    request.remote = context;
    if (!file.empty()) request.dockerfile = file;
    return {};
  }
  const std::string dir = absolute(context);
  struct stat st{};
  if (dir.empty() || ::stat(dir.c_str(), &st) != 0) {
    fail(Code::not_found, "unable to prepare context: path {} not found", quoted(context));
  }
  if (!S_ISDIR(st.st_mode)) {
    fail(Code::invalid, "unable to prepare context: context must be a directory: {}", context);
  }
  Fd opened = openFile(dir, O_PATH | O_DIRECTORY);
  if (file == "-") {
    request.dockerfileContent = readStdin(s);
    return opened;
  }
  if (file.empty()) return opened;
  if (isRemote(file)) fail(Code::not_implemented, "--file {}: a remote Dockerfile is not supported yet", file);
  const std::string path = absolute(file);
  if (path.empty()) {
    fail(Code::not_found, "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {}: no such file or directory",
         file);
  }
  if (path.starts_with(dir + "/")) {
    request.dockerfile = path.substr(dir.size() + 1);
    return opened;
  }
  request.dockerfile = file.substr(file.rfind('/') + 1);
  request.dockerfileContent = readFile(path);
  request.ignoreContent = tryReadFile(path + ".dockerignore");
  return opened;
}

namespace {

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

void addOutput(const Parsed& p, apitypes::BuildRequest& request) {
  const auto outputs = p.list("output");
  if (outputs.size() > 1) fail(Code::not_implemented, "several --output are not supported yet");
  for (const auto& output : outputs) {
    for (const auto& field : parseCsvRecord(output)) {
      const auto [key, value] = cut(field, '=');
      if (!value) request.outputType = "local";
      else if (key == "type") request.outputType = *value;
    }
  }
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
  for (const auto& context : p.list("build-context")) {
    const auto [name, where] = cut(context, '=');
    if (!where) fail(Code::invalid, "invalid context value: {}, expected key=value", context);
    out.buildContexts[name] = *where;
  }
  out.noCache = p.flag("no-cache");
  out.noCacheFilter = p.list("no-cache-filter");
  out.pull = p.flag("pull");
  out.platform = p.str("platform");
  out.network = p.str("network");
  out.extraHosts = p.list("add-host");
  for (const auto& secret : p.list("secret")) out.secrets.push_back(readSecret(secret));
  if (!p.list("ssh").empty()) fail(Code::not_implemented, "--ssh is not supported yet");
  out.squash = p.flag("squash");
  out.explain = p.flag("explain");
  addOutput(p, out);
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
