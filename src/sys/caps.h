#pragma once
// Capabilities of the calling thread by raw system calls. Source: capabilities(7), capset(2), prctl(2).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace estiba {

/// Bit N is capability N.
using CapMask = uint64_t;

/// "CAP_NET_ADMIN" (any case) -> 12; nullopt where there is no such capability.
std::optional<int> capNumber(std::string_view name);
/// The names in order of their numbers, from CAP_CHOWN on.
const std::vector<std::string>& capNames();
/// The highest that the running kernel knows.
int lastCap();
/// Names as a mask; what is unknown (here or to the kernel) is put into `unknown` where given.
CapMask capMask(const std::vector<std::string>& names, std::vector<std::string>* unknown = nullptr);

struct CapSets {
  CapMask effective = 0, permitted = 0, inheritable = 0;
};
CapSets currentCaps();
void setCaps(const CapSets& sets);
CapMask boundingCaps();
/// Drops from the bounding set whatever is not in `keep`.
void limitBoundingCaps(CapMask keep);
/// Clears the ambient set, then raises `mask` (which must be permitted and inheritable).
void setAmbientCaps(CapMask mask);

}  // namespace estiba
