#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/router.h"

namespace estiba::api {

using Filters = std::map<std::string, std::vector<std::string>>;

/// ?filters={"name":["a"]} or, as old clients write it, {"name":{"a":true}}. Throws Error(invalid).
Filters filtersOf(const http::Query& query);

/// The bytes of the client to `stream`, those of the stream to the client, until the stream has ended.
void pumpHijacked(http::Hijacked client, Fd stream);

/// 101 UPGRADED with docker's stream type where the client asked to upgrade, else 200 and raw.
http::Hijacked hijackStream(Call& call, bool tty);

}  // namespace estiba::api
