#include "net/bridge.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "sys/file.h"

namespace estiba::net {

namespace {

using netlink::Message;
using netlink::Request;
using netlink::Socket;

constexpr const char* kForward = "/proc/sys/net/ipv4/ip_forward";

ifinfomsg linkHeader(int index = 0, unsigned flags = 0, unsigned change = 0) {
  ifinfomsg out{};
  out.ifi_family = AF_UNSPEC;
  out.ifi_index = index;
  out.ifi_flags = flags;
  out.ifi_change = change;
  return out;
}

// A MAC of its own: else the bridge takes its ports' lowest, which changes with every container.
std::string randomMac() {
  std::string mac{'\x02', '\x42'};
  const std::string digits = randomHex(4);
  for (size_t i = 0; i < 8; i += 2) mac += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return mac;
}

void createBridge(const Socket& route, const BridgeSpec& spec) {
  Request request;
  const std::string mac = randomMac();
  request.message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
      .header(linkHeader())
      .text(IFLA_IFNAME, spec.name)
      .bytes(IFLA_ADDRESS, mac)
      .nest(IFLA_LINKINFO, [&] { request.text(IFLA_INFO_KIND, "bridge"); });
  try {
    route.transact(request, fmt::format("make bridge '{}'", spec.name));
  } catch (const netlink::NetlinkError& e) {
    if (e.err() == EOPNOTSUPP) {
      throw Error(Code::unavailable,
                  fmt::format("{}: load the kernel's bridge driver (modprobe bridge), or use --network host or none",
                              e.what()));
    }
    if (e.err() != EEXIST) throw;  // another engine was faster
  }
  // Containers must not reach the host by an address nobody asked for, nor hand it routes (CVE-2020-13401).
  for (const char* item : {"disable_ipv6", "accept_ra"}) {
    const std::string path = fmt::format("/proc/sys/net/ipv6/conf/{}/{}", spec.name, item);
    if (exists(path)) writeFile(path, item == std::string_view("accept_ra") ? "0" : "1");
  }
}

void addAddress(const Socket& route, const BridgeSpec& spec, int index) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(spec.gateway.family());
  header.ifa_prefixlen = static_cast<uint8_t>(spec.prefixLen);
  header.ifa_index = static_cast<uint32_t>(index);
  const Ip broadcast = Subnet::of(spec.gateway, spec.prefixLen).lastHost().plus(spec.prefixLen < 31 ? 1 : 0);
  Request request;
  request.message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
      .header(header)
      .bytes(IFA_LOCAL, spec.gateway.bytes())
      .bytes(IFA_ADDRESS, spec.gateway.bytes());
  if (!spec.gateway.isV6()) request.bytes(IFA_BROADCAST, broadcast.bytes());
  try {
    route.transact(request, fmt::format("give bridge '{}' the address {}", spec.name, spec.gateway.text()));
  } catch (const netlink::NetlinkError& e) {
    if (e.err() != EEXIST) throw;
  }
}

std::map<int, std::string> interfaceNames(const Socket& route) {
  std::map<int, std::string> names;
  Request request;
  request.message(RTM_GETLINK, NLM_F_DUMP).header(linkHeader());
  route.dump(
      request, "list interfaces",
      [&](const Message& m) {
        names[m.header<ifinfomsg>().ifi_index] = m.attrs<ifinfomsg>().text(IFLA_IFNAME).value_or("");
      },
      [&] { names.clear(); });
  return names;
}

struct Route {
  Subnet destination;
  int interface = 0;
  uint32_t priority = 0;
  bool isDefault = false;
};

// IPv4 routes of the main table (others are policy: theirs do not claim the address space).
std::vector<Route> mainRoutes(const Socket& route) {
  std::vector<Route> out;
  rtmsg header{};
  header.rtm_family = AF_INET;
  Request request;
  request.message(RTM_GETROUTE, NLM_F_DUMP).header(header);
  route.dump(
      request, "list routes",
      [&](const Message& m) {
        const auto fixed = m.header<rtmsg>();
        const auto attrs = m.attrs<rtmsg>();
        if (fixed.rtm_family != AF_INET || attrs.u32(RTA_TABLE).value_or(fixed.rtm_table) != RT_TABLE_MAIN) return;
        Route item;
        item.interface = static_cast<int>(attrs.u32(RTA_OIF).value_or(0));
        item.priority = attrs.u32(RTA_PRIORITY).value_or(0);
        item.isDefault = fixed.rtm_dst_len == 0;
        const auto base = Ip::fromBytes(attrs.find(RTA_DST).value_or(""));
        if (!item.isDefault && !base) return;
        if (base) item.destination = Subnet::of(*base, fixed.rtm_dst_len);
        out.push_back(item);
      },
      [&] { out.clear(); });
  return out;
}

}  // namespace

