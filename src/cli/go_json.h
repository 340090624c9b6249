#pragma once
// JSON as Go's encoding/json writes it: numbers like 1.5 and 1e+21, optionally escaped for HTML.

#include <string>
#include <string_view>

#include "base/json.h"

namespace estiba::cli {

struct GoJsonStyle {
  std::string_view indent = {};  ///< "": on one line
  bool escapeHtml = false;       ///< <, > and & as \u003c …: what json.Marshal does unless told not to
};

std::string goJson(const json::value& value, GoJsonStyle style = {});

}  // namespace estiba::cli
