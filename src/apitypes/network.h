#pragma once
// Networks. Source: Engine API, NetworkInspect, NetworkCreateRequest, NetworkConnectRequest.

#include "apitypes/container_config.h"

namespace estiba::apitypes {

struct IPAMConfig {
  std::optional<std::string> Subnet;
  std::optional<std::string> IPRange;
  std::optional<std::string> Gateway;
  std::optional<StringMap> AuxiliaryAddresses;
};
BOOST_DESCRIBE_STRUCT(IPAMConfig, (), (Subnet, IPRange, Gateway, AuxiliaryAddresses))

struct IPAM {
  std::string Driver = "default";
  Nullable<StringMap> Options;
  Nullable<std::vector<IPAMConfig>> Config;
};
BOOST_DESCRIBE_STRUCT(IPAM, (), (Driver, Options, Config))

struct ConfigReference {
  std::string Network;
};
BOOST_DESCRIBE_STRUCT(ConfigReference, (), (Network))

struct EndpointResource {
  std::string Name;
  std::string EndpointID;
  std::string MacAddress;
  std::string IPv4Address;  ///< with its prefix: "172.17.0.2/16"
  std::string IPv6Address;
};
BOOST_DESCRIBE_STRUCT(EndpointResource, (), (Name, EndpointID, MacAddress, IPv4Address, IPv6Address))

/// GET /networks (Containers empty there) and /networks/{id}
struct Network {
  std::string Name;
  std::string Id;
  std::string Created;
  std::string Scope = "local";
  std::string Driver;
  bool EnableIPv4 = true;
  bool EnableIPv6 = false;
  apitypes::IPAM IPAM;
  bool Internal = false;
  bool Attachable = false;
  bool Ingress = false;
  ConfigReference ConfigFrom;
  bool ConfigOnly = false;
  std::map<std::string, EndpointResource> Containers;  ///< by container ID
  StringMap Options;
  StringMap Labels;
};
BOOST_DESCRIBE_STRUCT(Network, (),
                      (Name, Id, Created, Scope, Driver, EnableIPv4, EnableIPv6, IPAM, Internal, Attachable, Ingress,
                       ConfigFrom, ConfigOnly, Containers, Options, Labels))

/// Body of POST /networks/create
struct NetworkCreateRequest {
  std::optional<bool> CheckDuplicate;  ///< API < 1.44; names are unique anyway
  std::string Name;
  std::string Driver;
  std::string Scope;
  std::optional<bool> EnableIPv4;
  std::optional<bool> EnableIPv6;
  Nullable<apitypes::IPAM> IPAM;
  bool Internal = false;
  bool Attachable = false;
  bool Ingress = false;
  bool ConfigOnly = false;
  Nullable<ConfigReference> ConfigFrom;
  Nullable<StringMap> Options;
  Nullable<StringMap> Labels;
};
BOOST_DESCRIBE_STRUCT(NetworkCreateRequest, (),
                      (CheckDuplicate, Name, Driver, Scope, EnableIPv4, EnableIPv6, IPAM, Internal, Attachable, Ingress,
                       ConfigOnly, ConfigFrom, Options, Labels))

struct NetworkCreateResponse {
  std::string Id;
  std::string Warning;
};
BOOST_DESCRIBE_STRUCT(NetworkCreateResponse, (), (Id, Warning))

/// Body of POST /networks/{id}/connect
struct NetworkConnectRequest {
  std::string Container;
  std::optional<EndpointSettings> EndpointConfig;
};
BOOST_DESCRIBE_STRUCT(NetworkConnectRequest, (), (Container, EndpointConfig))

/// Body of POST /networks/{id}/disconnect
struct NetworkDisconnectRequest {
  std::string Container;
  bool Force = false;
};
BOOST_DESCRIBE_STRUCT(NetworkDisconnectRequest, (), (Container, Force))

struct NetworksPruneReport {
  Nullable<Strings> NetworksDeleted;
};
BOOST_DESCRIBE_STRUCT(NetworksPruneReport, (), (NetworksDeleted))

}  // namespace estiba::apitypes

#define ESTIBA_NETWORK_TYPES(X)         \
  X(apitypes::IPAM)                     \
  X(apitypes::Network)                  \
  X(apitypes::NetworkCreateRequest)     \
  X(apitypes::NetworkCreateResponse)    \
  X(apitypes::NetworkConnectRequest)    \
  X(apitypes::NetworkDisconnectRequest) \
  X(apitypes::NetworksPruneReport)      \
  X(std::vector<apitypes::Network>)

namespace estiba {
ESTIBA_NETWORK_TYPES(ESTIBA_EXTERN_JSON)
}
