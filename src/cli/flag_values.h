#pragma once
// Values with a grammar of their own: parsed when the flag is read (so that a bad one fails at once, in docker's
// words) and again by the command that wants the structure. All throw Error(invalid).

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apitypes/container_config.h"
#include "cli/flag.h"

namespace estiba::cli {

/// One record of RFC 4180 as Go's encoding/csv reads it; "" is "EOF".
std::vector<std::string> parseCsvRecord(std::string_view text);

/// "type=bind,source=/a,target=/b,readonly"; no type: volume.
apitypes::Mount parseMount(const std::string& text);
/// "nofile=1024:2048", "core=-1"; no hard limit: the soft one.
apitypes::Ulimit parseUlimit(const std::string& text);
/// "all", "2", "device=0,driver=nvidia,\"capabilities=gpu,utility\"".
apitypes::DeviceRequest parseGpus(const std::string& text);
/// "/dev/sda:1mb" (bytes per second, powers of 1024).
apitypes::ThrottleDevice parseThrottleBps(const std::string& text);
/// "/dev/sda:1000" (operations per second).
apitypes::ThrottleDevice parseThrottleIops(const std::string& text);
/// "/dev/sda:500"; weight 10..1000, or 0.
apitypes::WeightDevice parseWeightDevice(const std::string& text);

/// --network of run and create: "name" or "name=x,alias=y,ip=1.2.3.4,driver-opt=k=v,mac-address=…,gw-priority=1".
struct NetworkAttachment {
  std::string target;
  std::vector<std::string> aliases;
  std::vector<std::pair<std::string, std::string>> driverOpts;
  std::vector<std::string> links;
  std::string ipv4, ipv6;
  std::vector<std::string> linkLocalIps;
  std::string macAddress;
  int64_t gwPriority = 0;
  bool operator==(const NetworkAttachment&) const = default;
};
NetworkAttachment parseNetworkAttachment(const std::string& text);

/// "name=value" of --filter, both trimmed, the name in lower case.
std::pair<std::string, std::string> parseFilter(const std::string& text);
/// "key=value" or "key": the value is "" then.
std::pair<std::string, std::string> parseKeyValue(const std::string& text);

/// Billionths: "1.5" -> 1500000000.
int64_t parseNanoCpus(std::string_view text);
/// "64m" -> 67108864.
int64_t parseBytes(std::string_view text);
/// As Go's strconv.ParseInt(text, 0, bits), with its error texts.
int64_t parseGoInt(std::string_view text, int bits = 64);
uint64_t parseGoUint(std::string_view text, int bits = 64);
bool parseGoBool(std::string_view text);
/// Nanoseconds; errors as time.ParseDuration words them.
int64_t parseGoDuration(std::string_view text);

// Checks for `Flag::checked`.
void checkEnv(std::string& value);        ///< "=x" refused
void checkLabel(std::string& value);      ///< empty name refused
void checkAttach(std::string& value);     ///< stdin, stdout, stderr; lower case
void checkExtraHost(std::string& value);  ///< name:ip, name=ip, name:host-gateway; kept as name:ip
void checkLink(std::string& value);
void checkIpAddress(std::string& value);  ///< --dns
void checkDnsSearch(std::string& value);
void checkSysctl(std::string& value);
void checkMount(std::string& value);
void checkUlimit(std::string& value);
void checkGpus(std::string& value);
void checkNetwork(std::string& value);
void checkFilter(std::string& value);
void checkThrottleBps(std::string& value);
void checkThrottleIops(std::string& value);
void checkWeightDevice(std::string& value);
void checkStringToString(std::string& value);  ///< key=value demanded, several by commas

constexpr Flag filterFlag(char shorthand, std::string_view usage) {
  return customFlag("filter", shorthand, "filter", usage, checkFilter);
}
constexpr Flag stringToStringFlag(std::string_view name, char shorthand, std::string_view usage) {
  return customFlag(name, shorthand, "stringToString", usage, checkStringToString, "[]");
}

}  // namespace estiba::cli
