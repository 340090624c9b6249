// EXPOSE: port, port/protocol, ranges; and, as Docker still does, [ip:]host:port of which only the port counts.

#include <arpa/inet.h>

#include "base/text.h"
#include "build/dockerfile/instructions.h"

namespace estiba::build {
namespace {

struct PortRange {
  unsigned first = 0;
  unsigned last = 0;
};

std::optional<unsigned> portNumber(std::string_view text) {
  const auto number = parseUint(text);
  if (!number || *number > 65535) return std::nullopt;
  return static_cast<unsigned>(*number);
}

std::optional<PortRange> portRange(std::string_view text) {
  const auto [low, high] = cut(text, '-');
  const auto first = portNumber(low);
  const auto last = high ? portNumber(*high) : first;
  if (!first || !last || *last < *first) return std::nullopt;
  return PortRange{*first, *last};
}

struct Mapping {
  std::string ip;
  std::string host;
  std::string port;
};

Mapping splitMapping(const std::string& word) {
  const size_t last = word.rfind(':');
  if (last == std::string::npos) return {"", "", word};
  const size_t before = last == 0 ? std::string::npos : word.rfind(':', last - 1);
  if (before == std::string::npos) return {"", word.substr(0, last), word.substr(last + 1)};
  return {word.substr(0, before), word.substr(before + 1, last - before - 1), word.substr(last + 1)};
}

void checkIp(const std::string& text) {
  std::string ip = text;
  if (ip.starts_with('[') && ip.ends_with(']')) ip = ip.substr(1, ip.size() - 2);
  in6_addr address{};
  if (inet_pton(AF_INET, ip.c_str(), &address) != 1 && inet_pton(AF_INET6, ip.c_str(), &address) != 1) {
    fail(Code::invalid, "invalid IP address: {}", ip);
  }
}

void checkHostPort(const Mapping& mapping, PortRange port, const std::string& portText) {
  if (!mapping.ip.empty()) checkIp(mapping.ip);
  if (mapping.host.empty()) return;
  const auto host = portRange(mapping.host);
  if (!host) fail(Code::invalid, "invalid hostPort: {}", mapping.host);
  if (host->last - host->first != port.last - port.first && port.first != port.last) {
    fail(Code::invalid, "invalid ranges specified for container and host Ports: {} and {}", portText, mapping.host);
  }
}

void exposeWord(const std::string& word, std::vector<std::string>& out) {
  const Mapping mapping = splitMapping(word);
  const auto [port, givenProtocol] = cut(mapping.port, '/');
  if (port.empty()) fail(Code::invalid, "invalid port: {}: no port specified", quoted(word));
  std::string protocol = toLower(givenProtocol.value_or(""));
  if (protocol.empty()) protocol = "tcp";
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    fail(Code::invalid, "invalid port: {}: invalid proto: {}", quoted(word), *givenProtocol);
  }
  const auto range = portRange(port);
  if (!range) fail(Code::invalid, "invalid containerPort: {}", port);
  checkHostPort(mapping, *range, port);
  for (unsigned number = range->first; number <= range->last; ++number) {
    out.push_back(fmt::format("{}/{}", number, protocol));
  }
}

}  // namespace

std::vector<std::string> parseExposePorts(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const std::string& word : words) exposeWord(word, out);
  return out;
}

}  // namespace estiba::build
