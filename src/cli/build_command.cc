// build.
#include "apitypes/build_trace.h"
#include "apitypes/image.h"
#include "base/text.h"
#include "cli/build_call.h"
#include "cli/build_progress.h"
#include "cli/build_request.h"
#include "cli/commands.h"
#include "cli/flag_values.h"
#include "cli/run_flags.h"
#include "cli/session.h"
#include "http/json_stream.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

// What the engine said while it built.
struct Outcome {
  std::string id, explained;
  std::optional<apitypes::BuildCall> answer;
  bool failed = false;
};

Outcome follow(http::BodyReader& body, BuildRenderer& renderer) {
  Outcome out;
  http::JsonStreamReader reader(body);
  while (const auto message = reader.nextAs<apitypes::JsonMessage>()) {
    if (message->id == "estiba.build.trace" && message->aux) {
      const auto trace = fromJson<apitypes::BuildTrace>(*message->aux);
      if (trace.explain) out.explained = *trace.explain;
      else renderer.take(trace);
    } else if (message->id == "estiba.build.call" && message->aux) {
      out.answer = fromJson<apitypes::BuildCall>(*message->aux);
    } else if (message->errorDetail) {
      renderer.finish();
      renderer.failed(message->errorDetail->message);
      out.failed = true;
      return out;
    } else if (message->aux) {
      out.id = std::string(message->aux->at("ID").as_string());
    }
  }
  renderer.finish();
  return out;
}

int build(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  auto request = buildRequest(p);
  const BuildCallFlag call = parseCall(p.flag("check") ? "check" : p.str("call"));
  request.call = call.name;
  for (const auto& tag : request.tags) checkTag(tag);
  Fd context = chooseContext(s, p, request);
  if (!s.local()) fail(Code::not_implemented, "building on another host is not supported yet: unset DOCKER_HOST");
  http::ClientRequest post;
  post.method = "POST";
  post.url = "/build";
  post.headers.set("Content-Type", "application/vnd.estiba.build+json");
  post.body = dumpJson(toJson(request));
  if (context) post.passFds = {context.get()};

  const bool quiet = p.flag("quiet");
  auto renderer = makeBuildRenderer(s, quiet ? "quiet" : p.str("progress"));
  auto response = s.send(std::move(post));
  const Outcome outcome = follow(response.body(), *renderer);
  if (outcome.failed) return 1;
  if (outcome.answer) return printCall(cli, call, *outcome.answer);
  if (outcome.id.empty()) fail(Code::internal, "the engine ended before the build did");
  if (p.given("iidfile")) writeFileAtomic(p.str("iidfile"), outcome.id, 0644, false);
  if (quiet) cli.out() << outcome.id << '\n';
  if (!outcome.explained.empty()) cli.out() << outcome.explained;
  return 0;
}

int buildCommand(Cli& cli, const Parsed& p) {
  try {
    return build(cli, p);
  } catch (const ExitError&) {
    throw;
  } catch (const Error& e) {
    throw ExitError(1, std::string("ERROR: ") + e.what());
  }
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
      stringFlag("call", 0, "Set method for evaluating build (\"check\", \"outline\", \"targets\")", "build"),
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
