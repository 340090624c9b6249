#pragma once
// The engine about itself: version, info, disk usage, events, credentials.
// Source: Engine API, SystemVersion, SystemInfo, SystemDataUsage, EventMessage, AuthConfig, AuthResponse.

#include "apitypes/build.h"
#include "apitypes/container.h"
#include "apitypes/image.h"
#include "apitypes/volume.h"

namespace estiba::apitypes {

struct PlatformName {
  std::string Name;
};
BOOST_DESCRIBE_STRUCT(PlatformName, (), (Name))

struct ComponentVersion {
  std::string Name;
  std::string Version;
  std::optional<StringMap> Details;
};
BOOST_DESCRIBE_STRUCT(ComponentVersion, (), (Name, Version, Details))

/// GET /version
struct Version {
  PlatformName Platform;
  std::vector<ComponentVersion> Components;
  std::string Version_;  ///< written "Version"
  std::string ApiVersion;
  std::string MinAPIVersion;
  std::string GitCommit;
  std::string GoVersion;
  std::string Os;
  std::string Arch;
  std::string KernelVersion;
  std::optional<bool> Experimental;
  std::optional<std::string> BuildTime;
};
BOOST_DESCRIBE_STRUCT(Version, (),
                      (Platform, Components, Version_, ApiVersion, MinAPIVersion, GitCommit, GoVersion, Os, Arch,
                       KernelVersion, Experimental, BuildTime))

struct PluginsInfo {
  Nullable<Strings> Volume;
  Nullable<Strings> Network;
  Nullable<Strings> Authorization;
  Nullable<Strings> Log;
};
BOOST_DESCRIBE_STRUCT(PluginsInfo, (), (Volume, Network, Authorization, Log))

struct IndexInfo {
  std::string Name;
  Strings Mirrors;
  bool Secure = true;
  bool Official = false;
};
BOOST_DESCRIBE_STRUCT(IndexInfo, (), (Name, Mirrors, Secure, Official))

struct RegistryServiceConfig {
  std::optional<Strings> AllowNondistributableArtifactsCIDRs;      ///< API < 1.49
  std::optional<Strings> AllowNondistributableArtifactsHostnames;  ///< API < 1.49
  Strings InsecureRegistryCIDRs;
  std::map<std::string, IndexInfo> IndexConfigs;
  Nullable<Strings> Mirrors;
};
BOOST_DESCRIBE_STRUCT(RegistryServiceConfig, (),
                      (AllowNondistributableArtifactsCIDRs, AllowNondistributableArtifactsHostnames,
                       InsecureRegistryCIDRs, IndexConfigs, Mirrors))

struct RuntimeInfo {
  std::optional<std::string> path;
  std::optional<Strings> runtimeArgs;
  std::optional<StringMap> status;
};
BOOST_DESCRIBE_STRUCT(RuntimeInfo, (), (path, runtimeArgs, status))

struct Commit {
  std::string ID;
  std::optional<std::string> Expected;  ///< API < 1.49
};
BOOST_DESCRIBE_STRUCT(Commit, (), (ID, Expected))

/// There is no swarm: always inactive.
struct SwarmInfo {
  std::string NodeID;
  std::string NodeAddr;
  std::string LocalNodeState = "inactive";
  bool ControlAvailable = false;
  std::string Error;
  Nullable<json::array> RemoteManagers;
};
BOOST_DESCRIBE_STRUCT(SwarmInfo, (), (NodeID, NodeAddr, LocalNodeState, ControlAvailable, Error, RemoteManagers))

struct AddressPool {
  std::string Base;
  int64_t Size = 0;
};
BOOST_DESCRIBE_STRUCT(AddressPool, (), (Base, Size))

struct FirewallInfo {
  std::string Driver;
  std::optional<std::vector<Strings>> Info;
};
BOOST_DESCRIBE_STRUCT(FirewallInfo, (), (Driver, Info))

struct ContainerdNamespaces {
  std::string Containers;
  std::string Plugins;
};
BOOST_DESCRIBE_STRUCT(ContainerdNamespaces, (), (Containers, Plugins))

struct ContainerdInfo {
  std::optional<std::string> Address;
  ContainerdNamespaces Namespaces;
};
BOOST_DESCRIBE_STRUCT(ContainerdInfo, (), (Address, Namespaces))

/// Info's first half (a base: BOOST_DESCRIBE takes some fifty members).
struct InfoEngine {
  std::string ID;
  int64_t Containers = 0;
  int64_t ContainersRunning = 0;
  int64_t ContainersPaused = 0;
  int64_t ContainersStopped = 0;
  int64_t Images = 0;
  std::string Driver;
  std::vector<Strings> DriverStatus;
  std::optional<std::vector<Strings>> SystemStatus;
  PluginsInfo Plugins;
  bool MemoryLimit = false;
  bool SwapLimit = false;
  bool CpuCfsPeriod = false;
  bool CpuCfsQuota = false;
  bool CPUShares = false;
  bool CPUSet = false;
  bool PidsLimit = false;
  bool IPv4Forwarding = false;
  bool Debug = false;
  int64_t NFd = 0;
  bool OomKillDisable = false;
  int64_t NGoroutines = 0;  ///< threads
  std::string SystemTime;
  std::string LoggingDriver;
  std::string CgroupDriver;                  ///< cgroupfs, systemd, none
  std::optional<std::string> CgroupVersion;  ///< "1", "2"
  int64_t NEventsListener = 0;
};
BOOST_DESCRIBE_STRUCT(InfoEngine, (),
                      (ID, Containers, ContainersRunning, ContainersPaused, ContainersStopped, Images, Driver,
                       DriverStatus, SystemStatus, Plugins, MemoryLimit, SwapLimit, CpuCfsPeriod, CpuCfsQuota,
                       CPUShares, CPUSet, PidsLimit, IPv4Forwarding, Debug, NFd, OomKillDisable, NGoroutines,
                       SystemTime, LoggingDriver, CgroupDriver, CgroupVersion, NEventsListener))

/// GET /info
struct Info : InfoEngine {
  std::string KernelVersion;
  std::string OperatingSystem;
  std::string OSVersion;
  std::string OSType = "linux";
  std::string Architecture;  ///< as uname(2): x86_64
  std::string IndexServerAddress;
  apitypes::RegistryServiceConfig RegistryConfig;
  int64_t NCPU = 0;
  int64_t MemTotal = 0;  ///< bytes
  Nullable<json::array> GenericResources;
  std::string DockerRootDir;
  std::string HttpProxy;
  std::string HttpsProxy;
  std::string NoProxy;
  std::string Name;  ///< host name
  Strings Labels;
  bool ExperimentalBuild = false;
  std::string ServerVersion;
  std::map<std::string, RuntimeInfo> Runtimes;
  std::string DefaultRuntime;
  SwarmInfo Swarm;
  bool LiveRestoreEnabled = false;
  std::string Isolation;
  std::string InitBinary;
  Commit ContainerdCommit;
  Commit RuncCommit;
  Commit InitCommit;
  Strings SecurityOptions;  ///< "name=seccomp,profile=builtin"
  std::optional<std::string> ProductLicense;
  std::optional<std::vector<AddressPool>> DefaultAddressPools;
  std::optional<FirewallInfo> FirewallBackend;
  Strings CDISpecDirs;
  std::optional<ContainerdInfo> Containerd;
  Nullable<Strings> Warnings;
};
BOOST_DESCRIBE_STRUCT(Info, (InfoEngine),
                      (KernelVersion, OperatingSystem, OSVersion, OSType, Architecture, IndexServerAddress,
                       RegistryConfig, NCPU, MemTotal, GenericResources, DockerRootDir, HttpProxy, HttpsProxy, NoProxy,
                       Name, Labels, ExperimentalBuild, ServerVersion, Runtimes, DefaultRuntime, Swarm,
                       LiveRestoreEnabled, Isolation, InitBinary, ContainerdCommit, RuncCommit, InitCommit,
                       SecurityOptions, ProductLicense, DefaultAddressPools, FirewallBackend, CDISpecDirs, Containerd,
                       Warnings))

/// GET /system/df (the form before API 1.52: every client reads it).
struct DiskUsage {
  int64_t LayersSize = 0;
  Nullable<std::vector<ImageSummary>> Images;
  Nullable<std::vector<ContainerSummary>> Containers;
  Nullable<std::vector<Volume>> Volumes;
  Nullable<std::vector<apitypes::BuildCache>> BuildCache;
};
BOOST_DESCRIBE_STRUCT(DiskUsage, (), (LayersSize, Images, Containers, Volumes, BuildCache))

struct EventActor {
  std::string ID;
  StringMap Attributes;
};
BOOST_DESCRIBE_STRUCT(EventActor, (), (ID, Attributes))

/// GET /events: newline-delimited. `status`, `id`, `from` repeat Action, Actor.ID and the image for old clients and are
/// there for containers and images only.
struct EventMessage {
  std::optional<std::string> status;
  std::optional<std::string> id;
  std::optional<std::string> from;
  std::string Type;
  std::string Action;
  EventActor Actor;
  std::string scope = "local";
  int64_t time = 0;      ///< seconds since 1970
  int64_t timeNano = 0;  ///< the same instant in nanoseconds
};
BOOST_DESCRIBE_STRUCT(EventMessage, (), (status, id, from, Type, Action, Actor, scope, time, timeNano))

/// X-Registry-Auth (base64url of it), the values of X-Registry-Config, body of POST /auth.
struct AuthConfig {
  std::optional<std::string> username;
  std::optional<std::string> password;
  std::optional<std::string> auth;  ///< base64 "user:password", as in ~/.docker/config.json
  std::optional<std::string> email;
  std::optional<std::string> serveraddress;
  std::optional<std::string> identitytoken;
  std::optional<std::string> registrytoken;
};
BOOST_DESCRIBE_STRUCT(AuthConfig, (), (username, password, auth, email, serveraddress, identitytoken, registrytoken))

struct AuthResponse {
  std::string IdentityToken;
  std::string Status;
};
BOOST_DESCRIBE_STRUCT(AuthResponse, (), (IdentityToken, Status))

/// GET /_ping answers "OK"; the facts are headers.
struct Ping {
  std::string APIVersion;      ///< Api-Version
  std::string OSType;          ///< Ostype
  bool Experimental = false;   ///< Docker-Experimental
  std::string BuilderVersion;  ///< Builder-Version: "1" classic, "2" BuildKit
  std::string Swarm;           ///< "inactive"
};

}  // namespace estiba::apitypes

#define ESTIBA_SYSTEM_TYPES(X) \
  X(apitypes::Version)         \
  X(apitypes::Info)            \
  X(apitypes::DiskUsage)       \
  X(apitypes::EventMessage)    \
  X(apitypes::AuthConfig)      \
  X(apitypes::AuthResponse)

namespace estiba {
ESTIBA_SYSTEM_TYPES(ESTIBA_EXTERN_JSON)
}
