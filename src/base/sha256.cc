#include "base/sha256.h"

#include <openssl/evp.h>

#include "base/error.h"
#include "base/text.h"

namespace estiba {

struct Sha256::Impl {
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(ctx); }
};

namespace {
// Fetched once: EVP_sha256() with an implicit fetch costs a provider look-up per digest.
const EVP_MD* algorithm() {
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}
}  // namespace

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  if (impl_->ctx == nullptr || EVP_DigestInit_ex2(impl_->ctx, algorithm(), nullptr) != 1) {
    fail(Code::internal, "start a sha256 digest: out of memory");
  }
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(const void* data, size_t size) { EVP_DigestUpdate(impl_->ctx, data, size); }

std::array<unsigned char, 32> Sha256::finish() {
  std::array<unsigned char, 32> out{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(impl_->ctx, out.data(), &length);
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
