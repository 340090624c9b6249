#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace estiba::oci {

/// "sha256:" and 64 lower-case hex digits, validated when it is made: never anything that could be a path
/// (CVE-2024-3727). Default-constructed: empty, which no parse gives. Source: image-spec descriptor.md, "Digests".
class Digest {
 public:
  Digest() = default;
  /// Throws Error(invalid) "invalid digest \"…\"" (another algorithm: "unsupported digest algorithm").
  static Digest parse(std::string_view text);
  static std::optional<Digest> tryParse(std::string_view text) noexcept;
  /// From 64 hex digits alone.
  static Digest fromHex(std::string_view hex);
  /// The digest of these bytes.
  static Digest of(std::string_view bytes);

  const std::string& str() const noexcept { return text_; }  ///< "sha256:…"
  std::string_view hex() const noexcept;                     ///< 64 digits, "" when empty
  std::string shortHex() const;                              ///< the first 12, as docker prints IDs
  bool empty() const noexcept { return text_.empty(); }
  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// The chainID of a stack of diffIDs, bottom first; empty for none. Source: image-spec config.md, "Layer ChainID".
Digest chainId(const std::vector<Digest>& diffIds);
/// The chainIDs of every prefix: result[i] is that of diffIds[0..i].
std::vector<Digest> chainIds(const std::vector<Digest>& diffIds);
/// chainId of `parent` (empty: none) with one layer on top.
Digest chainId(const Digest& parent, const Digest& diffId);

}  // namespace estiba::oci

namespace estiba {
template <>
json::value toJson(const oci::Digest& value);
/// "" reads as the empty digest.
template <>
void fromJson(const json::value& from, oci::Digest& out, const std::string& path);
}  // namespace estiba

template <>
struct std::hash<estiba::oci::Digest> {
  size_t operator()(const estiba::oci::Digest& d) const noexcept { return std::hash<std::string>()(d.str()); }
};
