#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace estiba::oci {

/// What an image runs on. Names are Go's GOOS and GOARCH. Source: image-spec image-index.md, "platform".
struct Platform {
  std::string architecture;
  std::string os;
  std::string osVersion;                ///< JSON "os.version"
  std::vector<std::string> osFeatures;  ///< JSON "os.features"
  std::string variant;
  bool operator==(const Platform&) const = default;

  /// "linux/arm64/v8", "linux", "amd64", "aarch64": normalised, what is missing is this host's. Throws Error(invalid).
  static Platform parse(std::string_view text);
  /// The machine that this program was built for.
  static Platform host();
  std::string str() const;  ///< "linux/arm/v7"
  bool empty() const noexcept { return architecture.empty() && os.empty(); }
};

/// Aliases away (x86_64 -> amd64, aarch64 -> arm64), arm64's v8 and amd64's v1 dropped, arm without a variant is v7.
Platform normalised(Platform platform);

/// How well something made for `have` runs where `want` is asked for: 0 exactly, higher is worse (arm v6 on v7),
/// nullopt not at all.
std::optional<int> matchRank(const Platform& want, const Platform& have);
inline bool matches(const Platform& want, const Platform& have) {
  return matchRank(want, have).has_value();
}

}  // namespace estiba::oci

namespace estiba {
template <>
json::value toJson(const oci::Platform& value);
template <>
void fromJson(const json::value& from, oci::Platform& out, const std::string& path);
}  // namespace estiba
