#include "oci/digest.h"

#include "base/sha256.h"
#include "base/text.h"

namespace estiba::oci {

namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kHexDigits = 64;

}  // namespace

std::optional<Digest> Digest::tryParse(std::string_view text) noexcept {
  if (text.size() != kPrefix.size() + kHexDigits || !text.starts_with(kPrefix)) return std::nullopt;
  if (!isHex(text.substr(kPrefix.size()))) return std::nullopt;
  return Digest(std::string(text));
}

Digest Digest::parse(std::string_view text) {
  if (auto digest = tryParse(text)) return *digest;
  if (text.starts_with("sha512:") || text.starts_with("sha384:")) {
    fail(Code::invalid, "unsupported digest algorithm: {}", quoted(text.substr(0, 160)));
  }
  fail(Code::invalid, "invalid digest {}", quoted(text.substr(0, 160)));
}

Digest Digest::fromHex(std::string_view hex) {
  return parse(std::string(kPrefix) + std::string(hex));
}

Digest Digest::of(std::string_view bytes) {
  return Digest(std::string(kPrefix) + sha256Hex(bytes));
}

std::string_view Digest::hex() const noexcept {
  return empty() ? std::string_view() : std::string_view(text_).substr(kPrefix.size());
}

std::string Digest::shortHex() const {
  return std::string(hex().substr(0, 12));
}

Digest chainId(const Digest& parent, const Digest& diffId) {
  return parent.empty() ? diffId : Digest::of(parent.str() + " " + diffId.str());
}

std::vector<Digest> chainIds(const std::vector<Digest>& diffIds) {
  std::vector<Digest> out;
  out.reserve(diffIds.size());
  for (const Digest& diffId : diffIds) out.push_back(chainId(out.empty() ? Digest() : out.back(), diffId));
  return out;
}

Digest chainId(const std::vector<Digest>& diffIds) {
  const auto chain = chainIds(diffIds);
  return chain.empty() ? Digest() : chain.back();
}

}  // namespace estiba::oci

namespace estiba {

template <>
json::value toJson(const oci::Digest& value) {
  return json::value(json::string(value.str()));
}

template <>
void fromJson(const json::value& from, oci::Digest& out, const std::string& path) {
  if (from.is_null()) return;
  if (!from.is_string()) detail::badType(path, "digest", from);
  const std::string_view text = from.get_string();
  if (text.empty()) {
    out = {};
    return;
  }
  try {
    out = oci::Digest::parse(text);
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("{}: {}", path, e.what()));
  }
}

}  // namespace estiba
