// Whatever is read as a reference reads as itself once written, and never holds what could lead out of a directory.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reference = estiba::oci::Reference::tryParse(text);
  if (!reference) return 0;
  if (estiba::oci::Reference::parse(reference->str()) != *reference) std::abort();
  if (reference->path().find("..") != std::string::npos || reference->path().starts_with('/')) std::abort();
  return 0;
}
