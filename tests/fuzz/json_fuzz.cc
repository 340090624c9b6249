// Any bytes as a JSON document, and as the requests that the API reads: an Error or a value, never a crash.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto value = estiba::parseJson(text, "input");
    const std::string dumped = estiba::dumpJson(value);
    static_cast<void>(estiba::dumpJsonIndented(value, "    "));
    try {
      static_cast<void>(estiba::parseJson(dumped, "own output"));
    } catch (const estiba::Error&) {
      __builtin_trap();  // what we write must be readable
    }
  } catch (const estiba::Error&) {
  }
  return 0;
}
