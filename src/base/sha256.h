#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace estiba {

/// SHA-256 of a stream of bytes (FIPS 180-4; OpenSSL, which uses SHA-NI where it is there).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(const void* data, size_t size);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
  /// The digest as 64 lower-case hex digits. Call once; the object is spent afterwards.
  std::string finishHex();
  std::array<unsigned char, 32> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// 64 hex digits of the SHA-256 of `bytes`.
std::string sha256Hex(std::string_view bytes);

}  // namespace estiba
