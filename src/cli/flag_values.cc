#include "cli/flag_values.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <tuple>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/gotemplate.h"

namespace estiba::cli {

namespace {

template <class... A>
[[noreturn]] void bad(fmt::format_string<A...> what, A&&... args) {
  fail(Code::invalid, what, std::forward<A>(args)...);
}

bool isIp(const std::string& text) {
  std::array<unsigned char, 16> buffer{};
  return inet_pton(AF_INET, text.c_str(), buffer.data()) == 1 || inet_pton(AF_INET6, text.c_str(), buffer.data()) == 1;
}

/// Magnitude of a Go integer literal: base prefixes, '_' between digits. nullopt: no number; overflow is told apart.
struct Magnitude {
  uint64_t value = 0;
  bool overflow = false;
};

std::optional<Magnitude> parseMagnitude(std::string_view text) {
  uint64_t base = 10;
  bool prefixed = false;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    text.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
    prefixed = true;
  }
  if (text.empty() || text.back() == '_' || (!prefixed && text.front() == '_')) return std::nullopt;
  Magnitude out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_') {
      if (text[i + 1] == '_') return std::nullopt;
      continue;
    }
    const char c = static_cast<char>(text[i] | 0x20);
    const uint64_t digit = text[i] >= '0' && text[i] <= '9' ? static_cast<uint64_t>(text[i] - '0')
                           : c >= 'a' && c <= 'f'           ? static_cast<uint64_t>(c - 'a' + 10)
                                                            : 99;
    if (digit >= base) return std::nullopt;
    out.overflow |= __builtin_mul_overflow(out.value, base, &out.value);
    out.overflow |= __builtin_add_overflow(out.value, digit, &out.value);
  }
  return out;
}

[[noreturn]] void badNumber(std::string_view function, std::string_view text, bool range) {
  bad("strconv.{}: parsing {}: {}", function, goQuote(text), range ? "value out of range" : "invalid syntax");
}

/// Decimal floats as Go's ParseFloat takes them in sizes.
double parseGoFloat(std::string_view text) {
  double value = 0;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) badNumber("ParseFloat", text, true);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty())
    badNumber("ParseFloat", text, false);
  return value;
}

/// A number with a unit of 1024s. Source: go-units RAMInBytes.
int64_t parseSize(std::string_view text) {
  const size_t last = text.find_last_of("0123456789. ");
  if (last == std::string_view::npos) bad("invalid size: '{}'", text);
  std::string_view number = text.substr(0, last + 1);
  const std::string suffix = toLower(text.substr(last + 1));
  if (number.ends_with(' ')) number.remove_suffix(1);
  const double value = parseGoFloat(number);
  if (value < 0 || std::signbit(value)) bad("invalid size: '{}'", text);
  if (suffix.empty() || suffix == "b") return static_cast<int64_t>(value);
  const size_t unit = std::string_view("kmgtp").find(suffix[0]);
  const std::string_view rest = std::string_view(suffix).substr(1);
  if (unit == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) {
    bad("invalid suffix: '{}'", text.substr(last + 1));
  }
  const double bytes = value * std::pow(1024.0, static_cast<double>(unit + 1));
  if (bytes >= 9.2e18) bad("invalid size: '{}'", text);
  return static_cast<int64_t>(bytes);
}

/// "key=value" fields of a CSV record, keys in lower case.
std::pair<std::string, std::optional<std::string>> field(const std::string& text) {
  auto [key, value] = cut(text, '=');
  return {toLower(key), std::move(value)};
}

[[noreturn]] void badMountValue(const std::string& key, const std::string& value) {
  bad("invalid value for {}: {}", key, value);
}

bool mountBool(const std::string& key, const std::optional<std::string>& value) {
  if (!value) return true;
  try {
    return parseGoBool(*value);
  } catch (const Error&) {
    badMountValue(key, *value);
  }
}

template <class T>
T& ensure(std::optional<T>& value) {
  if (!value) value.emplace();
  return *value;
}

void addPair(std::optional<std::map<std::string, std::string>>& map, const std::string& text) {
  const auto [key, value] = parseKeyValue(text);
  ensure(map)[key] = value;
}

void setBindRecursive(apitypes::Mount& mount, const std::string& value) {
  apitypes::BindOptions& bind = ensure(mount.BindOptions);
  if (value == "enabled") return;
  if (value == "disabled") {
    bind.NonRecursive = true;
  } else if (value == "writable") {
    bind.ReadOnlyNonRecursive = true;
  } else if (value == "readonly") {
    bind.ReadOnlyForceRecursive = true;
  } else {
    bad(R"(invalid value for bind-recursive: {} (must be "enabled", "disabled", "writable", or "readonly"))", value);
  }
}

