#include "cli/config_file.h"

#include "base/json.h"
#include "sys/file.h"

namespace estiba::cli {

std::string configFormat(const std::string& configDir, const std::string& key) {
  const auto text = tryReadFile(configDir + "/config.json", 4U << 20);
  if (!text) return "";
  const auto value = parseJson(*text, configDir + "/config.json");
  const auto* object = value.if_object();
  const auto* found = object != nullptr ? object->if_contains(key) : nullptr;
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
}

}  // namespace estiba::cli
