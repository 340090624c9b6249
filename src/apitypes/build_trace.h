#pragma once
// estiba's own door to a build: what our command line asks for beyond the query parameters of POST /build, and what it
// hears while the build runs. Other clients use the Engine API's parameters and its stream of texts.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apitypes/container_config.h"

namespace estiba::apitypes {

/// A secret's or an ssh agent's value by its id. `value` is base64.
struct BuildSecret {
  std::string id;
  std::string value;
};
BOOST_DESCRIBE_STRUCT(BuildSecret, (), (id, value))

/// Body of POST /build with Content-Type application/vnd.estiba.build+json. The context's directory comes with the
/// request as a descriptor (SCM_RIGHTS), or as a tar: `contextTar` says that the descriptor is a file.
struct BuildRequest {
  std::string dockerfile = "Dockerfile";         ///< path in the context, shown in errors
  std::optional<std::string> dockerfileContent;  ///< where it is not in the context
  std::optional<std::string> ignoreContent;      ///< of <Dockerfile>.dockerignore outside the context
  std::string contextName;                       ///< as shown: ".", a URL
  bool contextTar = false;
  std::string remote;  ///< git or http(s) context: fetched by the engine
  std::vector<std::string> tags;
  std::string target;
  std::map<std::string, Nullable<std::string>> buildArgs;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> buildContexts;
  bool noCache = false;
  std::vector<std::string> noCacheFilter;  ///< stage names
  bool pull = false;
  std::string platform;
  std::string network;
  std::vector<std::string> extraHosts;
  std::vector<BuildSecret> secrets;
  bool squash = false;
  bool explain = false;
  std::string call;             ///< a question instead of a build: lint, outline, targets
  std::string shownDockerfile;  ///< what the excerpts of a lint call it; empty: `dockerfile`
  std::optional<int> outputFd;  ///< nullopt: an image of this engine
  std::string outputType;       ///< "", local, tar, oci, docker, image
  apitypes::HostConfig limits;  ///< Memory, Cpu…, ShmSize, Ulimits, CgroupParent
};
BOOST_DESCRIBE_STRUCT(BuildRequest, (),
                      (dockerfile, dockerfileContent, ignoreContent, contextName, contextTar, remote, tags, target,
                       buildArgs, labels, buildContexts, noCache, noCacheFilter, pull, platform, network, extraHosts,
                       secrets, squash, explain, call, shownDockerfile, outputFd, outputType, limits))

/// One message while it runs: {"id":"estiba.build.trace","aux":{…}}.
struct BuildTrace {
  std::string vertex;               ///< which unit of work
  std::optional<std::string> name;  ///< with its first message
  std::optional<int64_t> started;   ///< ns since 1970
  std::optional<int64_t> completed;
  std::optional<bool> cached;
  std::optional<std::string> error;
  std::optional<int> stream;          ///< of `log`: 1 standard output, 2 standard error
  std::optional<std::string> log;     ///< base64
  std::optional<std::string> status;  ///< a line: "exporting layers done"
  std::optional<std::string> warning;  ///< one line
  std::optional<std::string> detail;   ///< of `warning`: what --debug shows below it
  std::optional<std::string> excerpt;  ///< lines of the Dockerfile, before the error that ends the build
  std::optional<std::string> explain;  ///< with `explain`: why a step ran, what that cost
};
BOOST_DESCRIBE_STRUCT(BuildTrace, (),
                      (vertex, name, started, completed, cached, error, stream, log, status, warning, detail, excerpt,
                       explain))

/// The answer to BuildRequest::call: {"id":"estiba.build.call","aux":{…}}.
struct BuildCall {
  json::value result;                ///< BuildKit's result.json
  std::optional<std::string> text;   ///< lint: as people read it
  std::optional<std::string> error;  ///< lint: what stopped the checks, with its excerpt
  int status = 0;                    ///< to exit with
};
BOOST_DESCRIBE_STRUCT(BuildCall, (), (result, text, error, status))

}  // namespace estiba::apitypes

#define ESTIBA_BUILD_TRACE_TYPES(X) \
  X(apitypes::BuildRequest)         \
  X(apitypes::BuildTrace)           \
  X(apitypes::BuildCall)

namespace estiba {
ESTIBA_BUILD_TRACE_TYPES(ESTIBA_EXTERN_JSON)
}
