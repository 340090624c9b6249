#include "api/params.h"

#include "base/json.h"
#include "http/pump.h"

namespace estiba::api {

Filters filtersOf(const http::Query& query) {
  Filters out;
  const std::string text = query.get("filters");
  if (text.empty()) return out;
  const auto value = parseJson(text, "filters");
  if (!value.is_object()) fail(Code::invalid, "invalid filters: no JSON object");
  for (const auto& item : value.get_object()) {
    auto& values = out[std::string(item.key())];
    if (const auto* list = item.value().if_array()) {
      for (const auto& v : *list) {
        if (!v.is_string()) fail(Code::invalid, "invalid filters: {} is no list of strings", std::string(item.key()));
        values.emplace_back(v.get_string());
      }
    } else if (const auto* set = item.value().if_object()) {
      for (const auto& v : *set) values.emplace_back(v.key());
    } else {
      fail(Code::invalid, "invalid filters: {} is no list", std::string(item.key()));
    }
  }
  return out;
}

http::Hijacked hijackStream(Call& call, bool tty) {
  const char* type = tty || call.version < 142 ? "application/vnd.docker.raw-stream"
                                               : "application/vnd.docker.multiplexed-stream";
  const bool upgrade = call.request.headers.hasToken("Connection", "upgrade");
  http::Headers headers = {{"Content-Type", type}};
  if (upgrade) {
    headers.add("Connection", "Upgrade");
    headers.add("Upgrade", "tcp");
  }
  return call.response.hijack(upgrade ? 101 : 200, headers);
}

void pumpHijacked(http::Hijacked client, Fd stream) {
  if (!stream) return;
  http::pump(client.fd.get(), stream.get(), client.early);
}

}  // namespace estiba::api