/// Options that belong to one type of mount. False: `key` is none of them.
bool setTypedMountField(apitypes::Mount& mount, const std::string& key, const std::optional<std::string>& given) {
  const std::string value = given.value_or("");
  if (key == "bind-propagation") {
    ensure(mount.BindOptions).Propagation = toLower(value);
  } else if (key == "bind-nonrecursive") {
    ensure(mount.BindOptions).NonRecursive = mountBool(key, given);
  } else if (key == "bind-recursive") {
    setBindRecursive(mount, value);
  } else if (key == "volume-subpath") {
    ensure(mount.VolumeOptions).Subpath = value;
  } else if (key == "volume-nocopy") {
    ensure(mount.VolumeOptions).NoCopy = mountBool(key, given);
  } else if (key == "volume-label") {
    addPair(ensure(mount.VolumeOptions).Labels, value);
  } else if (key == "volume-driver") {
    ensure(ensure(mount.VolumeOptions).DriverConfig).Name = value;
  } else if (key == "volume-opt") {
    addPair(ensure(ensure(mount.VolumeOptions).DriverConfig).Options, value);
  } else if (key == "image-subpath") {
    ensure(mount.ImageOptions).Subpath = value;
  } else if (key == "tmpfs-size") {
    try {
      ensure(mount.TmpfsOptions).SizeBytes = parseSize(value);
    } catch (const Error&) {
      badMountValue(key, value);
    }
  } else if (key == "tmpfs-mode") {
    uint32_t mode = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), mode, 8);
    if (error != std::errc() || end != value.data() + value.size()) badMountValue(key, value);
    ensure(mount.TmpfsOptions).Mode = mode;
  } else {
    return false;
  }
  return true;
}

bool mayStandAlone(const std::string& key) {
  return key == "readonly" || key == "ro" || key == "volume-nocopy" || key == "bind-nonrecursive";
}

void setMountField(apitypes::Mount& mount, const std::string& text) {
  const auto [key, given] = field(text);
  if (!given && !mayStandAlone(key)) bad("invalid field '{}' must be a key=value pair", text);
  const std::string value = given.value_or("");
  if (key == "type") {
    mount.Type = toLower(value);
  } else if (key == "source" || key == "src") {
    mount.Source = value;
    // As docker: a relative path is the caller's own.
    if (value == "." || value.starts_with("./") || value.starts_with("../")) {
      std::array<char, 4096> buffer{};
      if (::getcwd(buffer.data(), buffer.size()) != nullptr) mount.Source = std::string(buffer.data()) + "/" + value;
    }
  } else if (key == "target" || key == "dst" || key == "destination") {
    mount.Target = value;
  } else if (key == "readonly" || key == "ro") {
    mount.ReadOnly = mountBool(key, given);
  } else if (key == "consistency") {
    mount.Consistency = toLower(value);
  } else if (!setTypedMountField(mount, key, given)) {
    bad("unexpected key '{}' in '{}'", key, text);
  }
}

void checkMountMix(const apitypes::Mount& mount) {
  const std::string type = mount.Type.value_or("");
  if (type.empty()) bad("type is required");
  if (!mount.Target || mount.Target->empty()) bad("target is required");
  if (mount.VolumeOptions && type != "volume") bad("cannot mix 'volume-*' options with mount type '{}'", type);
  if (mount.ImageOptions && type != "image") bad("cannot mix 'image-*' options with mount type '{}'", type);
  if (mount.BindOptions && type != "bind") bad("cannot mix 'bind-*' options with mount type '{}'", type);
  if (mount.TmpfsOptions && type != "tmpfs") bad("cannot mix 'tmpfs-*' options with mount type '{}'", type);
}

