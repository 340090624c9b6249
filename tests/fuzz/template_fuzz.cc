// Feeds foreign bytes to the template engine: the first line is the template, the rest a JSON document.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "cli/gotemplate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const std::string_view text = input.substr(0, input.find('\n'));
  try {
    estiba::json::value data;
    if (text.size() < input.size()) {
      try {
        data = estiba::parseJson(input.substr(text.size() + 1), "document");
      } catch (const estiba::Error&) {
        data = nullptr;
      }
    }
    const auto parsed = estiba::cli::Template::parse(text);
    // Printing is bounded by the walker; here a small document must not make a run of seconds.
    if (text.find("range") == std::string_view::npos) parsed.execute(estiba::cli::Value::ofJson(data));
  } catch (const estiba::Error&) {
  }
  return 0;
}
