#pragma once
// Bridges and what else the host says about addresses, by rtnetlink.

#include <string>
#include <vector>

#include "net/address.h"
#include "sys/netlink.h"

namespace estiba::net {

struct BridgeSpec {
  std::string name;
  Ip gateway;  ///< the bridge's own address
  int prefixLen = 0;
  int mtu = 0;        ///< of a new bridge; 0: the kernel's choice
  std::string owner;  ///< the interface's alias (ip link shows it): by it we know our own again
};

struct BridgeState {
  int index = 0;  ///< 0: no such interface
  int mtu = 0;
  bool isBridge = false;
  bool up = false;
  bool hasAddress = false;
};

/// Two small requests; changes nothing.
BridgeState bridgeState(const netlink::Socket& route, const BridgeSpec& spec);
/// Makes what is missing: the interface, its address, up. Several may do it at once.
/// Throws Error(conflict) where another kind of interface has that name.
BridgeState ensureBridge(const netlink::Socket& route, const BridgeSpec& spec);
/// Missing is fine.
void removeInterface(const netlink::Socket& route, const std::string& name);

/// Names of the interfaces whose alias is `owner`.
std::vector<std::string> bridgesOwnedBy(const netlink::Socket& route, const std::string& owner);

/// Something on the host that has addresses of its own.
struct Occupied {
  Subnet subnet;
  std::string interface;
};
/// Subnets of all addresses and routes, but default routes and those of `exceptInterface`.
std::vector<Occupied> occupiedSubnets(const netlink::Socket& route, const std::string& exceptInterface);
/// MTU of the interface that the default route leads to; 1500 where there is none.
int defaultMtu(const netlink::Socket& route);

/// Switches net.ipv4.ip_forward on where it is off.
void ensureForwarding();

}  // namespace estiba::net
