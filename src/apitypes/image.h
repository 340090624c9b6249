#pragma once
// Images as the Engine API shows them, and the progress messages of pull, push, load, build.
// Source: Engine API, ImageInspect, ImageSummary, ImageHistoryResponseItem, CreateImageInfo and their kin.

#include "apitypes/container_config.h"
#include "apitypes/oci_descriptor.h"

namespace estiba::apitypes {

/// The run-time part of an image's config, as image-spec and Docker's extensions have it: nothing that is empty.
struct ImageConfig {
  std::optional<std::string> User;
  std::optional<StringSet> ExposedPorts;
  std::optional<Strings> Env;
  std::optional<Strings> Entrypoint;
  std::optional<Strings> Cmd;
  std::optional<StringSet> Volumes;
  std::optional<std::string> WorkingDir;
  std::optional<StringMap> Labels;
  std::optional<std::string> StopSignal;
  std::optional<bool> ArgsEscaped;
  std::optional<HealthConfig> Healthcheck;
  std::optional<Strings> OnBuild;
  std::optional<Strings> Shell;
};
BOOST_DESCRIBE_STRUCT(ImageConfig, (),
                      (User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal, ArgsEscaped,
                       Healthcheck, OnBuild, Shell))

struct RootFs {
  std::string Type = "layers";
  Strings Layers;  ///< diffIDs
};
BOOST_DESCRIBE_STRUCT(RootFs, (), (Type, Layers))

struct ImageMetadata {
  std::string LastTagTime;
};
BOOST_DESCRIBE_STRUCT(ImageMetadata, (), (LastTagTime))

/// GET /images/{name}/json
struct ImageInspect {
  std::string Id;
  Strings RepoTags;
  Strings RepoDigests;
  std::string Parent;
  std::string Comment;
  std::optional<std::string> Created;
  std::string DockerVersion;
  std::string Author;
  ImageConfig Config;
  std::string Architecture;
  std::optional<std::string> Variant;
  std::string Os;
  std::optional<std::string> OsVersion;
  int64_t Size = 0;
  std::optional<int64_t> VirtualSize;  ///< API < 1.44
  GraphDriverData GraphDriver;
  RootFs RootFS;
  ImageMetadata Metadata;
  std::optional<OciDescriptor> Descriptor;
  std::optional<json::array> Manifests;
};
BOOST_DESCRIBE_STRUCT(ImageInspect, (),
                      (Id, RepoTags, RepoDigests, Parent, Comment, Created, DockerVersion, Author, Config, Architecture,
                       Variant, Os, OsVersion, Size, VirtualSize, GraphDriver, RootFS, Metadata, Descriptor, Manifests))

/// GET /images/json, one of many
struct ImageSummary {
  int64_t Containers = -1;  ///< -1: not counted
  int64_t Created = 0;      ///< seconds since 1970
  std::string Id;
  Nullable<StringMap> Labels;
  std::string ParentId;
  std::optional<OciDescriptor> Descriptor;
  std::optional<json::array> Manifests;
  Strings RepoDigests;
  Strings RepoTags;
  int64_t SharedSize = -1;  ///< -1: not computed
  int64_t Size = 0;
  std::optional<int64_t> VirtualSize;  ///< API < 1.44
};
BOOST_DESCRIBE_STRUCT(ImageSummary, (),
                      (Containers, Created, Id, Labels, ParentId, Descriptor, Manifests, RepoDigests, RepoTags,
                       SharedSize, Size, VirtualSize))

/// GET /images/{name}/history, one of many
struct HistoryItem {
  std::string Comment;
  int64_t Created = 0;  ///< seconds since 1970
  std::string CreatedBy;
  std::string Id = "<missing>";
  int64_t Size = 0;
  Nullable<Strings> Tags;
};
BOOST_DESCRIBE_STRUCT(HistoryItem, (), (Comment, Created, CreatedBy, Id, Size, Tags))

/// One of the two is set.
struct ImageDeleteItem {
  std::optional<std::string> Deleted;
  std::optional<std::string> Untagged;
};
BOOST_DESCRIBE_STRUCT(ImageDeleteItem, (), (Deleted, Untagged))

struct ImagesPruneReport {
  Nullable<std::vector<ImageDeleteItem>> ImagesDeleted;
  uint64_t SpaceReclaimed = 0;
};
BOOST_DESCRIBE_STRUCT(ImagesPruneReport, (), (ImagesDeleted, SpaceReclaimed))

/// GET /images/search, one of many
struct SearchResult {
  int64_t star_count = 0;
  bool is_official = false;
  std::string name;
  bool is_automated = false;
  std::string description;
};
BOOST_DESCRIBE_STRUCT(SearchResult, (), (star_count, is_official, name, is_automated, description))

/// GET /distribution/{name}/json
struct DistributionInspect {
  OciDescriptor Descriptor;
  std::vector<json::object> Platforms;
};
BOOST_DESCRIBE_STRUCT(DistributionInspect, (), (Descriptor, Platforms))

struct ProgressDetail {
  std::optional<int64_t> current;
  std::optional<int64_t> total;
  std::optional<int64_t> start;
  std::optional<bool> hidecounts;
  std::optional<std::string> units;
};
BOOST_DESCRIBE_STRUCT(ProgressDetail, (), (current, total, start, hidecounts, units))

struct ErrorDetail {
  std::optional<int64_t> code;
  std::string message;
};
BOOST_DESCRIBE_STRUCT(ErrorDetail, (), (code, message))

/// One message of the streams of pull, push, load, import, build: newline-delimited JSON.
struct JsonMessage {
  std::optional<std::string> stream;  ///< text to print as it is (build, load)
  std::optional<std::string> status;
  std::optional<ProgressDetail> progressDetail;  ///< {} with a status that belongs to an id
  std::optional<std::string> progress;           ///< the bar, drawn by the engine, for old clients
  std::optional<std::string> id;
  std::optional<std::string> from;
  std::optional<int64_t> time;
  std::optional<int64_t> timeNano;
  std::optional<ErrorDetail> errorDetail;
  std::optional<std::string> error;  ///< errorDetail.message again
  std::optional<json::value> aux;    ///< build: {"ID": "sha256:…"}; push: {"Tag", "Digest", "Size"}
};
BOOST_DESCRIBE_STRUCT(JsonMessage, (),
                      (stream, status, progressDetail, progress, id, from, time, timeNano, errorDetail, error, aux))

/// JsonMessage::aux of a build.
struct BuildResult {
  std::string ID;
};
BOOST_DESCRIBE_STRUCT(BuildResult, (), (ID))

/// JsonMessage::aux of a push.
struct PushResult {
  std::string Tag;
  std::string Digest;
  int64_t Size = 0;
};
BOOST_DESCRIBE_STRUCT(PushResult, (), (Tag, Digest, Size))

}  // namespace estiba::apitypes

#define ESTIBA_IMAGE_TYPES(X)            \
  X(apitypes::ImageConfig)               \
  X(apitypes::ImageInspect)              \
  X(apitypes::ImageSummary)              \
  X(apitypes::HistoryItem)               \
  X(apitypes::ImageDeleteItem)           \
  X(apitypes::ImagesPruneReport)         \
  X(apitypes::SearchResult)              \
  X(apitypes::DistributionInspect)       \
  X(apitypes::JsonMessage)               \
  X(apitypes::BuildResult)               \
  X(apitypes::PushResult)                \
  X(std::vector<apitypes::ImageSummary>) \
  X(std::vector<apitypes::HistoryItem>)  \
  X(std::vector<apitypes::ImageDeleteItem>)

namespace estiba {
ESTIBA_IMAGE_TYPES(ESTIBA_EXTERN_JSON)
}
