#include "base/sha256.h"

// OpenSSL's own SHA-256 without EVP: the same code (SHA-NI) at the same speed, but EVP's first use sets the whole
// library up, 1.2 ms and 100 KiB of heap in every short-lived process.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "base/text.h"

namespace estiba {

struct Sha256::Impl {
  SHA256_CTX context;
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) { SHA256_Init(&impl_->context); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(const void* data, size_t size) { SHA256_Update(&impl_->context, data, size); }

std::array<unsigned char, 32> Sha256::finish() {
  std::array<unsigned char, 32> out{};
  SHA256_Final(out.data(), &impl_->context);
  return out;
}

std::string Sha256::finishHex() {
  const auto raw = finish();
  return toHex({reinterpret_cast<const char*>(raw.data()), raw.size()});
}

std::string sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finishHex();
}

}  // namespace estiba
