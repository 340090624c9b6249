#pragma once

#include <string>

namespace estiba::cli {

/// A string of ~/.docker/config.json ("psFormat"); "" where it is not there. A broken file is Error(invalid).
std::string configFormat(const std::string& configDir, const std::string& key);

}  // namespace estiba::cli
