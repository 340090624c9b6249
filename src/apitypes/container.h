#pragma once
// Containers as the Engine API shows them: list, inspect, state, top, changes, wait, exec, prune.
// Source: Engine API, ContainerInspectResponse, ContainerSummary, ExecConfig and the replies of /containers, /exec.
// Times are RFC 3339 strings; "0001-01-01T00:00:00Z" is never.

#include "apitypes/container_config.h"
#include "apitypes/oci_descriptor.h"

namespace estiba::apitypes {

inline constexpr const char* kZeroTime = "0001-01-01T00:00:00Z";

struct HealthcheckResult {
  std::string Start;
  std::string End;
  int64_t ExitCode = 0;
  std::string Output;
};
BOOST_DESCRIBE_STRUCT(HealthcheckResult, (), (Start, End, ExitCode, Output))

struct Health {
  std::string Status;  ///< none, starting, healthy, unhealthy
  int64_t FailingStreak = 0;
  std::vector<HealthcheckResult> Log;
};
BOOST_DESCRIBE_STRUCT(Health, (), (Status, FailingStreak, Log))

struct ContainerState {
  std::string Status;  ///< created, running, paused, restarting, removing, exited, dead
  bool Running = false;
  bool Paused = false;
  bool Restarting = false;
  bool OOMKilled = false;
  bool Dead = false;
  int64_t Pid = 0;
  int64_t ExitCode = 0;
  std::string Error;
  std::string StartedAt = kZeroTime;
  std::string FinishedAt = kZeroTime;
  std::optional<apitypes::Health> Health;
};
BOOST_DESCRIBE_STRUCT(ContainerState, (),
                      (Status, Running, Paused, Restarting, OOMKilled, Dead, Pid, ExitCode, Error, StartedAt,
                       FinishedAt, Health))

/// A mount as it is.
struct MountPoint {
  std::optional<std::string> Type;
  std::optional<std::string> Name;
  std::string Source;
  std::string Destination;
  std::optional<std::string> Driver;
  std::string Mode;
  bool RW = true;
  std::string Propagation;
};
BOOST_DESCRIBE_STRUCT(MountPoint, (), (Type, Name, Source, Destination, Driver, Mode, RW, Propagation))

struct Address {
  std::string Addr;
  int64_t PrefixLen = 0;
};
BOOST_DESCRIBE_STRUCT(Address, (), (Addr, PrefixLen))

/// The members from HairpinMode to MacAddress repeat the default bridge's endpoint, for old clients.
struct NetworkSettings {
  std::string Bridge;
  std::string SandboxID;
  std::string SandboxKey;
  PortMap Ports;
  bool HairpinMode = false;
  std::string LinkLocalIPv6Address;
  int64_t LinkLocalIPv6PrefixLen = 0;
  Nullable<std::vector<Address>> SecondaryIPAddresses;
  Nullable<std::vector<Address>> SecondaryIPv6Addresses;
  std::string EndpointID;
  std::string Gateway;
  std::string GlobalIPv6Address;
  int64_t GlobalIPv6PrefixLen = 0;
  std::string IPAddress;
  int64_t IPPrefixLen = 0;
  std::string IPv6Gateway;
  std::string MacAddress;
  std::map<std::string, EndpointSettings> Networks;
};
BOOST_DESCRIBE_STRUCT(NetworkSettings, (),
                      (Bridge, SandboxID, SandboxKey, Ports, HairpinMode, LinkLocalIPv6Address, LinkLocalIPv6PrefixLen,
                       SecondaryIPAddresses, SecondaryIPv6Addresses, EndpointID, Gateway, GlobalIPv6Address,
                       GlobalIPv6PrefixLen, IPAddress, IPPrefixLen, IPv6Gateway, MacAddress, Networks))

/// GET /containers/{id}/json
struct ContainerInspect {
  std::string Id;
  std::string Created;
  std::string Path;
  Strings Args;
  ContainerState State;
  std::string Image;  ///< ID
  std::string ResolvConfPath;
  std::string HostnamePath;
  std::string HostsPath;
  std::string LogPath;
  std::string Name;  ///< with its leading '/'
  int64_t RestartCount = 0;
  std::string Driver;
  std::string Platform;
  std::string MountLabel;
  std::string ProcessLabel;
  std::string AppArmorProfile;
  Nullable<Strings> ExecIDs;
  apitypes::HostConfig HostConfig;
  GraphDriverData GraphDriver;
  std::optional<int64_t> SizeRw;
  std::optional<int64_t> SizeRootFs;
  std::vector<MountPoint> Mounts;
  ContainerConfig Config;
  apitypes::NetworkSettings NetworkSettings;
  std::optional<OciDescriptor> ImageManifestDescriptor;
};
BOOST_DESCRIBE_STRUCT(ContainerInspect, (),
                      (Id, Created, Path, Args, State, Image, ResolvConfPath, HostnamePath, HostsPath, LogPath, Name,
                       RestartCount, Driver, Platform, MountLabel, ProcessLabel, AppArmorProfile, ExecIDs, HostConfig,
                       GraphDriver, SizeRw, SizeRootFs, Mounts, Config, NetworkSettings, ImageManifestDescriptor))

struct PortSummary {
  std::optional<std::string> IP;
  uint16_t PrivatePort = 0;
  std::optional<uint16_t> PublicPort;
  std::string Type;
};
BOOST_DESCRIBE_STRUCT(PortSummary, (), (IP, PrivatePort, PublicPort, Type))

struct SummaryHostConfig {
  std::optional<std::string> NetworkMode;
  std::optional<StringMap> Annotations;
};
BOOST_DESCRIBE_STRUCT(SummaryHostConfig, (), (NetworkMode, Annotations))

struct SummaryNetworkSettings {
  std::map<std::string, EndpointSettings> Networks;
};
BOOST_DESCRIBE_STRUCT(SummaryNetworkSettings, (), (Networks))

struct SummaryHealth {
  std::string Status;
  int64_t FailingStreak = 0;
};
BOOST_DESCRIBE_STRUCT(SummaryHealth, (), (Status, FailingStreak))

/// GET /containers/json, one of many
struct ContainerSummary {
  std::string Id;
  Strings Names;
  std::string Image;
  std::string ImageID;
  std::optional<OciDescriptor> ImageManifestDescriptor;
  std::string Command;
  int64_t Created = 0;  ///< seconds since 1970
  std::vector<PortSummary> Ports;
  std::optional<int64_t> SizeRw;
  std::optional<int64_t> SizeRootFs;
  StringMap Labels;
  std::string State;
  std::string Status;
  SummaryHostConfig HostConfig;
  SummaryNetworkSettings NetworkSettings;
  std::vector<MountPoint> Mounts;
  std::optional<SummaryHealth> Health;  ///< API 1.52
};
BOOST_DESCRIBE_STRUCT(ContainerSummary, (),
                      (Id, Names, Image, ImageID, ImageManifestDescriptor, Command, Created, Ports, SizeRw, SizeRootFs,
                       Labels, State, Status, HostConfig, NetworkSettings, Mounts, Health))

struct WaitError {
  std::string Message;
};
BOOST_DESCRIBE_STRUCT(WaitError, (), (Message))

struct WaitResponse {
  std::optional<WaitError> Error;
  int64_t StatusCode = 0;
};
BOOST_DESCRIBE_STRUCT(WaitResponse, (), (Error, StatusCode))

struct TopResponse {
  std::vector<Strings> Processes;
  Strings Titles;
};
BOOST_DESCRIBE_STRUCT(TopResponse, (), (Processes, Titles))

/// Kind: 0 modified, 1 added, 2 deleted.
struct ChangeItem {
  uint8_t Kind = 0;
  std::string Path;
};
BOOST_DESCRIBE_STRUCT(ChangeItem, (), (Kind, Path))

/// The header X-Docker-Container-Path-Stat, base64 of this.
struct PathStat {
  std::string name;
  int64_t size = 0;
  uint32_t mode = 0;  ///< Go's FileMode: permission bits, directory 1<<31, symlink 1<<27, …
  std::string mtime;
  std::string linkTarget;
};
BOOST_DESCRIBE_STRUCT(PathStat, (), (name, size, mode, mtime, linkTarget))

struct IdResponse {
  std::string Id;
};
BOOST_DESCRIBE_STRUCT(IdResponse, (), (Id))

struct ErrorResponse {
  std::string message;
};
BOOST_DESCRIBE_STRUCT(ErrorResponse, (), (message))

struct ContainersPruneReport {
  Nullable<Strings> ContainersDeleted;
  uint64_t SpaceReclaimed = 0;
};
BOOST_DESCRIBE_STRUCT(ContainersPruneReport, (), (ContainersDeleted, SpaceReclaimed))

/// Body of POST /containers/{id}/exec
struct ExecConfig {
  std::string User;
  bool Privileged = false;
  bool Tty = false;
  std::optional<std::vector<uint32_t>> ConsoleSize;  ///< height, width
  bool AttachStdin = false;
  bool AttachStderr = false;
  bool AttachStdout = false;
  bool Detach = false;  ///< API < 1.42; ignored
  std::string DetachKeys;
  Nullable<Strings> Env;
  std::string WorkingDir;
  Nullable<Strings> Cmd;
};
BOOST_DESCRIBE_STRUCT(ExecConfig, (),
                      (User, Privileged, Tty, ConsoleSize, AttachStdin, AttachStderr, AttachStdout, Detach, DetachKeys,
                       Env, WorkingDir, Cmd))

/// Body of POST /exec/{id}/start
struct ExecStart {
  bool Detach = false;
  bool Tty = false;
  std::optional<std::vector<uint32_t>> ConsoleSize;
};
BOOST_DESCRIBE_STRUCT(ExecStart, (), (Detach, Tty, ConsoleSize))

struct ExecProcessConfig {
  bool tty = false;
  std::string entrypoint;
  Strings arguments;
  std::optional<bool> privileged;
  std::optional<std::string> user;
};
BOOST_DESCRIBE_STRUCT(ExecProcessConfig, (), (tty, entrypoint, arguments, privileged, user))

/// GET /exec/{id}/json
struct ExecInspect {
  std::string ID;
  bool Running = false;
  Nullable<int64_t> ExitCode;
  ExecProcessConfig ProcessConfig;
  bool OpenStdin = false;
  bool OpenStderr = false;
  bool OpenStdout = false;
  bool CanRemove = false;
  std::string ContainerID;
  std::string DetachKeys;
  int64_t Pid = 0;
};
BOOST_DESCRIBE_STRUCT(ExecInspect, (),
                      (ID, Running, ExitCode, ProcessConfig, OpenStdin, OpenStderr, OpenStdout, CanRemove, ContainerID,
                       DetachKeys, Pid))

}  // namespace estiba::apitypes

#define ESTIBA_CONTAINER_TYPES(X)            \
  X(apitypes::Health)                        \
  X(apitypes::ContainerState)                \
  X(apitypes::MountPoint)                    \
  X(apitypes::NetworkSettings)               \
  X(apitypes::ContainerInspect)              \
  X(apitypes::ContainerSummary)              \
  X(apitypes::WaitResponse)                  \
  X(apitypes::TopResponse)                   \
  X(apitypes::ChangeItem)                    \
  X(apitypes::PathStat)                      \
  X(apitypes::IdResponse)                    \
  X(apitypes::ErrorResponse)                 \
  X(apitypes::ContainersPruneReport)         \
  X(apitypes::ExecConfig)                    \
  X(apitypes::ExecStart)                     \
  X(apitypes::ExecInspect)                   \
  X(std::vector<apitypes::ContainerSummary>) \
  X(std::vector<apitypes::ChangeItem>)

namespace estiba {
ESTIBA_CONTAINER_TYPES(ESTIBA_EXTERN_JSON)
}
