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

/// A secret by its id. `value` is base64.
struct BuildSecret {
  std::string id;
  std::string value;
};
BOOST_DESCRIBE_STRUCT(BuildSecret, (), (id, value))

/// An ssh agent by its id.
struct BuildSsh {
  std::string id;
  std::optional<int> fd;  ///< which of the request's descriptors is its socket, opened with O_PATH
};
BOOST_DESCRIBE_STRUCT(BuildSsh, (), (id, fd))

/// A key and value in a manifest, or in the descriptor of one.
struct BuildAnnotation {
  std::string type;      ///< manifest, manifest-descriptor, index, index-descriptor; empty: manifest
  std::string platform;  ///< of the manifest; empty: any
  std::string key;
  std::string value;
};
BOOST_DESCRIBE_STRUCT(BuildAnnotation, (), (type, platform, key, value))

/// One --output. What goes to the client goes into its descriptor: of local a tar to be unpacked.
struct BuildOutput {
  std::string type;                               ///< image, local, tar, oci, docker, cacheonly
  std::map<std::string, std::string> attributes;  ///< name, compression, …
  std::vector<BuildAnnotation> annotations;
  std::optional<int> fd;  ///< which of the request's descriptors; none: an image of this engine
};
BOOST_DESCRIBE_STRUCT(BuildOutput, (), (type, attributes, annotations, fd))

/// One --build-context: docker-image://, a remote place, or a directory of the client.
struct NamedContext {
  std::string where;      ///< as written
  std::optional<int> fd;  ///< which of the request's descriptors is its directory
};
BOOST_DESCRIBE_STRUCT(NamedContext, (), (where, fd))

/// Body of POST /build with Content-Type application/vnd.estiba.build+json. Descriptors (SCM_RIGHTS) that come with the
/// request are named by their place among them: the context's directory (or file, with `contextTar`), outputs, named
/// contexts, ssh agents.
struct BuildRequest {
  std::string dockerfile = "Dockerfile";         ///< path in the context, shown in errors
  std::optional<std::string> dockerfileContent;  ///< where it is not in the context
  std::optional<std::string> ignoreContent;      ///< of <Dockerfile>.dockerignore outside the context
  std::string contextName;                       ///< as shown: ".", a URL
  std::optional<int> contextFd;
  bool contextTar = false;
  std::string remote;  ///< git or http(s) context: fetched by the engine
  std::vector<std::string> tags;
  std::string target;
  std::map<std::string, Nullable<std::string>> buildArgs;
  std::map<std::string, std::string> labels;
  std::map<std::string, NamedContext> buildContexts;
  std::vector<std::string> cacheFrom;  ///< names of images that would be pulled for their cache
  bool noCache = false;
  std::vector<std::string> noCacheFilter;  ///< stage names
  bool pull = false;
  std::string platform;
  std::string network;
  std::vector<std::string> extraHosts;
  std::vector<BuildSecret> secrets;
  std::vector<BuildSsh> ssh;
  std::vector<std::string> allow;  ///< what is granted: network.host, security.insecure
  bool squash = false;
  bool explain = false;
  std::string call;             ///< a question instead of a build: lint, outline, targets
  std::string shownDockerfile;  ///< what the excerpts of a lint call it; empty: `dockerfile`
  std::vector<BuildOutput> outputs;  ///< none: an image of this engine
  apitypes::HostConfig limits;       ///< Memory, Cpu…, ShmSize, Ulimits, CgroupParent
};
BOOST_DESCRIBE_STRUCT(BuildRequest, (),
                      (dockerfile, dockerfileContent, ignoreContent, contextName, contextFd, contextTar, remote, tags,
                       target, buildArgs, labels, buildContexts, cacheFrom, noCache, noCacheFilter, pull, platform,
                       network, extraHosts, secrets, ssh, allow, squash, explain, call, shownDockerfile, outputs,
                       limits))

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

/// How a build ended well: {"id":"estiba.build.done","aux":{…}}.
struct BuildDone {
  std::string id;         ///< of the image; empty where none was made
  json::object metadata;  ///< what --metadata-file holds: "containerimage.digest" …
};
BOOST_DESCRIBE_STRUCT(BuildDone, (), (id, metadata))

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
  X(apitypes::BuildDone)            \
  X(apitypes::BuildCall)

namespace estiba {
ESTIBA_BUILD_TRACE_TYPES(ESTIBA_EXTERN_JSON)
}
