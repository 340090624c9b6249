#include "net/link.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>

#include "base/clock.h"
#include "net/bridge.h"
#include "sys/netlink.h"

namespace estiba::net {

namespace {

using netlink::Message;
using netlink::Request;
using netlink::Socket;

// What interfaces of the namespace made later start with: nobody announces routes to us (CVE-2020-13401), and there is
// no IPv6 that was not asked for (CVE-2024-32473), but ::1.
Socket openConfigured(int netnsFd, bool ipv6) {
  if (ipv6) return Socket::openIn(netnsFd, NETLINK_ROUTE, {{"/proc/sys/net/ipv6/conf/default/accept_ra", "0"}});
  return Socket::openIn(netnsFd, NETLINK_ROUTE,
                        {{"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
                         {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"},
                         {"/proc/sys/net/ipv6/conf/lo/disable_ipv6", "0"}});
}

ifinfomsg up(int index = 0) {
  ifinfomsg out{};
  out.ifi_index = index;
  out.ifi_flags = IFF_UP;
  out.ifi_change = IFF_UP;
  return out;
}

void addLoopbackUp(Request& inside) {
  inside.message(RTM_NEWLINK, NLM_F_ACK).header(up()).text(IFLA_IFNAME, "lo");
}

void createPair(const Socket& host, const Endpoint& endpoint, unsigned bridge, int netnsFd) {
  const auto mtu = static_cast<uint32_t>(endpoint.mtu);
  Request request;
  request.message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
      .header(up())
      .text(IFLA_IFNAME, endpoint.hostInterface)
      .u32(IFLA_MASTER, bridge);
  if (mtu != 0) request.u32(IFLA_MTU, mtu);
  const auto peer = [&] {
    // The inner end is not brought up here: its other end is not ready yet (ENOTCONN).
    request.header(ifinfomsg{})
        .text(IFLA_IFNAME, endpoint.interface)
        .attr(IFLA_ADDRESS, endpoint.mac.bytes.data(), endpoint.mac.bytes.size())
        .u32(IFLA_NET_NS_FD, static_cast<uint32_t>(netnsFd));
    if (mtu != 0) request.u32(IFLA_MTU, mtu);
  };
  request.nest(IFLA_LINKINFO, [&] {
    request.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, [&] { request.nest(VETH_INFO_PEER, peer); });
  });
  if (!endpoint.icc) {
    // Between two ports of one bridge no IP rule is asked: the bridge itself must keep them apart.
    request.message(RTM_NEWLINK, NLM_F_ACK)
        .header(ifinfomsg{})
        .text(IFLA_IFNAME, endpoint.hostInterface)
        .nest(IFLA_LINKINFO, [&] {
          request.text(IFLA_INFO_SLAVE_KIND, "bridge").nest(IFLA_INFO_SLAVE_DATA, [&] {
            request.u8(IFLA_BRPORT_ISOLATED, 1);
          });
        });
  }
  host.transact(request, fmt::format("make interface '{}' of container {} on bridge '{}'", endpoint.interface,
                                     endpoint.containerId.substr(0, 12), endpoint.bridge));
}

int indexOf(const Socket& socket, const std::string& name) {
  int index = 0;
  Request request;
  request.message(RTM_GETLINK, NLM_F_ACK)
      .header(ifinfomsg{})
      .text(IFLA_IFNAME, name)
      .u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  socket.transact(request, fmt::format("look up interface '{}'", name),
                  [&](const Message& m) { index = m.header<ifinfomsg>().ifi_index; });
  return index;
}

void addAddress(Request& inside, const Endpoint& endpoint, int index) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(endpoint.address.family());
  header.ifa_prefixlen = static_cast<uint8_t>(endpoint.prefixLen);
  header.ifa_index = static_cast<uint32_t>(index);
  inside.message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
      .header(header)
      .bytes(IFA_LOCAL, endpoint.address.bytes())
      .bytes(IFA_ADDRESS, endpoint.address.bytes());
  if (endpoint.prefixLen < 31) {
    const Ip broadcast = Subnet::of(endpoint.address, endpoint.prefixLen).lastHost().plus(1);
    inside.bytes(IFA_BROADCAST, broadcast.bytes());
  }
}

void addDefaultRoute(Request& inside, const Endpoint& endpoint, int index) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(endpoint.gateway.family());
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  inside.message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE)
      .header(header)
      .bytes(RTA_GATEWAY, endpoint.gateway.bytes())
      .u32(RTA_OIF, static_cast<uint32_t>(index));
}

constexpr int kOperUp = 6;  // IF_OPER_UP of linux/if.h, which does not go together with net/if.h

struct Port {
  int index = 0;
  bool forwards = false;
  bool bridgeIsUp = false;
  bool ready() const { return forwards && bridgeIsUp; }
};

