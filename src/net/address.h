#pragma once
// IP addresses, subnets and MAC addresses as values. Pure.

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace estiba::net {

/// An IPv4 or IPv6 address; default: none at all.
class Ip {
 public:
  Ip() = default;
  static Ip v4(uint32_t hostOrder);
  /// Dotted decimal or RFC 4291 text, no zone; nullopt where it is neither.
  static std::optional<Ip> parse(std::string_view text);
  /// 4 or 16 bytes in network order; nullopt for other sizes.
  static std::optional<Ip> fromBytes(std::string_view bytes);
  /// What key() wrote.
  static std::optional<Ip> fromKey(std::string_view key);

  bool empty() const noexcept { return size_ == 0; }
  bool isV6() const noexcept { return size_ == 16; }
  bool isLoopback() const noexcept;  ///< 127.0.0.0/8, ::1
  int family() const noexcept;       ///< AF_INET, AF_INET6, AF_UNSPEC
  int bits() const noexcept { return size_ * 8; }
  std::string_view bytes() const noexcept { return {reinterpret_cast<const char*>(bytes_.data()), size_}; }
  std::string text() const;  ///< "" for none
  std::string key() const;   ///< hex of the bytes: sorts as the address does
  /// The address `steps` further on; wraps in the low 64 bits.
  Ip plus(int64_t steps) const;
  /// This minus `other`, by the low 64 bits.
  int64_t minus(const Ip& other) const;
  auto operator<=>(const Ip&) const = default;

 private:
  uint64_t low() const;
  uint8_t size_ = 0;
  std::array<uint8_t, 16> bytes_{};
};

/// A subnet: an address whose host bits are zero, and the length of its prefix.
struct Subnet {
  Ip base;
  int bits = 0;

  /// "172.17.0.0/16"; host bits are cleared. nullopt where it is none.
  static std::optional<Subnet> parse(std::string_view text);
  static Subnet of(const Ip& address, int bits);
  bool empty() const noexcept { return base.empty(); }
  bool contains(const Ip& address) const;
  bool overlaps(const Subnet& other) const;
  /// The lowest and highest address that a host may have (IPv4: neither the network's nor the broadcast address; /31
  /// and /32 as they are).
  Ip firstHost() const;
  Ip lastHost() const;
  std::string text() const;  ///< "172.17.0.0/16", "" for none
  bool operator==(const Subnet&) const = default;
};

struct Mac {
  std::array<uint8_t, 6> bytes{};
  /// "02:42:ac:11:00:02", any case, ':' or '-'; nullopt where it is none.
  static std::optional<Mac> parse(std::string_view text);
  /// 02:42 and the IPv4 address, as Docker does: an address that is used again keeps its MAC, so that no neighbour's
  /// ARP entry is stale.
  static Mac fromIp(const Ip& v4);
  std::string text() const;
  bool operator==(const Mac&) const = default;
};

}  // namespace estiba::net
