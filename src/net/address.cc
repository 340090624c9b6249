#include "net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace estiba::net {

namespace {
// The first `bits` bits of an address as a mask for byte `index`.
uint8_t maskByte(int bits, int index) {
  const int here = std::clamp(bits - index * 8, 0, 8);
  return static_cast<uint8_t>(0xff << (8 - here));
}

int hexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}
}  // namespace

Ip Ip::v4(uint32_t hostOrder) {
  Ip out;
  out.size_ = 4;
  const uint32_t wire = htonl(hostOrder);
  std::memcpy(out.bytes_.data(), &wire, sizeof wire);
  return out;
}

std::optional<Ip> Ip::parse(std::string_view text) {
  const std::string zeroEnded(text);
  if (zeroEnded.find('\0') != std::string::npos) return std::nullopt;
  Ip out;
  if (::inet_pton(AF_INET, zeroEnded.c_str(), out.bytes_.data()) == 1) {
    out.size_ = 4;
  } else if (::inet_pton(AF_INET6, zeroEnded.c_str(), out.bytes_.data()) == 1) {
    out.size_ = 16;
  } else {
    return std::nullopt;
  }
  return out;
}

std::optional<Ip> Ip::fromBytes(std::string_view bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  Ip out;
  out.size_ = static_cast<uint8_t>(bytes.size());
  std::memcpy(out.bytes_.data(), bytes.data(), bytes.size());
  return out;
}

std::optional<Ip> Ip::fromKey(std::string_view key) {
  std::string bytes;
  for (size_t i = 0; i + 1 < key.size(); i += 2) {
    const int high = hexDigit(key[i]);
    const int low = hexDigit(key[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
  }
  return fromBytes(bytes);
}

bool Ip::isLoopback() const noexcept {
  static constexpr std::array<uint8_t, 16> kOne{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return isV6() ? bytes_ == kOne : !empty() && bytes_[0] == 127;
}

int Ip::family() const noexcept {
  if (empty()) return AF_UNSPEC;
  return isV6() ? AF_INET6 : AF_INET;
}

std::string Ip::text() const {
  if (empty()) return {};
  char buffer[INET6_ADDRSTRLEN];
  return ::inet_ntop(family(), bytes_.data(), buffer, sizeof buffer);
}

std::string Ip::key() const {
  return toHex(bytes());
}

uint64_t Ip::low() const {
  uint64_t out = 0;
  for (size_t i = size_ > 8 ? size_ - 8U : 0U; i < size_; ++i) out = out << 8 | bytes_[i];
  return out;
}

Ip Ip::plus(int64_t steps) const {
  Ip out = *this;
  uint64_t value = low() + static_cast<uint64_t>(steps);
  for (size_t i = size_; i > (size_ > 8 ? size_ - 8U : 0U); --i) {
    out.bytes_[i - 1] = static_cast<uint8_t>(value);
    value >>= 8;
  }
  return out;
}

int64_t Ip::minus(const Ip& other) const {
  return static_cast<int64_t>(low() - other.low());
}

Subnet Subnet::of(const Ip& address, int bits) {
  std::string bytes(address.bytes());
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(static_cast<uint8_t>(bytes[i]) & maskByte(bits, static_cast<int>(i)));
  }
  return {Ip::fromBytes(bytes).value_or(Ip()), bits};
}

std::optional<Subnet> Subnet::parse(std::string_view text) {
  const auto [address, length] = cut(text, '/');
  const auto ip = Ip::parse(address);
  if (!ip || !length) return std::nullopt;
  const auto bits = parseUint(*length);
  if (!bits || *bits > static_cast<uint64_t>(ip->bits())) return std::nullopt;
  return of(*ip, static_cast<int>(*bits));
}

bool Subnet::contains(const Ip& address) const {
  return !empty() && address.family() == base.family() && of(address, bits).base == base;
}

bool Subnet::overlaps(const Subnet& other) const {
  return bits <= other.bits ? contains(other.base) : other.contains(base);
}

Ip Subnet::firstHost() const {
  return bits >= base.bits() - 1 ? base : base.plus(1);
}

Ip Subnet::lastHost() const {
  const int hostBits = std::min(base.bits() - bits, 62);
  const Ip last = base.plus((int64_t{1} << hostBits) - 1);
  return base.isV6() || hostBits <= 1 ? last : last.plus(-1);
}

std::string Subnet::text() const {
  return empty() ? std::string() : fmt::format("{}/{}", base.text(), bits);
}

std::optional<Mac> Mac::parse(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  Mac out;
  for (size_t i = 0; i < 6; ++i) {
    const int high = hexDigit(text[i * 3]);
    const int low = hexDigit(text[i * 3 + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    if (i < 5 && text[i * 3 + 2] != ':' && text[i * 3 + 2] != '-') return std::nullopt;
    out.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return out;
}

Mac Mac::fromIp(const Ip& v4) {
  Mac out{{0x02, 0x42}};
  const std::string_view bytes = v4.bytes();
  for (size_t i = 0; i < 4 && i < bytes.size(); ++i) {
    out.bytes[2 + i] = static_cast<uint8_t>(bytes[bytes.size() - 4 + i]);
  }
  return out;
}

std::string Mac::text() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                     bytes[5]);
}

}  // namespace estiba::net
