#include "net/hosts.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::net {

namespace {

using Line = std::pair<std::string, std::string>;

std::string hostLine(const std::string& address, const std::string& names) {
  return fmt::format("{}\t{}\n", address, names);
}

// Words of a line, separated by blanks.
std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> out;
  for (size_t at = 0; at < line.size();) {
    const size_t begin = line.find_first_not_of(" \t\r", at);
    if (begin == std::string_view::npos) break;
    const size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    out.emplace_back(line.substr(begin, end - begin));
    at = end;
  }
  return out;
}

// What resolv.conf(5) says, by kind.
struct Resolv {
  std::vector<std::string> servers, search, options, others;
};

Resolv parseResolv(std::string_view text) {
  Resolv out;
  for (const auto& raw : split(text, '\n')) {
    const auto line = words(raw);
    if (line.empty() || line[0][0] == '#' || line[0][0] == ';') continue;
    if (line[0] == "nameserver") {
      if (line.size() > 1) out.servers.push_back(line[1]);
    } else if (line[0] == "search" || line[0] == "domain") {
      out.search.assign(line.begin() + 1, line.end());  // the last one counts
    } else if (line[0] == "options") {
      out.options.insert(out.options.end(), line.begin() + 1, line.end());
    } else {
      out.others.push_back(join(line, " "));
    }
  }
  return out;
}

// The address of a server without its zone ("fe80::1%eth0").
std::optional<Ip> serverAddress(const std::string& server) {
  return Ip::parse(cut(server, '%').first);
}

bool reachable(const std::string& server, const ResolvSpec& spec) {
  const auto ip = serverAddress(server);
  if (!ip) return false;
  return spec.hostNetwork || (!ip->isLoopback() && (spec.ipv6 || !ip->isV6()));
}

std::vector<std::string> overridesOf(const ResolvSpec& spec) {
  std::vector<std::string> out;
  if (!spec.servers.empty()) out.emplace_back("nameservers");
  if (!spec.search.empty()) out.emplace_back("search");
  if (!spec.options.empty()) out.emplace_back("options");
  return out;
}

}  // namespace

std::string hostsFile(const HostsSpec& spec) {
  std::string out = hostLine("127.0.0.1", "localhost");
  if (spec.ipv6) {
    out += hostLine("::1", "localhost ip6-localhost ip6-loopback");
    out += hostLine("fe00::", "ip6-localnet");
    out += hostLine("ff00::", "ip6-mcastprefix");
    out += hostLine("ff02::1", "ip6-allnodes");
    out += hostLine("ff02::2", "ip6-allrouters");
  }
  for (const auto& [name, address] : spec.extra) out += hostLine(address, name);
  for (const auto& [address, names] : spec.own) out += hostLine(address, names);
  return out;
}

std::string hostsFileOfHost(std::string_view hostFile, const std::vector<Line>& extra) {
  std::string out(hostFile);
  if (!out.empty() && out.back() != '\n') out += '\n';
  for (const auto& [name, address] : extra) out += hostLine(address, name);
  return out;
}

Line parseExtraHost(std::string_view text, const Ip& hostGateway) {
  const size_t separator = text.find_first_of(":=");
  const std::string_view name = text.substr(0, separator);
  const bool blank = name.find_first_of(" \t\r\n\v\f") != std::string_view::npos;
  if (separator == std::string_view::npos || name.empty() || blank) {
    fail(Code::invalid, "bad format for add-host: {}", quoted(text));
  }
  std::string_view address = text.substr(separator + 1);
  if (address == "host-gateway") {
    if (hostGateway.empty()) {
      fail(Code::invalid, "unable to derive the IP value for host-gateway: the container is on no bridge network");
    }
    return {std::string(name), hostGateway.text()};
  }
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  if (!Ip::parse(address)) fail(Code::invalid, "invalid IP address in add-host: {}", quoted(address));
  return {std::string(name), std::string(address)};
}

std::string ownNames(std::string_view hostname, std::string_view domainname) {
  if (domainname.empty()) return std::string(hostname);
  return fmt::format("{0}.{1} {0}", hostname, domainname);
}

std::string hostnameFile(std::string_view hostname) {
  return fmt::format("{}\n", hostname);
}

std::string resolvConf(std::string_view hostFile, const ResolvSpec& spec, std::string_view hostPath) {
  Resolv conf = parseResolv(hostFile);
  bool usedDefaults = false;
  if (!spec.servers.empty()) {
    conf.servers = spec.servers;
  } else {
    std::erase_if(conf.servers, [&](const std::string& server) { return !reachable(server, spec); });
    usedDefaults = conf.servers.empty() && !spec.hostNetwork;
    if (usedDefaults) {
      conf.servers = {"8.8.8.8", "8.8.4.4"};
      if (spec.ipv6) conf.servers.insert(conf.servers.end(), {"2001:4860:4860::8888", "2001:4860:4860::8844"});
    }
  }
  if (!spec.search.empty()) conf.search = spec.search;
  if (conf.search == std::vector<std::string>{"."}) conf.search.clear();
  if (!spec.options.empty()) conf.options = spec.options;

  std::string out =
      "# Generated by estiba.\n# This file can be edited; estiba will not make further changes once it\n# has been "
      "modified.\n\n";
  for (const auto& server : conf.servers) out += fmt::format("nameserver {}\n", server);
  if (!conf.search.empty()) out += fmt::format("search {}\n", join(conf.search, " "));
  if (!conf.options.empty()) out += fmt::format("options {}\n", join(conf.options, " "));
  for (const auto& line : conf.others) out += line + "\n";
  out += fmt::format("\n# Based on host file: '{}' (legacy)\n", hostPath);
  if (usedDefaults) out += "# Used default nameservers.\n";
  out += fmt::format("# Overrides: [{}]\n", join(overridesOf(spec), " "));
  return out;
}

Line readHostResolvConf(const std::string& etc) {
  constexpr const char* kSystemd = "/run/systemd/resolve/resolv.conf";
  constexpr uint64_t kLimit = 1 << 20;
  const std::string text = tryReadFile(etc, kLimit).value_or("");
  const auto servers = parseResolv(text).servers;
  if (servers == std::vector<std::string>{"127.0.0.53"}) {
    if (auto real = tryReadFile(kSystemd, kLimit)) return {kSystemd, std::move(*real)};
  }
  return {etc, text};
}

}  // namespace estiba::net
