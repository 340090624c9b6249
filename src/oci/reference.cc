#include "oci/reference.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace estiba::oci {

namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kLegacyDomain = "index.docker.io";
constexpr std::string_view kOfficial = "library/";
constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;

constexpr bool isDigit(char c) noexcept {
  return c >= '0' && c <= '9';
}
constexpr bool isLower(char c) noexcept {
  return c >= 'a' && c <= 'z';
}
constexpr bool isUpper(char c) noexcept {
  return c >= 'A' && c <= 'Z';
}
constexpr bool isLowerAlnum(char c) noexcept {
  return isDigit(c) || isLower(c);
}
constexpr bool isAlnum(char c) noexcept {
  return isLowerAlnum(c) || isUpper(c);
}
constexpr bool isHexDigit(char c) noexcept {
  return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

[[noreturn]] void badFormat() {
  fail(Code::invalid, "invalid reference format");
}

// path-component := alpha-numeric (separator alpha-numeric)*, separator := [_.] | "__" | "-"+
bool isPathComponent(std::string_view text) noexcept {
  size_t i = 0;
  for (;;) {
    const size_t start = i;
    while (i < text.size() && isLowerAlnum(text[i])) ++i;
    if (i == start) return false;
    if (i == text.size()) return true;
    const size_t sep = i;
    while (i < text.size() && text[i] == text[sep] && !isLowerAlnum(text[i])) ++i;
    const size_t length = i - sep;
    const char c = text[sep];
    if (!(c == '-' || (c == '_' && length <= 2) || (c == '.' && length == 1))) return false;
  }
}

bool isPath(std::string_view text) noexcept {
  for (size_t start = 0;;) {
    const size_t slash = text.find('/', start);
    if (!isPathComponent(text.substr(start, slash - start))) return false;
    if (slash == std::string_view::npos) return true;
    start = slash + 1;
  }
}

bool isDomainComponent(std::string_view text) noexcept {
  if (text.empty() || !isAlnum(text.front()) || !isAlnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return isAlnum(c) || c == '-'; });
}

bool isHost(std::string_view text) noexcept {
  if (text.starts_with('[')) {
    if (text.size() < 3 || !text.ends_with(']')) return false;
    text = text.substr(1, text.size() - 2);
    return std::all_of(text.begin(), text.end(), [](char c) { return isHexDigit(c) || c == ':'; });
  }
  for (size_t start = 0;;) {
    const size_t dot = text.find('.', start);
    if (!isDomainComponent(text.substr(start, dot - start))) return false;
    if (dot == std::string_view::npos) return true;
    start = dot + 1;
  }
}

bool isDomain(std::string_view text) noexcept {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) return isHost(text);
  const std::string_view port = text.substr(colon + 1);
  return !port.empty() && std::all_of(port.begin(), port.end(), isDigit) && isHost(text.substr(0, colon));
}

/// Where docker sees a registry's name before the first '/': a '.', a ':', "localhost", or anything in upper case.
std::pair<std::string, std::string> splitDomain(std::string_view text) {
  std::string domain(kDefaultDomain);
  std::string rest(text);
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    const std::string_view head = text.substr(0, slash);
    const bool foreign = head.find_first_of(".:") != std::string_view::npos || head == "localhost" ||
                         std::any_of(head.begin(), head.end(), isUpper);
    if (foreign) {
      domain = head == kLegacyDomain ? kDefaultDomain : head;
      rest = text.substr(slash + 1);
    }
  }
  if (domain == kDefaultDomain && rest.find('/') == std::string::npos) rest.insert(0, kOfficial);
  return {domain, rest};
}

// digest := algorithm ":" hex{32,}; of those we take sha256 only.
Digest parseReferenceDigest(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !isAlnum(text[0])) badFormat();
  const std::string_view algorithm = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  if (hex.size() < 32 || !std::all_of(hex.begin(), hex.end(), isHexDigit)) badFormat();
  if (algorithm != "sha256") fail(Code::invalid, "unsupported digest algorithm");
  if (hex.size() != 64) fail(Code::invalid, "invalid checksum digest length");
  auto digest = Digest::tryParse(text);
  if (!digest) fail(Code::invalid, "invalid checksum digest format");
  return *digest;
}

}  // namespace

bool isTag(std::string_view text) noexcept {
  if (text.empty() || text.size() > kMaxTag) return false;
  if (text[0] == '.' || text[0] == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return isAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

Reference Reference::parse(std::string_view text) {
  if (text.size() == 64 && isHex(text)) {
    fail(Code::invalid, "invalid repository name ({}), cannot specify 64-byte hexadecimal strings", text);
  }
  auto [domain, rest] = splitDomain(text);
  Reference out;
  out.domain_ = std::move(domain);

  std::string_view remote(rest);
  std::optional<std::string_view> digest;
  if (const size_t at = remote.find('@'); at != std::string_view::npos) {
    digest = remote.substr(at + 1);
    remote = remote.substr(0, at);
  }
  const size_t colon = remote.find(':');
  const std::string_view path = remote.substr(0, colon);
  if (std::any_of(path.begin(), path.end(), isUpper)) {
    fail(Code::invalid, "invalid reference format: repository name ({}) must be lowercase", path);
  }
  if (!isDomain(out.domain_) || !isPath(path)) badFormat();
  if (colon != std::string_view::npos) {
    const std::string_view tag = remote.substr(colon + 1);
    if (!isTag(tag)) badFormat();
    out.tag_ = std::string(tag);
  }
  out.path_ = std::string(path);
  if (out.path_.size() > kMaxName) fail(Code::invalid, "repository name must not be more than {} characters", kMaxName);
  if (digest) out.digest_ = parseReferenceDigest(*digest);
  return out;
}

std::optional<Reference> Reference::tryParse(std::string_view text) {
  try {
    return parse(text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string Reference::familiarName() const {
  if (domain_ != kDefaultDomain) return name();
  if (path_.starts_with(kOfficial)) {
    const std::string rest = path_.substr(kOfficial.size());
    if (rest.find('/') == std::string::npos) return rest;
  }
  return path_;
}

std::string Reference::withParts(std::string text) const {
  if (tag_) text += ":" + *tag_;
  if (digest_) text += "@" + digest_->str();
  return text;
}

Reference Reference::withDefaultTag() const {
  Reference out = *this;
  if (!out.tag_ && !out.digest_) out.tag_ = "latest";
  return out;
}

Reference Reference::withTag(const std::string& tag) const {
  if (!isTag(tag)) fail(Code::invalid, "invalid tag format");
  Reference out = *this;
  out.tag_ = tag;
  return out;
}

Reference Reference::withDigest(const Digest& digest) const {
  Reference out = *this;
  out.digest_ = digest;
  return out;
}

Reference Reference::withoutTag() const {
  Reference out = *this;
  out.tag_.reset();
  return out;
}

Reference Reference::nameOnly() const {
  Reference out = withoutTag();
  out.digest_.reset();
  return out;
}

}  // namespace estiba::oci
