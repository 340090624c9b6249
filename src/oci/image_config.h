#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "oci/digest.h"
#include "oci/platform.h"

namespace estiba::oci {

/// Durations in ns; zero inherits. Test: {} inherit, {"NONE"}, {"CMD", …}, {"CMD-SHELL", line}.
struct HealthConfig {
  std::vector<std::string> Test;
  int64_t Interval = 0;
  int64_t Timeout = 0;
  int64_t StartPeriod = 0;
  int64_t StartInterval = 0;
  int64_t Retries = 0;
  bool operator==(const HealthConfig&) const = default;
};
BOOST_DESCRIBE_STRUCT(HealthConfig, (), (Test, Interval, Timeout, StartPeriod, StartInterval, Retries))

/// How a container of the image runs: "config" in the image's JSON. Empty members are left out when written.
struct RunConfig {
  std::string User;
  std::map<std::string, Empty> ExposedPorts;  ///< "80/tcp"
  std::vector<std::string> Env;               ///< "K=V"
  std::vector<std::string> Entrypoint;
  std::vector<std::string> Cmd;
  std::map<std::string, Empty> Volumes;
  std::string WorkingDir;
  std::map<std::string, std::string> Labels;
  std::string StopSignal;
  bool ArgsEscaped = false;
  std::optional<HealthConfig> Healthcheck;
  std::vector<std::string> OnBuild;
  std::optional<int64_t> StopTimeout;  ///< seconds
  std::vector<std::string> Shell;
  bool operator==(const RunConfig&) const = default;
};
BOOST_DESCRIBE_STRUCT(RunConfig, (),
                      (User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal, ArgsEscaped,
                       Healthcheck, OnBuild, StopTimeout, Shell))

/// One instruction in the making of the image.
struct History {
  Time created;
  std::string createdBy;  ///< JSON "created_by"
  std::string author;
  std::string comment;
  bool emptyLayer = false;  ///< JSON "empty_layer": it made no layer
  bool operator==(const History&) const = default;
};

struct RootFs {
  std::string type = "layers";
  std::vector<Digest> diff_ids;  ///< bottom first
  bool operator==(const RootFs&) const = default;
};
BOOST_DESCRIBE_STRUCT(RootFs, (), (type, diff_ids))

/// An image's config: what the image ID is the sha256 of. Source: image-spec config.md; docker's extra members.
struct ImageConfig {
  Platform platform;  ///< JSON architecture, os, variant, os.version, os.features at the top level
  Time created;       ///< 0: not there
  std::string author;
  RunConfig config;
  RootFs rootfs;
  std::vector<History> history;
  // docker's own, written by it for committed and legacy-built images
  std::string comment;
  std::string parent;
  std::string dockerVersion;    ///< JSON "docker_version"
  std::string container;        ///< the container that was committed
  json::value containerConfig;  ///< JSON "container_config"; null: not there
  bool operator==(const ImageConfig&) const = default;

  /// Up to 8 MiB. Throws Error(invalid) "image config: …" for what is no image config: no rootfs of type "layers", a
  /// diffID that is none, more layers in the history than in the rootfs, a time that is none.
  static ImageConfig parse(std::string_view bytes);
  /// Compact JSON, members sorted by name as BuildKit writes them: the same config gives the same bytes.
  std::string bytes() const;
};

}  // namespace estiba::oci

namespace estiba {
template <>
json::value toJson(const oci::RunConfig& value);
template <>
json::value toJson(const oci::HealthConfig& value);
template <>
json::value toJson(const oci::History& value);
template <>
void fromJson(const json::value& from, oci::History& out, const std::string& path);
}  // namespace estiba
