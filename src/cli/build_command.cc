// build.
#include <unistd.h>

#include "apitypes/build_trace.h"
#include "apitypes/image.h"
#include "base/text.h"
#include "cli/build_call.h"
#include "cli/build_context.h"
#include "cli/build_output.h"
#include "cli/build_progress.h"
#include "cli/build_request.h"
#include "cli/build_ssh.h"
#include "cli/commands.h"
#include "cli/flag_values.h"
#include "cli/go_json.h"
#include "cli/run_flags.h"
#include "cli/session.h"
#include "http/json_stream.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

// What the engine said while it built.
struct Outcome {
  std::optional<apitypes::BuildDone> done;
  std::optional<apitypes::BuildCall> answer;
  std::string explained;
  std::string failure;  // what ended the build; empty: nothing did
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
    } else if (message->id == "estiba.build.done" && message->aux) {
      out.done = fromJson<apitypes::BuildDone>(*message->aux);
    } else if (message->errorDetail) {
      out.failure = message->errorDetail->message;
    }
  }
  renderer.finish();
  return out;
}

// As buildx writes it: of a call, the answer.
void writeMetadata(const std::string& path, const Outcome& outcome) {
  std::map<std::string, json::value> out;  // sorted, as Go writes maps
  if (outcome.answer) {
    out["result.json"] = outcome.answer->result;
    out["result.statuscode"] = std::to_string(outcome.answer->status);
  } else {
    for (const auto& item : outcome.done->metadata) out[item.key()] = item.value();
  }
  writeFileAtomic(path, goJson(toJson(out), {.indent = "  ", .escapeHtml = true}), 0644, false);
}

int build(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  auto request = buildRequest(p);
  const BuildCallFlag call = parseCall(p.flag("check") ? "check" : p.str("call"));
  request.call = call.name;
  for (const auto& tag : request.tags) checkTag(tag);
  const auto outputs = call.name.empty() ? parseOutputs(s, p) : std::vector<Output>();
  const std::string idFile = p.str("iidfile");
  for (const auto& output : outputs) {
    const auto& type = output.request.type;
    if (!idFile.empty() && (type == "local" || type == "tar")) {
      fail(Code::invalid, "local and tar exporters are incompatible with image ID file");
    }
  }
  if (!idFile.empty() && ::unlink(idFile.c_str()) != 0 && errno != ENOENT) {  // of a build that fails, none stays
    throw SysError(errno, fmt::format("removing image ID file: remove {}", idFile));
  }
  Descriptors descriptors;
  addContext(s, p, request, descriptors);
  addNamedContexts(p, request, descriptors);
  if (!s.local()) fail(Code::not_implemented, "building on another host is not supported yet: unset DOCKER_HOST");
  const auto agents = addSshAgents(p, request, descriptors);
  OutputStreams streams(s, outputs);
  const auto writers = streams.writers();
  auto writer = writers.begin();
  for (const auto& output : outputs) {
    request.outputs.push_back(output.request);
    if (!output.dest.empty()) request.outputs.back().fd = descriptors.borrow(*writer++);
  }
  http::ClientRequest post;
  post.method = "POST";
  post.url = "/build";
  post.headers.set("Content-Type", "application/vnd.estiba.build+json");
  post.body = dumpJson(toJson(request));
  post.passFds = descriptors.numbers();

  const bool quiet = p.flag("quiet");
  auto renderer = makeBuildRenderer(s, quiet ? "quiet" : p.str("progress"));
  auto response = s.send(std::move(post));
  streams.sent();
  const Outcome outcome = follow(response.body(), *renderer);
  streams.finish(outcome.failure.empty());
  if (!outcome.failure.empty()) {
    renderer->failed(outcome.failure);
    return 1;
  }
  if (!outcome.done && !outcome.answer) fail(Code::internal, "the engine ended before the build did");
  if (p.given("metadata-file")) writeMetadata(p.str("metadata-file"), outcome);
  if (outcome.answer) return printCall(cli, call, *outcome.answer);
  const std::string& id = outcome.done->id;
  if (!idFile.empty()) writeFileAtomic(idFile, id, 0644, false);
  if (quiet && !id.empty() && !streams.usesStdout()) cli.out() << id << '\n';
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
      listFlag("cache-from", 0, "Images to consider as cache sources").typed("strings"),
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
      listFlag("platform", 0, "Set platform if server is multi-platform capable").typed("string"),
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
      stringsFlag("allow", 0, "Allow extra privileged entitlement (e.g., \"network.host\", \"security.insecure\")"),
      listFlag("annotation", 0, "Add annotation to the image").typed("strings"),
      listFlag("attest", 0, "Attestation parameters (format: \"type=sbom,generator=image\")").typed("strings"),
      listFlag("build-context", 0, "Additional build contexts (e.g., name=path)"),
      listFlag("cache-to", 0, "Cache export destinations").typed("strings"),
      stringFlag("call", 0, "Set method for evaluating build (\"check\", \"outline\", \"targets\")", "build"),
      boolFlag("check", 0, "Shorthand for \"--call=check\""),
      boolFlag("explain", 0, "Say why steps were not cached, and what that cost"),
      boolFlag("load", 0, "Shorthand for \"--output=type=docker\""),
      stringFlag("metadata-file", 0, "Write build result metadata to a file"),
      stringsFlag("no-cache-filter", 0, "Do not cache specified stages"),
      listFlag("output", 'o', "Output destination (format: \"type=local,dest=path\")"),
      stringFlag("progress", 0, "Set type of progress output (\"auto\", \"plain\", \"quiet\", \"rawjson\", \"tty\")", "auto"),
      stringFlag("provenance", 0, "Shorthand for \"--attest=type=provenance\""),
      boolFlag("push", 0, "Shorthand for \"--output=type=registry\"").refused("pushing is not supported yet"),
      stringFlag("sbom", 0, "Shorthand for \"--attest=type=sbom\""),
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