void checkReadOnlyBind(const apitypes::Mount& mount) {
  if (!mount.BindOptions || mount.ReadOnly.value_or(false)) return;
  if (mount.BindOptions->ReadOnlyNonRecursive.value_or(false)) {
    bad("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  }
  if (mount.BindOptions->ReadOnlyForceRecursive.value_or(false)) {
    bad("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
  }
}

/// "device:rest" with a device below /dev/.
std::pair<std::string, std::string> devicePair(const std::string& text) {
  const auto [path, rest] = cut(text, ':');
  if (!rest || path.empty()) bad("bad format: {}", text);
  if (!path.starts_with("/dev/")) bad("bad format for device path: {}", text);
  return {path, *rest};
}

bool isDomain(std::string_view name) {
  if (name.empty() || name.size() > 255) return false;
  const auto parts = split(name, '.');
  return std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    return !part.empty() && part.size() < 64 && part.front() != '-' && part.back() != '-' &&
           std::all_of(part.begin(), part.end(),
                       [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
  });
}

}  // namespace

std::vector<std::string> parseCsvRecord(std::string_view text) {
  if (text.empty()) bad("EOF");
  std::vector<std::string> out(1);
  for (size_t i = 0;;) {
    if (i < text.size() && text[i] == '"') {
      for (++i;; ++i) {
        if (i >= text.size()) bad("parse error on line 1, column {}: extraneous or missing \" in quoted-field", i + 1);
        if (text[i] != '"') {
          out.back() += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '"') {
          out.back() += text[i++];
        } else {
          break;
        }
      }
      ++i;
      if (i < text.size() && text[i] != ',') {
        bad("parse error on line 1, column {}: extraneous or missing \" in quoted-field", i);
      }
    } else {
      const size_t end = std::min(text.find(',', i), text.size());
      out.back() = text.substr(i, end - i);
      if (const size_t quote = out.back().find('"'); quote != std::string::npos) {
        bad("parse error on line 1, column {}: bare \" in non-quoted-field", i + quote + 1);
      }
      i = end;
    }
    if (i >= text.size()) return out;
    ++i;
    out.emplace_back();
  }
}

apitypes::Mount parseMount(const std::string& text) {
  apitypes::Mount mount;
  mount.Type = "volume";
  for (const std::string& part : parseCsvRecord(text)) setMountField(mount, part);
  checkMountMix(mount);
  checkReadOnlyBind(mount);
  return mount;
}

apitypes::Ulimit parseUlimit(const std::string& text) {
  static constexpr std::array<std::string_view, 16> kNames{
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  const auto [name, values] = cut(text, '=');
  if (!values) bad("invalid ulimit argument: {}", text);
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) bad("invalid ulimit type: {}", name);
  const auto parts = split(*values, ':');
  if (parts.size() > 2) {
    bad("too many limit value arguments - {}, can only have up to two, `soft[:hard]`", *values);
  }
  // Base 10 here, so that no prefix counts.
  const auto number = [](const std::string& part) {
    if (const auto value = parseInt(part)) return *value;
    badNumber("ParseInt", part, false);
  };
  apitypes::Ulimit out{.Name = name, .Hard = 0, .Soft = number(parts[0])};
  out.Hard = parts.size() == 2 ? number(parts[1]) : out.Soft;
  if (parts.size() == 2 && out.Hard != -1) {
    if (out.Soft == -1)
      bad("ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {}", out.Hard);
    if (out.Soft > out.Hard)
      bad("ulimit soft limit must be less than or equal to hard limit: {} > {}", out.Soft, out.Hard);
  }
  return out;
}

apitypes::DeviceRequest parseGpus(const std::string& text) {
  apitypes::DeviceRequest out;
  bool hasCount = false;
  const auto count = [&](const std::string& value) {
    hasCount = true;
    if (value == "all") return int64_t{-1};
    if (const auto number = parseInt(value)) return *number;
    bad("invalid count ({}): value must be either \"all\" or an integer: invalid syntax", value);
  };
  std::vector<std::string> capabilities{"gpu"};
  std::vector<std::string> seen;
  for (const std::string& part : parseCsvRecord(text)) {
    const auto [key, value] = cut(part, '=');
    if (std::find(seen.begin(), seen.end(), key) != seen.end())
      bad("gpu request key '{}' can be specified only once", key);
    seen.push_back(key);
    if (!value) {
      out.Count = count(key);
    } else if (key == "driver") {
      out.Driver = *value;
    } else if (key == "count") {
      out.Count = count(*value);
    } else if (key == "device") {
      out.DeviceIDs.emplace(split(*value, ','));
    } else if (key == "capabilities") {
      for (const std::string& capability : split(*value, ',')) capabilities.push_back(capability);
    } else if (key == "options") {
      for (const std::string& option : parseCsvRecord(*value)) out.Options.insert(parseKeyValue(option));
    } else {
      bad("unexpected key '{}' in '{}'", key, part);
    }
  }
  if (!hasCount && !out.DeviceIDs) out.Count = 1;
  out.Capabilities.emplace(std::vector<std::vector<std::string>>{capabilities});
  return out;
}

apitypes::ThrottleDevice parseThrottleBps(const std::string& text) {
  const auto [path, rate] = devicePair(text);
  try {
    return {path, static_cast<uint64_t>(parseSize(rate))};
  } catch (const Error&) {
    bad("invalid rate for device: {}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive "
        "integer. Unit is optional and can be kb, mb, or gb",
        text);
  }
}

apitypes::ThrottleDevice parseThrottleIops(const std::string& text) {
  const auto [path, rate] = devicePair(text);
  const auto number = parseUint(rate);
  if (!number) {
    bad("invalid rate for device: {}. The correct format is <device-path>:<number>. Number must be a positive integer",
        text);
  }
  return {path, *number};
}

apitypes::WeightDevice parseWeightDevice(const std::string& text) {
  const auto [path, weight] = devicePair(text);
  const auto number = parseUint(weight);
  if (!number || (*number > 0 && (*number < 10 || *number > 1000))) bad("invalid weight for device: {}", text);
  return {path, static_cast<uint16_t>(*number)};
}

NetworkAttachment parseNetworkAttachment(const std::string& text) {
  NetworkAttachment out;
  const auto parts = text.empty() ? std::vector<std::string>{} : parseCsvRecord(text);
  const bool longForm =
      std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.starts_with("name="); });
  if (!longForm) {
    out.target = text;
    return out;
  }
  for (const std::string& part : parts) {
    const auto [rawKey, value] = field(part);
    const std::string key(trim(rawKey));
    if (!value) bad("invalid field {}", part);
    const std::string data(trim(*value));
    if (key == "name") {
      out.target = data;
    } else if (key == "alias") {
      out.aliases.push_back(data);
    } else if (key == "driver-opt") {
      const auto [name, option] = cut(toLower(data), '=');
      if (!option) bad("invalid key value pair format in driver options");
      out.driverOpts.emplace_back(trim(name), trim(*option));
    } else if (key == "ip") {
      out.ipv4 = data;
    } else if (key == "ip6") {
      out.ipv6 = data;
    } else if (key == "mac-address") {
      out.macAddress = data;
    } else if (key == "link-local-ip") {
      out.linkLocalIps.push_back(data);
    } else if (key == "gw-priority") {
      out.gwPriority = parseGoInt(data);
    } else {
      bad("invalid field key {}", key);
    }
  }
  if (out.target.empty()) bad("network name/id is not specified");
  return out;
}

