#include "oci/platform.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"

namespace estiba::oci {

namespace {

constexpr std::array kKnownOs = {"aix",   "android", "darwin",  "dragonfly", "freebsd", "illumos", "ios",     "js",
                                 "linux", "netbsd",  "openbsd", "plan9",     "solaris", "wasip1",  "windows", "zos"};
constexpr std::array kKnownArch = {"386",    "amd64",    "arm",    "arm64", "loong64", "mips",
                                   "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
                                   "s390x",  "wasm",     "ppc",    "riscv", "sparc64", "amd64p32"};

template <size_t N>
bool among(const std::array<const char*, N>& known, std::string_view text) {
  return std::any_of(known.begin(), known.end(), [&](const char* k) { return text == k; });
}

bool isComponent(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
           c == '-';
  });
}

/// "v7" -> 7; nullopt for what is no such thing.
std::optional<int> variantNumber(std::string_view variant) {
  if (!variant.starts_with('v')) return std::nullopt;
  const auto number = parseUint(variant.substr(1));
  if (!number || *number > 99) return std::nullopt;
  return static_cast<int>(*number);
}

int effectiveVariant(const Platform& p) {
  if (auto n = variantNumber(p.variant)) return *n;
  if (p.architecture == "arm64") return 8;
  if (p.architecture == "arm") return 7;
  return 1;
}

}  // namespace

Platform normalised(Platform p) {
  p.os = toLower(p.os);
  p.architecture = toLower(p.architecture);
  p.variant = toLower(p.variant);
  if (p.os == "macos") p.os = "darwin";
  std::string& arch = p.architecture;
  if (arch == "x86_64" || arch == "x86-64") arch = "amd64";
  if (arch == "i386" || arch == "i486" || arch == "i586" || arch == "i686") arch = "386";
  if (arch == "aarch64") arch = "arm64";
  if (arch == "armhf") {
    arch = "arm";
    p.variant = "v7";
  } else if (arch == "armel") {
    arch = "arm";
    p.variant = "v6";
  }
  if (!p.variant.empty() && p.variant[0] >= '0' && p.variant[0] <= '9') p.variant.insert(0, "v");
  if (arch == "amd64" && p.variant == "v1") p.variant.clear();
  if (arch == "arm64" && p.variant == "v8") p.variant.clear();
  if (arch == "arm" && p.variant.empty()) p.variant = "v7";
  return p;
}

Platform Platform::host() {
#if defined(__x86_64__)
  return {.architecture = "amd64", .os = "linux"};
#elif defined(__aarch64__)
  return {.architecture = "arm64", .os = "linux"};
#elif defined(__arm__)
  return {.architecture = "arm", .os = "linux", .variant = "v7"};
#elif defined(__riscv)
  return {.architecture = "riscv64", .os = "linux"};
#elif defined(__powerpc64__)
  return {.architecture = "ppc64le", .os = "linux"};
#elif defined(__s390x__)
  return {.architecture = "s390x", .os = "linux"};
#else
#error "unknown architecture"
#endif
}

Platform Platform::parse(std::string_view text) {
  const auto parts = split(text, '/');
  for (const auto& part : parts) {
    if (!isComponent(part)) {
      fail(Code::invalid,
           "{} is an invalid component of {}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\"",
           quoted(part), quoted(text));
    }
  }
  if (parts.size() > 3) fail(Code::invalid, "{}: cannot parse platform specifier", quoted(text));
  if (parts.size() == 1) {
    const Platform os = normalised({.os = parts[0]});
    if (among(kKnownOs, os.os)) {
      Platform out = host();
      out.os = os.os;
      return normalised(out);
    }
    const Platform arch = normalised({.architecture = parts[0], .os = "linux"});
    if (among(kKnownArch, arch.architecture)) return arch;
    fail(Code::invalid, "{}: unknown operating system or architecture", quoted(text));
  }
  Platform out{.architecture = parts[1], .os = parts[0]};
  if (parts.size() == 3) out.variant = parts[2];
  return normalised(out);
}

std::string Platform::str() const {
  std::string out = os + "/" + architecture;
  if (!variant.empty()) out += "/" + variant;
  return out;
}

std::optional<int> matchRank(const Platform& wantRaw, const Platform& haveRaw) {
  const Platform want = normalised(wantRaw);
  const Platform have = normalised(haveRaw);
  if (want.os != have.os) return std::nullopt;
  constexpr int kOtherArch = 100;
  // 64-bit arm and x86 run their 32-bit kin; asked for is better than can be run.
  if (want.architecture == have.architecture) {
    const int distance = effectiveVariant(want) - effectiveVariant(have);
    if (distance < 0) return std::nullopt;
    return distance;
  }
  if (want.architecture == "arm64" && have.architecture == "arm") return kOtherArch + (8 - effectiveVariant(have));
  if (want.architecture == "amd64" && have.architecture == "386") return kOtherArch;
  return std::nullopt;
}

}  // namespace estiba::oci

namespace estiba {

template <>
json::value toJson(const oci::Platform& p) {
  json::object out;
  out["architecture"] = p.architecture;
  out["os"] = p.os;
  if (!p.osVersion.empty()) out["os.version"] = p.osVersion;
  if (!p.osFeatures.empty()) out["os.features"] = toJson(p.osFeatures);
  if (!p.variant.empty()) out["variant"] = p.variant;
  return out;
}

template <>
void fromJson(const json::value& from, oci::Platform& out, const std::string& path) {
  if (from.is_null()) return;
  if (!from.is_object()) detail::badType(path, "object", from);
  const auto read = [&](std::string_view key, auto& member) {
    if (const json::value* found = detail::findKey(from.get_object(), key)) {
      fromJson(*found, member, path.empty() ? std::string(key) : path + "." + std::string(key));
    }
  };
  read("architecture", out.architecture);
  read("os", out.os);
  read("os.version", out.osVersion);
  read("os.features", out.osFeatures);
  read("variant", out.variant);
}

}  // namespace estiba
