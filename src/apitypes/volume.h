#pragma once
// Volumes. Source: Engine API, Volume, VolumeCreateRequest, VolumeListResponse.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apitypes/extern_json.h"

namespace estiba::apitypes {

struct VolumeUsage {
  int64_t RefCount = -1;  ///< -1: not counted
  int64_t Size = -1;      ///< bytes, -1: not measured
};
BOOST_DESCRIBE_STRUCT(VolumeUsage, (), (RefCount, Size))

struct Volume {
  std::optional<std::string> CreatedAt;
  std::string Driver = "local";
  Nullable<std::map<std::string, std::string>> Labels;
  std::string Mountpoint;
  std::string Name;
  Nullable<std::map<std::string, std::string>> Options;
  std::string Scope = "local";
  std::optional<json::object> Status;
  std::optional<VolumeUsage> UsageData;  ///< only in disk usage
};
BOOST_DESCRIBE_STRUCT(Volume, (), (CreatedAt, Driver, Labels, Mountpoint, Name, Options, Scope, Status, UsageData))

/// Body of POST /volumes/create
struct VolumeCreateRequest {
  std::optional<std::string> Name;  ///< unset or "": an anonymous volume
  std::optional<std::string> Driver;
  std::optional<std::map<std::string, std::string>> DriverOpts;
  std::optional<std::map<std::string, std::string>> Labels;
  std::optional<json::object> ClusterVolumeSpec;
};
BOOST_DESCRIBE_STRUCT(VolumeCreateRequest, (), (Name, Driver, DriverOpts, Labels, ClusterVolumeSpec))

struct VolumeListResponse {
  std::vector<Volume> Volumes;
  Nullable<std::vector<std::string>> Warnings;
};
BOOST_DESCRIBE_STRUCT(VolumeListResponse, (), (Volumes, Warnings))

struct VolumesPruneReport {
  Nullable<std::vector<std::string>> VolumesDeleted;
  uint64_t SpaceReclaimed = 0;
};
BOOST_DESCRIBE_STRUCT(VolumesPruneReport, (), (VolumesDeleted, SpaceReclaimed))

}  // namespace estiba::apitypes

#define ESTIBA_VOLUME_TYPES(X)     \
  X(apitypes::Volume)              \
  X(apitypes::VolumeCreateRequest) \
  X(apitypes::VolumeListResponse)  \
  X(apitypes::VolumesPruneReport)  \
  X(std::vector<apitypes::Volume>)

namespace estiba {
ESTIBA_VOLUME_TYPES(ESTIBA_EXTERN_JSON)
}
