#pragma once
// What a container is made from: the portable part (ContainerConfig) and the host's part (HostConfig).
// Source: Engine API, definitions ContainerConfig, HostConfig, Resources, Mount, EndpointSettings. Member names are the
// JSON keys, in the order in which Docker writes them; durations are int64 nanoseconds.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apitypes/extern_json.h"

namespace estiba::apitypes {

using Strings = std::vector<std::string>;
using StringMap = std::map<std::string, std::string>;
using StringSet = std::map<std::string, Empty>;  ///< Go's map[string]struct{}: {"80/tcp": {}}

/// Zero or unset means "inherit". Test: {} inherit, {"NONE"}, {"CMD", …}, {"CMD-SHELL", line}.
struct HealthConfig {
  std::optional<Strings> Test;
  std::optional<int64_t> Interval;       ///< ns
  std::optional<int64_t> Timeout;        ///< ns
  std::optional<int64_t> StartPeriod;    ///< ns
  std::optional<int64_t> StartInterval;  ///< ns
  std::optional<int64_t> Retries;
};
BOOST_DESCRIBE_STRUCT(HealthConfig, (), (Test, Interval, Timeout, StartPeriod, StartInterval, Retries))

struct ContainerConfig {
  std::string Hostname;
  std::string Domainname;
  std::string User;
  bool AttachStdin = false;
  bool AttachStdout = false;
  bool AttachStderr = false;
  std::optional<StringSet> ExposedPorts;
  bool Tty = false;
  bool OpenStdin = false;
  bool StdinOnce = false;
  Strings Env;
  Nullable<Strings> Cmd;
  std::optional<HealthConfig> Healthcheck;
  std::optional<bool> ArgsEscaped;
  std::string Image;
  Nullable<StringSet> Volumes;
  std::string WorkingDir;
  Nullable<Strings> Entrypoint;
  std::optional<bool> NetworkDisabled;
  std::optional<std::string> MacAddress;  ///< API < 1.44
  Nullable<Strings> OnBuild;
  StringMap Labels;
  std::optional<std::string> StopSignal;
  std::optional<int64_t> StopTimeout;  ///< seconds; unset: the engine's default (10)
  std::optional<Strings> Shell;
};
BOOST_DESCRIBE_STRUCT(ContainerConfig, (),
                      (Hostname, Domainname, User, AttachStdin, AttachStdout, AttachStderr, ExposedPorts, Tty,
                       OpenStdin, StdinOnce, Env, Cmd, Healthcheck, ArgsEscaped, Image, Volumes, WorkingDir, Entrypoint,
                       NetworkDisabled, MacAddress, OnBuild, Labels, StopSignal, StopTimeout, Shell))

struct LogConfig {
  std::string Type;
  StringMap Config;
};
BOOST_DESCRIBE_STRUCT(LogConfig, (), (Type, Config))

struct PortBinding {
  std::string HostIp;
  std::string HostPort;  ///< a number, a range "8000-8010" in requests, or empty (any)
};
BOOST_DESCRIBE_STRUCT(PortBinding, (), (HostIp, HostPort))

/// "80/tcp" -> bindings; null: exposed, not published.
using PortMap = std::map<std::string, Nullable<std::vector<PortBinding>>>;

struct RestartPolicy {
  std::string Name;  ///< "" or no, always, unless-stopped, on-failure
  int64_t MaximumRetryCount = 0;
};
BOOST_DESCRIBE_STRUCT(RestartPolicy, (), (Name, MaximumRetryCount))

struct BindOptions {
  std::optional<std::string> Propagation;
  std::optional<bool> NonRecursive;
  std::optional<bool> CreateMountpoint;
  std::optional<bool> ReadOnlyNonRecursive;
  std::optional<bool> ReadOnlyForceRecursive;
};
BOOST_DESCRIBE_STRUCT(BindOptions, (),
                      (Propagation, NonRecursive, CreateMountpoint, ReadOnlyNonRecursive, ReadOnlyForceRecursive))

struct MountDriver {
  std::optional<std::string> Name;
  std::optional<StringMap> Options;
};
BOOST_DESCRIBE_STRUCT(MountDriver, (), (Name, Options))

struct VolumeOptions {
  std::optional<bool> NoCopy;
  std::optional<StringMap> Labels;
  std::optional<std::string> Subpath;
  std::optional<MountDriver> DriverConfig;
};
BOOST_DESCRIBE_STRUCT(VolumeOptions, (), (NoCopy, Labels, Subpath, DriverConfig))

struct ImageOptions {
  std::optional<std::string> Subpath;
};
BOOST_DESCRIBE_STRUCT(ImageOptions, (), (Subpath))

struct TmpfsOptions {
  std::optional<int64_t> SizeBytes;
  std::optional<uint32_t> Mode;
  std::optional<std::vector<Strings>> Options;
};
BOOST_DESCRIBE_STRUCT(TmpfsOptions, (), (SizeBytes, Mode, Options))

/// What --mount asks for.
struct Mount {
  std::optional<std::string> Type;  ///< bind, volume, tmpfs, image, npipe, cluster
  std::optional<std::string> Source;
  std::optional<std::string> Target;
  std::optional<bool> ReadOnly;
  std::optional<std::string> Consistency;
  std::optional<apitypes::BindOptions> BindOptions;
  std::optional<apitypes::VolumeOptions> VolumeOptions;
  std::optional<apitypes::ImageOptions> ImageOptions;
  std::optional<apitypes::TmpfsOptions> TmpfsOptions;
};
BOOST_DESCRIBE_STRUCT(Mount, (),
                      (Type, Source, Target, ReadOnly, Consistency, BindOptions, VolumeOptions, ImageOptions,
                       TmpfsOptions))

struct WeightDevice {
  std::string Path;
  uint16_t Weight = 0;
};
BOOST_DESCRIBE_STRUCT(WeightDevice, (), (Path, Weight))

struct ThrottleDevice {
  std::string Path;
  uint64_t Rate = 0;
};
BOOST_DESCRIBE_STRUCT(ThrottleDevice, (), (Path, Rate))

struct DeviceMapping {
  std::string PathOnHost;
  std::string PathInContainer;
  std::string CgroupPermissions;
};
BOOST_DESCRIBE_STRUCT(DeviceMapping, (), (PathOnHost, PathInContainer, CgroupPermissions))

struct DeviceRequest {
  std::string Driver;
  int64_t Count = 0;
  Nullable<Strings> DeviceIDs;
  Nullable<std::vector<Strings>> Capabilities;
  StringMap Options;
};
BOOST_DESCRIBE_STRUCT(DeviceRequest, (), (Driver, Count, DeviceIDs, Capabilities, Options))

struct Ulimit {
  std::string Name;
  int64_t Hard = 0;
  int64_t Soft = 0;
};
BOOST_DESCRIBE_STRUCT(Ulimit, (), (Name, Hard, Soft))

/// Bytes, counts, microseconds as the cgroup files take them. 0: no limit (in an update: leave as it is).
struct Resources {
  int64_t CpuShares = 0;
  int64_t Memory = 0;
  int64_t NanoCpus = 0;
  std::string CgroupParent;
  uint16_t BlkioWeight = 0;
  std::vector<WeightDevice> BlkioWeightDevice;
  std::vector<ThrottleDevice> BlkioDeviceReadBps;
  std::vector<ThrottleDevice> BlkioDeviceWriteBps;
  std::vector<ThrottleDevice> BlkioDeviceReadIOps;
  std::vector<ThrottleDevice> BlkioDeviceWriteIOps;
  int64_t CpuPeriod = 0;           ///< us
  int64_t CpuQuota = 0;            ///< us per period
  int64_t CpuRealtimePeriod = 0;   ///< us
  int64_t CpuRealtimeRuntime = 0;  ///< us
  std::string CpusetCpus;
  std::string CpusetMems;
  std::vector<DeviceMapping> Devices;
  Nullable<Strings> DeviceCgroupRules;
  Nullable<std::vector<DeviceRequest>> DeviceRequests;
  int64_t MemoryReservation = 0;
  int64_t MemorySwap = 0;              ///< memory + swap; -1 unlimited
  Nullable<int64_t> MemorySwappiness;  ///< 0..100; the CLI sends -1 for "not set"
  Nullable<bool> OomKillDisable;       ///< the CLI sends false
  Nullable<int64_t> PidsLimit;         ///< the CLI sends 0; 0 and -1: unlimited
  std::vector<Ulimit> Ulimits;
  int64_t CpuCount = 0;             ///< Windows
  int64_t CpuPercent = 0;           ///< Windows
  uint64_t IOMaximumIOps = 0;       ///< Windows
  uint64_t IOMaximumBandwidth = 0;  ///< Windows
};
BOOST_DESCRIBE_STRUCT(Resources, (),
                      (CpuShares, Memory, NanoCpus, CgroupParent, BlkioWeight, BlkioWeightDevice, BlkioDeviceReadBps,
                       BlkioDeviceWriteBps, BlkioDeviceReadIOps, BlkioDeviceWriteIOps, CpuPeriod, CpuQuota,
                       CpuRealtimePeriod, CpuRealtimeRuntime, CpusetCpus, CpusetMems, Devices, DeviceCgroupRules,
                       DeviceRequests, MemoryReservation, MemorySwap, MemorySwappiness, OomKillDisable, PidsLimit,
                       Ulimits, CpuCount, CpuPercent, IOMaximumIOps, IOMaximumBandwidth))

/// HostConfig up to its Resources: a base of it so that the keys come out in Docker's order.
struct HostConfigGeneral {
  Nullable<Strings> Binds;
  std::string ContainerIDFile;
  apitypes::LogConfig LogConfig;
  std::string NetworkMode;  ///< "" and "default": the default bridge
  PortMap PortBindings;
  apitypes::RestartPolicy RestartPolicy;
  bool AutoRemove = false;
  std::string VolumeDriver;
  Nullable<Strings> VolumesFrom;
  std::vector<uint32_t> ConsoleSize = {0, 0};  ///< height, width
  std::optional<StringMap> Annotations;
  Nullable<Strings> CapAdd;
  Nullable<Strings> CapDrop;
  std::string CgroupnsMode;  ///< "", host, private
  Strings Dns;
  Strings DnsOptions;
  Strings DnsSearch;
  Strings ExtraHosts;  ///< "name:address"
  Nullable<Strings> GroupAdd;
  std::string IpcMode;
  std::string Cgroup;
  Nullable<Strings> Links;
  int64_t OomScoreAdj = 0;
  std::string PidMode;
  bool Privileged = false;
  bool PublishAllPorts = false;
  bool ReadonlyRootfs = false;
  Nullable<Strings> SecurityOpt;
  std::optional<StringMap> StorageOpt;
  std::optional<StringMap> Tmpfs;  ///< path -> mount options
  std::string UTSMode;
  std::string UsernsMode;
  int64_t ShmSize = 0;  ///< bytes; 0: 64 MiB
  std::optional<StringMap> Sysctls;
  std::optional<std::string> Runtime;
  std::string Isolation;  ///< Windows
};
BOOST_DESCRIBE_STRUCT(HostConfigGeneral, (),
                      (Binds, ContainerIDFile, LogConfig, NetworkMode, PortBindings, RestartPolicy, AutoRemove,
                       VolumeDriver, VolumesFrom, ConsoleSize, Annotations, CapAdd, CapDrop, CgroupnsMode, Dns,
                       DnsOptions, DnsSearch, ExtraHosts, GroupAdd, IpcMode, Cgroup, Links, OomScoreAdj, PidMode,
                       Privileged, PublishAllPorts, ReadonlyRootfs, SecurityOpt, StorageOpt, Tmpfs, UTSMode, UsernsMode,
                       ShmSize, Sysctls, Runtime, Isolation))

struct HostConfig : HostConfigGeneral, Resources {
  std::optional<std::vector<Mount>> Mounts;
  Nullable<Strings> MaskedPaths;    ///< null: the engine's defaults; [] (systempaths=unconfined): none
  Nullable<Strings> ReadonlyPaths;  ///< as MaskedPaths
  std::optional<bool> Init;
};
BOOST_DESCRIBE_STRUCT(HostConfig, (HostConfigGeneral, Resources), (Mounts, MaskedPaths, ReadonlyPaths, Init))

struct EndpointIPAMConfig {
  std::optional<std::string> IPv4Address;
  std::optional<std::string> IPv6Address;
  std::optional<Strings> LinkLocalIPs;
};
BOOST_DESCRIBE_STRUCT(EndpointIPAMConfig, (), (IPv4Address, IPv6Address, LinkLocalIPs))

/// A container's place in one network: wishes (the first part) and what came of them.
struct EndpointSettings {
  Nullable<EndpointIPAMConfig> IPAMConfig;
  Nullable<Strings> Links;
  Nullable<Strings> Aliases;
  std::string MacAddress;
  Nullable<StringMap> DriverOpts;
  int64_t GwPriority = 0;
  std::string NetworkID;
  std::string EndpointID;
  std::string Gateway;
  std::string IPAddress;
  int64_t IPPrefixLen = 0;
  std::string IPv6Gateway;
  std::string GlobalIPv6Address;
  int64_t GlobalIPv6PrefixLen = 0;
  Nullable<Strings> DNSNames;
};
BOOST_DESCRIBE_STRUCT(EndpointSettings, (),
                      (IPAMConfig, Links, Aliases, MacAddress, DriverOpts, GwPriority, NetworkID, EndpointID, Gateway,
                       IPAddress, IPPrefixLen, IPv6Gateway, GlobalIPv6Address, GlobalIPv6PrefixLen, DNSNames))

struct NetworkingConfig {
  std::map<std::string, EndpointSettings> EndpointsConfig;
};
BOOST_DESCRIBE_STRUCT(NetworkingConfig, (), (EndpointsConfig))

/// Body of POST /containers/create: a ContainerConfig with two members more.
struct ContainerCreateRequest : ContainerConfig {
  apitypes::HostConfig HostConfig;
  apitypes::NetworkingConfig NetworkingConfig;
};
BOOST_DESCRIBE_STRUCT(ContainerCreateRequest, (ContainerConfig), (HostConfig, NetworkingConfig))

struct ContainerCreateResponse {
  std::string Id;
  Strings Warnings;
};
BOOST_DESCRIBE_STRUCT(ContainerCreateResponse, (), (Id, Warnings))

/// Body of POST /containers/{id}/update. Zero, empty and null members: unchanged.
struct ContainerUpdateRequest : Resources {
  apitypes::RestartPolicy RestartPolicy;
};
BOOST_DESCRIBE_STRUCT(ContainerUpdateRequest, (Resources), (RestartPolicy))

struct ContainerUpdateResponse {
  Nullable<Strings> Warnings;
};
BOOST_DESCRIBE_STRUCT(ContainerUpdateResponse, (), (Warnings))

}  // namespace estiba::apitypes

#define ESTIBA_CONTAINER_CONFIG_TYPES(X) \
  X(apitypes::HealthConfig)              \
  X(apitypes::ContainerConfig)           \
  X(apitypes::HostConfig)                \
  X(apitypes::Resources)                 \
  X(apitypes::Mount)                     \
  X(apitypes::EndpointSettings)          \
  X(apitypes::NetworkingConfig)          \
  X(apitypes::ContainerCreateRequest)    \
  X(apitypes::ContainerCreateResponse)   \
  X(apitypes::ContainerUpdateRequest)    \
  X(apitypes::ContainerUpdateResponse)

namespace estiba {
ESTIBA_CONTAINER_CONFIG_TYPES(ESTIBA_EXTERN_JSON)
}