std::pair<std::string, std::string> parseFilter(const std::string& text) {
  const auto [name, value] = cut(text, '=');
  if (!value) bad("bad format of filter (expected name=value)");
  return {toLower(trim(name)), std::string(trim(*value))};
}

std::pair<std::string, std::string> parseKeyValue(const std::string& text) {
  auto [key, value] = cut(text, '=');
  return {std::move(key), value.value_or("")};
}

int64_t parseNanoCpus(std::string_view text) {
  const auto notRational = [&]() { bad("failed to parse {} as a rational number", text); };
  const auto [top, bottom] = cut(text, '/');
  if (bottom) {
    const auto a = parseInt(top), b = parseInt(*bottom);
    if (!a || !b || *b == 0) notRational();
    int64_t nanos = 0;
    if (__builtin_mul_overflow(*a, int64_t{1000000000}, &nanos)) notRational();
    if (nanos % *b != 0) bad("value is too precise");
    return nanos / *b;
  }
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto [whole, decimals] = cut(digits, '.');
  std::string fraction = decimals.value_or("");
  const auto numeric = [](std::string_view s) { return s.find_first_not_of("0123456789") == std::string_view::npos; };
  if (digits.empty() || digits == "." || !numeric(whole) || !numeric(fraction) || whole.size() > 9) notRational();
  while (fraction.size() > 9 && fraction.back() == '0') fraction.pop_back();
  if (fraction.size() > 9) bad("value is too precise");
  fraction.resize(9, '0');
  const int64_t nanos = static_cast<int64_t>(parseUint(whole).value_or(0) * 1000000000 + *parseUint(fraction));
  return negative ? -nanos : nanos;
}

int64_t parseBytes(std::string_view text) {
  return parseSize(text);
}

int64_t parseGoInt(std::string_view text, int bits) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto magnitude = parseMagnitude(digits);
  if (!magnitude) badNumber("ParseInt", text, false);
  const uint64_t most = (uint64_t{1} << (bits - 1)) - (negative ? 0 : 1);
  if (magnitude->overflow || magnitude->value > most) badNumber("ParseInt", text, true);
  return static_cast<int64_t>(negative ? 0 - magnitude->value : magnitude->value);
}

uint64_t parseGoUint(std::string_view text, int bits) {
  const auto magnitude = parseMagnitude(text);
  if (!magnitude) badNumber("ParseUint", text, false);
  if (magnitude->overflow || (bits < 64 && magnitude->value >> bits != 0)) badNumber("ParseUint", text, true);
  return magnitude->value;
}