BridgeState bridgeState(const Socket& route, const BridgeSpec& spec) {
  BridgeState state;
  Request request;
  request.message(RTM_GETLINK, NLM_F_ACK)
      .header(linkHeader())
      .text(IFLA_IFNAME, spec.name)
      .u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const auto errors = route.attempt(request, "look up a bridge", [&](const Message& m) {
    const auto header = m.header<ifinfomsg>();
    const auto attrs = m.attrs<ifinfomsg>();
    state.index = header.ifi_index;
    state.up = (header.ifi_flags & IFF_UP) != 0;
    state.mtu = static_cast<int>(attrs.u32(IFLA_MTU).value_or(0));
    const auto info = attrs.nested(IFLA_LINKINFO);
    state.isBridge = info && info->text(IFLA_INFO_KIND) == "bridge";
  });
  if (errors[0] != 0 && errors[0] != ENODEV) {
    throw SysError(errors[0], fmt::format("look up interface '{}'", spec.name));
  }
  if (state.index == 0 || spec.gateway.empty()) return state;

  ifaddrmsg filter{};
  filter.ifa_family = static_cast<uint8_t>(spec.gateway.family());
  filter.ifa_index = static_cast<uint32_t>(state.index);
  Request addresses;
  addresses.message(RTM_GETADDR, NLM_F_DUMP).header(filter);
  route.dump(addresses, fmt::format("list addresses of '{}'", spec.name), [&](const Message& m) {
    const auto header = m.header<ifaddrmsg>();
    if (header.ifa_index != filter.ifa_index || header.ifa_prefixlen != spec.prefixLen) return;
    if (m.attrs<ifaddrmsg>().find(IFA_LOCAL) == spec.gateway.bytes()) state.hasAddress = true;
  });
  return state;
}

BridgeState ensureBridge(const Socket& route, const BridgeSpec& spec) {
  BridgeState state = bridgeState(route, spec);
  const bool isNew = state.index == 0;
  if (isNew) {
    createBridge(route, spec);
    state = bridgeState(route, spec);
  }
  if (!state.isBridge) {
    fail(Code::conflict, "interface '{}' is there already and is no bridge: rename or remove it", spec.name);
  }
  if (state.up && state.hasAddress) return state;
  if (!state.hasAddress) addAddress(route, spec, state.index);
  Request request;
  request.message(RTM_NEWLINK, NLM_F_ACK).header(linkHeader(state.index, IFF_UP, IFF_UP));
  // Said on its own and not when it is made: else the MTU follows that of the ports.
  if (isNew && spec.mtu != 0) request.u32(IFLA_MTU, static_cast<uint32_t>(spec.mtu));
  if (isNew && !spec.owner.empty()) request.text(IFLA_IFALIAS, spec.owner);
  route.transact(request, fmt::format("bring bridge '{}' up", spec.name));
  return bridgeState(route, spec);
}

void removeInterface(const Socket& route, const std::string& name) {
  Request request;
  request.message(RTM_DELLINK, NLM_F_ACK).header(linkHeader()).text(IFLA_IFNAME, name);
  const auto errors = route.attempt(request, "remove an interface");
  if (errors[0] != 0 && errors[0] != ENODEV) throw SysError(errors[0], fmt::format("remove interface '{}'", name));
}

std::vector<std::string> bridgesOwnedBy(const Socket& route, const std::string& owner) {
  std::vector<std::string> names;
  Request request;
  request.message(RTM_GETLINK, NLM_F_DUMP).header(linkHeader());
  route.dump(
      request, "list interfaces",
      [&](const Message& m) {
        const auto attrs = m.attrs<ifinfomsg>();
        if (attrs.text(IFLA_IFALIAS) == owner) names.push_back(attrs.text(IFLA_IFNAME).value_or(""));
      },
      [&] { names.clear(); });
  return names;
}

std::vector<Occupied> occupiedSubnets(const Socket& route, const std::string& exceptInterface) {
  const auto names = interfaceNames(route);
  const auto nameOf = [&](int index) {
    const auto it = names.find(index);
    return it == names.end() ? std::string() : it->second;
  };
  std::vector<Occupied> out;
  for (const Route& item : mainRoutes(route)) {
    if (!item.isDefault) out.push_back({item.destination, nameOf(item.interface)});
  }
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  Request request;
  request.message(RTM_GETADDR, NLM_F_DUMP).header(header);
  // An address seen twice, after a restarted dump, does no harm.
  route.dump(request, "list addresses", [&](const Message& m) {
    const auto fixed = m.header<ifaddrmsg>();
    const auto attrs = m.attrs<ifaddrmsg>();
    const auto ip = Ip::fromBytes(attrs.find(IFA_LOCAL).value_or(attrs.find(IFA_ADDRESS).value_or("")));
    if (!ip) return;
    out.push_back({Subnet::of(*ip, fixed.ifa_prefixlen), nameOf(static_cast<int>(fixed.ifa_index))});
  });
  std::erase_if(out, [&](const Occupied& item) { return item.interface == exceptInterface; });
  return out;
}

int defaultMtu(const Socket& route) {
  constexpr int kEthernet = 1500;
  const auto routes = mainRoutes(route);
  const Route* best = nullptr;
  for (const Route& item : routes) {
    if (item.isDefault && item.interface != 0 && (best == nullptr || item.priority < best->priority)) best = &item;
  }
  if (best == nullptr) return kEthernet;
  int mtu = kEthernet;
  Request request;
  request.message(RTM_GETLINK, NLM_F_ACK).header(linkHeader(best->interface));
  route.attempt(request, "look up the default route's interface", [&](const Message& m) {
    mtu = static_cast<int>(m.attrs<ifinfomsg>().u32(IFLA_MTU).value_or(kEthernet));
  });
  return mtu;
}

void ensureForwarding() {
  if (trim(readFile(kForward, 64)) == "1") return;
  try {
    writeFile(kForward, "1");
  } catch (const SysError& e) {
    throw Error(Code::unavailable,
                fmt::format("{}: containers on a bridge need net.ipv4.ip_forward=1, which could not be set", e.what()));
  }
}

}  // namespace estiba::net
