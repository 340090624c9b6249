// build.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "apitypes/build_trace.h"
#include "apitypes/image.h"
#include "base/text.h"
#include "cli/build_progress.h"
#include "cli/commands.h"
#include "cli/flag_values.h"
#include "cli/run_flags.h"
#include "cli/session.h"
#include "http/json_stream.h"
#include "sys/file.h"
#include "sys/root_dir.h"

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

// The context, and where the Dockerfile is.
Fd chooseContext(Session& s, const Parsed& p, apitypes::BuildRequest& request) {
  const std::string context = p.args[0];
  const std::string file = p.str("file");
  request.contextName = context;
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

apitypes::BuildRequest requestOf(const Parsed& p) {
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
  out.check = p.flag("check") || p.str("call") == "check" || p.str("call") == "lint";
  if (p.given("call") && !out.check && p.str("call") != "build") {
    fail(Code::not_implemented, "--call={} is not supported yet", p.str("call"));
  }
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

int buildCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  auto request = requestOf(p);
  for (const auto& tag : request.tags) checkTag(tag);
  Fd context = chooseContext(s, p, request);
  if (!s.local()) fail(Code::not_implemented, "building on another host is not supported yet: unset DOCKER_HOST");
  http::ClientRequest post;
  post.method = "POST";
  post.url = "/build";
  post.headers.set("Content-Type", "application/vnd.estiba.build+json");
  post.body = dumpJson(toJson(request));
  if (context) post.passFd = context.get();

  const bool quiet = p.flag("quiet");
  auto renderer = makeBuildRenderer(s, quiet ? "quiet" : p.str("progress"));
  auto response = s.send(std::move(post));
  http::JsonStreamReader reader(response.body());
  std::string id;
  std::string explained;
  while (const auto message = reader.nextAs<apitypes::JsonMessage>()) {
    if (message->id == "estiba.build.trace" && message->aux) {
      const auto trace = fromJson<apitypes::BuildTrace>(*message->aux);
      if (trace.explain) explained = *trace.explain;
      else renderer->take(trace);
    } else if (message->errorDetail) {
      renderer->finish();
      renderer->failed(message->errorDetail->message);
      return 1;
    } else if (message->aux) {
      id = std::string(message->aux->at("ID").as_string());
    }
  }
  renderer->finish();
  if (id.empty()) throw ExitError(1, "ERROR: the engine ended before the build did");
  if (p.given("iidfile")) writeFileAtomic(p.str("iidfile"), id, 0644, false);
  if (quiet) cli.out() << id << '\n';
  if (!explained.empty()) cli.out() << explained;
  return 0;
}

std::vector<Flag> buildFlags() {
  std::vector<Flag> flags = {
      listFlag("add-host", 0, "Add a custom host-to-IP mapping (\"host:ip\")"),
      listFlag("build-arg", 0, "Set build-time variables"),
      stringsFlag("cache-from", 0, "Images to consider as cache sources"),
      stringFlag("cgroup-parent", 0, "Set the parent cgroup for the \"RUN\" instructions during build"),
      boolFlag("compress", 0, "Compress the build context using gzip"),
      intFlag("cpu-period", 0, "Limit the CPU CFS (Completely Fair Scheduler) period"),
      intFlag("cpu-quota", 0, "Limit the CPU CFS (Completely Fair Scheduler) quota"),
      intFlag("cpu-shares", 'c', "CPU shares (relative weight)"),
      stringFlag("cpuset-cpus", 0, "CPUs in which to allow execution (0-3, 0,1)"),
      stringFlag("cpuset-mems", 0, "MEMs in which to allow execution (0-3, 0,1)"),
      boolFlag("disable-content-trust", 0, "Skip image verification", true),
      stringFlag("file", 'f', "Name of the Dockerfile (Default is \"PATH/Dockerfile\")"),
      boolFlag("force-rm", 0, "Always remove intermediate containers"),
      stringFlag("iidfile", 0, "Write the image ID to the file"),
      stringFlag("isolation", 0, "Container isolation technology"),
      listFlag("label", 0, "Set metadata for an image"),
      bytesFlag("memory", 'm', "Memory limit"),
      swapBytesFlag("memory-swap", 0, "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
      stringFlag("network", 0, "Set the networking mode for the RUN instructions during build", "default"),
      boolFlag("no-cache", 0, "Do not use cache when building the image"),
      stringFlag("platform", 0, "Set platform if server is multi-platform capable"),
      boolFlag("pull", 0, "Always attempt to pull a newer version of the image"),
      boolFlag("quiet", 'q', "Suppress the build output and print image ID on success"),
      boolFlag("rm", 0, "Remove intermediate containers after a successful build", true),
      stringsFlag("security-opt", 0, "Security options"),
      bytesFlag("shm-size", 0, "Size of \"/dev/shm\""),
      boolFlag("squash", 0, "Squash newly built layers into a single new layer"),
      listFlag("tag", 't', "Name and optionally a tag in the \"name:tag\" format"),
      stringFlag("target", 0, "Set the target build stage to build."),
      customFlag("ulimit", 0, "ulimit", "Ulimit options", checkUlimit, "[]"),
  };
  // What buildx's command has beyond the classic builder's.
  flags.insert(flags.end(), {
      stringsFlag("allow", 0, "Allow extra privileged entitlement (e.g., \"network.host\", \"security.insecure\")").refused("entitlements are not granted yet"),
      stringsFlag("attest", 0, "Attestation parameters (format: \"type=sbom,generator=image\")").refused("attestations are not supported yet"),
      stringsFlag("annotation", 0, "Add annotation to the image").refused("annotations are not supported yet"),
      listFlag("build-context", 0, "Additional build contexts (e.g., name=path)"),
      stringsFlag("cache-to", 0, "Cache export destinations").refused("the cache cannot be exported yet"),
      stringFlag("call", 0, "Set method for evaluating build (\"check\", \"outline\", \"targets\")"),
      boolFlag("check", 0, "Shorthand for \"--call=check\""),
      boolFlag("explain", 0, "Say why steps were not cached, and what that cost"),
      boolFlag("load", 0, "Shorthand for \"--output=type=docker\""),
      stringsFlag("no-cache-filter", 0, "Do not cache specified stages"),
      listFlag("output", 'o', "Output destination (format: \"type=local,dest=path\")"),
      stringFlag("progress", 0, "Set type of progress output (\"auto\", \"plain\", \"quiet\", \"rawjson\", \"tty\")", "auto"),
      boolFlag("push", 0, "Shorthand for \"--output=type=registry\"").refused("pushing is not supported yet"),
      listFlag("secret", 0, "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret]\")"),
      listFlag("ssh", 0, "SSH agent socket or keys to expose to the build"),
  });
  return flags;
}

}  // namespace

const Command& buildCommandSpec() {
  static const Command command{.name = "build",
                               .args = "PATH | URL | -",
                               .summary = "Build an image from a Dockerfile",
                               .flags = buildFlags(),
                               .arity = exactly(1),
                               .shortcut = "build",
                               .shortcutGroup = HelpGroup::common,
                               .run = buildCommand};
  return command;
}

}  // namespace estiba::cli