bool parseGoBool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  badNumber("ParseBool", text, false);
}

int64_t parseGoDuration(std::string_view text) {
  if (const auto value = parseDuration(text)) return value->count();
  std::string_view digits = text;
  if (digits.starts_with('-') || digits.starts_with('+')) digits.remove_prefix(1);
  const bool number = !digits.empty() && digits.find_first_not_of("0123456789.") == std::string_view::npos &&
                      digits.find_first_of("0123456789") != std::string_view::npos;
  if (number) bad("time: missing unit in duration {}", goQuote(text));
  const size_t unit = digits.find_first_not_of("0123456789.");
  if (unit != std::string_view::npos && unit > 0) {
    const std::string_view rest = digits.substr(unit);
    bad("time: unknown unit {} in duration {}", goQuote(rest.substr(0, rest.find_first_of("0123456789."))),
        goQuote(text));
  }
  bad("time: invalid duration {}", goQuote(text));
}

void checkEnv(std::string& value) {
  if (value.empty() || value[0] == '=') bad("invalid environment variable: {}", value);
  // A name alone takes the caller's own value, and is left out where there is none.
  if (value.find('=') == std::string::npos) {
    if (const char* own = std::getenv(value.c_str())) value += std::string("=") + own;
  }
}

void checkLabel(std::string& value) {
  const std::string name = cut(value, '=').first;
  if (name.empty()) bad("invalid label '{}': empty name", value);
  if (name.find_first_of(" \t\n\v\f\r") != std::string::npos) bad("label '{}' contains whitespaces", value);
}

void checkAttach(std::string& value) {
  value = toLower(value);
  if (value != "stdin" && value != "stdout" && value != "stderr") {
    bad("valid streams are STDIN, STDOUT and STDERR");
  }
}

void checkExtraHost(std::string& value) {
  // "name=ip" is taken first: an IPv6 address has colons of its own.
  auto [name, address] = cut(value, '=');
  if (!address) std::tie(name, address) = cut(value, ':');
  if (!address || name.empty()) bad("bad format for add-host: {}", goQuote(value));
  std::string ip = *address;
  if (ip != "host-gateway") {
    if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']') ip = ip.substr(1, ip.size() - 2);
    if (!isIp(ip)) bad("invalid IP address in add-host: {}", goQuote(*address));
  }
  value = name + ":" + ip;
}

void checkLink(std::string& value) {
  if (value.empty()) bad("empty string specified for links");
  const auto parts = split(value, ':');
  if (parts.size() > 2) bad("bad format for links: {}", value);
}

void checkIpAddress(std::string& value) {
  const std::string text(trim(value));
  if (!isIp(text)) bad("IP address is not correctly formatted: {}", value);
  value = text;
}

void checkDnsSearch(std::string& value) {
  const std::string text(trim(value));
  if (text == ".") {
    value = text;
    return;
  }
  std::string_view name = text;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!isDomain(name)) bad("{} is not a valid domain", value);
  value = text;
}

void checkSysctl(std::string& value) {
  static constexpr std::array<std::string_view, 9> kNames{
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",          "kernel.sem",       "kernel.shmall",
      "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.domainname"};
  std::string name = cut(value, '=').first;
  const bool separated = value.find('=') != std::string::npos;
  // "net/ipv4/…" is a spelling of "net.ipv4.…".
  if (name.find_first_of("./") != std::string::npos && name[name.find_first_of("./")] == '/') {
    std::replace(name.begin(), name.end(), '/', '.');
  }
  const bool allowed = std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name.starts_with("net.") ||
                       name.starts_with("fs.mqueue.");
  if (!separated || !allowed) bad("sysctl '{}' is not allowed", value);
}

void checkMount(std::string& value) {
  parseMount(value);
}
void checkUlimit(std::string& value) {
  parseUlimit(value);
}
void checkGpus(std::string& value) {
  parseGpus(value);
}
void checkNetwork(std::string& value) {
  parseNetworkAttachment(value);
}
void checkFilter(std::string& value) {
  if (!value.empty()) parseFilter(value);
}
void checkThrottleBps(std::string& value) {
  parseThrottleBps(value);
}
void checkThrottleIops(std::string& value) {
  parseThrottleIops(value);
}
void checkWeightDevice(std::string& value) {
  parseWeightDevice(value);
}

void checkStringToString(std::string& value) {
  for (const std::string& pair : parseCsvRecord(value)) {
    if (pair.find('=') == std::string::npos) bad("{} must be formatted as key=value", pair);
  }
}

}  // namespace estiba::cli
