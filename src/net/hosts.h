#pragma once
// The three files of /etc that every container gets. Texts only; whoever writes them decides where.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/address.h"

namespace estiba::net {

struct HostsSpec {
  bool ipv6 = true;                                        ///< the lines of ::1 and its like
  std::vector<std::pair<std::string, std::string>> extra;  ///< {name, address}: --add-host, in order
  /// {address, names}: the container's own, one per network; empty for --network none.
  std::vector<std::pair<std::string, std::string>> own;
};

/// /etc/hosts as Docker writes it.
std::string hostsFile(const HostsSpec& spec);
/// For --network host: the host's own file and the extra lines.
std::string hostsFileOfHost(std::string_view hostFile, const std::vector<std::pair<std::string, std::string>>& extra);
/// "name:address" or "name=address" (IPv6 may stand in brackets), "host-gateway" becomes `hostGateway`.
/// Throws Error(invalid) in Docker's words.
std::pair<std::string, std::string> parseExtraHost(std::string_view text, const Ip& hostGateway);
/// The names of the container's own line: "host.domain host", or "host".
std::string ownNames(std::string_view hostname, std::string_view domainname);
std::string hostnameFile(std::string_view hostname);

struct ResolvSpec {
  std::vector<std::string> servers;  ///< --dns: replaces the host's
  std::vector<std::string> search;   ///< --dns-search: likewise; "." alone for none at all
  std::vector<std::string> options;  ///< --dns-option
  bool ipv6 = false;                 ///< keep the host's IPv6 servers
  bool hostNetwork = false;          ///< keep loopback servers too
};

/// /etc/resolv.conf: the host's `hostFile` without servers on loopback (of no use in another namespace), 8.8.8.8 and
/// 8.8.4.4 where none remains, and what `spec` replaces.
std::string resolvConf(std::string_view hostFile, const ResolvSpec& spec,
                       std::string_view hostPath = "/etc/resolv.conf");

/// The host's {path, text}: /etc/resolv.conf, or what systemd-resolved keeps for others where that names only its stub.
std::pair<std::string, std::string> readHostResolvConf(const std::string& etc = "/etc/resolv.conf");

}  // namespace estiba::net