// The pair's outer end and the bridge. Since 6.8 asking makes the kernel look at the carrier at once.
Port portOf(const Socket& host, const std::string& name, unsigned bridge) {
  Port port;
  Request request;
  request.message(RTM_GETLINK, NLM_F_ACK)
      .header(ifinfomsg{})
      .text(IFLA_IFNAME, name)
      .u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  ifinfomsg second{};
  second.ifi_index = static_cast<int>(bridge);
  request.message(RTM_GETLINK, NLM_F_ACK).header(second).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const auto byteOf = [](const std::optional<netlink::Attrs>& attrs, uint16_t type) {
    const auto found = attrs ? attrs->find(type) : std::nullopt;
    return found && found->size() == 1 ? (*found)[0] : -1;
  };
  host.transact(request, fmt::format("look up bridge port '{}'", name), [&](const Message& m) {
    const auto attrs = m.attrs<ifinfomsg>();
    if (m.request == 1) {
      port.bridgeIsUp = byteOf(attrs, IFLA_OPERSTATE) == kOperUp;
      return;
    }
    port.index = m.header<ifinfomsg>().ifi_index;
    const auto info = attrs.nested(IFLA_LINKINFO);
    const auto slave = info ? info->nested(IFLA_INFO_SLAVE_DATA) : std::nullopt;
    port.forwards = byteOf(slave, IFLA_BRPORT_STATE) == BR_STATE_FORWARDING;
  });
  return port;
}

// The bridge learns by a deferred event that the inner end is up, and drops what comes before; so does a bridge that
// has its first port for what the host sends. A lost ARP request or SYN is sent again only after a second.
int waitUntilForwarding(const Socket& host, const std::string& name, unsigned bridge) {
  Port port = portOf(host, name, bridge);
  if (port.ready()) return port.index;
  const Socket events = Socket::open(NETLINK_ROUTE);
  const int group = RTNLGRP_LINK;
  sys([&] { return ::setsockopt(events.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group); },
      "listen for link events");
  const auto end = monotonic() + std::chrono::milliseconds(500);  // late is not wrong: the container may start
  for (port = portOf(host, name, bridge); !port.ready(); port = portOf(host, name, bridge)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - monotonic()).count();
    pollfd waiting{events.fd(), POLLIN, 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) break;
    char discarded[256];
    while (::recv(events.fd(), discarded, sizeof discarded, MSG_DONTWAIT) > 0) {
    }
  }
  return port.index;
}

// An ended container's interface lives on for a while after its namespace, with the address and MAC that a new one may
// have now: bridge and host must send to the new one at once, not when it first speaks.
void announce(const Socket& host, const Endpoint& endpoint, int port, unsigned bridge) {
  Request request;
  ndmsg onBridge{};
  onBridge.ndm_family = PF_BRIDGE;
  onBridge.ndm_ifindex = port;
  onBridge.ndm_state = NUD_NOARP;                // does not age; goes with the port
  onBridge.ndm_flags = NTF_MASTER | NTF_STICKY;  // a last packet of the old one does not take it back
  request.message(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
      .header(onBridge)
      .attr(NDA_LLADDR, endpoint.mac.bytes.data(), endpoint.mac.bytes.size());
  ndmsg onHost{};
  onHost.ndm_family = static_cast<uint8_t>(endpoint.address.family());
  onHost.ndm_ifindex = static_cast<int>(bridge);
  onHost.ndm_state = NUD_REACHABLE;
  request.message(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
      .header(onHost)
      .bytes(NDA_DST, endpoint.address.bytes())
      .attr(NDA_LLADDR, endpoint.mac.bytes.data(), endpoint.mac.bytes.size());
  host.transact(request, fmt::format("announce {} on bridge '{}'", endpoint.address.text(), endpoint.bridge));
}

}  // namespace

void bringLoopbackUp(int netnsFd) {
  const Socket socket = openConfigured(netnsFd, false);
  Request inside;
  addLoopbackUp(inside);
  socket.transact(inside, "bring the loopback interface up");
}

void attach(const Endpoint& endpoint, int netnsFd) {
  if (endpoint.driver == "host") return;
  if (endpoint.driver == "null") return bringLoopbackUp(netnsFd);
  // Before the interface is there: it inherits these settings and never has another.
  const Socket inner = openConfigured(netnsFd, endpoint.ipv6);
  const Socket host = Socket::open(NETLINK_ROUTE);
  const unsigned bridge = ::if_nametoindex(endpoint.bridge.c_str());
  if (bridge == 0) throw SysError(errno, fmt::format("find bridge '{}'", endpoint.bridge));
  createPair(host, endpoint, bridge, netnsFd);
  const int index = indexOf(inner, endpoint.interface);
  Request inside;
  addLoopbackUp(inside);
  addAddress(inside, endpoint, index);
  inside.message(RTM_NEWLINK, NLM_F_ACK).header(up(index));
  if (!endpoint.gateway.empty()) addDefaultRoute(inside, endpoint, index);
  inner.transact(inside, fmt::format("set up interface '{}' of container {}", endpoint.interface,
                                     endpoint.containerId.substr(0, 12)));
  announce(host, endpoint, waitUntilForwarding(host, endpoint.hostInterface, bridge), bridge);
}

void detach(const Endpoint& endpoint) {
  if (endpoint.hostInterface.empty()) return;
  removeInterface(Socket::open(NETLINK_ROUTE), endpoint.hostInterface);
}

}  // namespace estiba::net
