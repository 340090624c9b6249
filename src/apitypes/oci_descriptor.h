#pragma once

#include <map>
#include <optional>
#include <string>

#include "apitypes/extern_json.h"

namespace estiba::apitypes {

/// A descriptor as image-spec writes it (lower-case keys).
struct OciDescriptor {
  std::string mediaType;
  std::string digest;
  int64_t size = 0;
  std::optional<std::vector<std::string>> urls;
  std::optional<std::map<std::string, std::string>> annotations;
  std::optional<json::object> platform;  ///< architecture, os, variant, os.version, os.features
  std::optional<std::string> artifactType;
};
BOOST_DESCRIBE_STRUCT(OciDescriptor, (), (mediaType, digest, size, urls, annotations, platform, artifactType))

/// Where a storage driver keeps an image or a container: informative.
struct GraphDriverData {
  Nullable<std::map<std::string, std::string>> Data;
  std::string Name;
};
BOOST_DESCRIBE_STRUCT(GraphDriverData, (), (Data, Name))

}  // namespace estiba::apitypes
