// /_ping, /version, /info, /system: Engine API, tag System.
#include "api/params.h"
#include "api/router.h"
#include "base/json.h"

namespace estiba::api {

namespace {

void ping(Call& call) {
  call.response.send(200,
                     {{"Content-Type", "text/plain; charset=utf-8"},
                      {"Builder-Version", "1"},
                      {"Swarm", "inactive"},
                      {"Cache-Control", "no-cache, no-store, must-revalidate"},
                      {"Pragma", "no-cache"}},
                     "OK");
}

void version(Call& call) { call.response.sendJson(200, toJson(call.engine.system.version())); }
void info(Call& call) { call.response.sendJson(200, toJson(call.engine.system.info())); }

// GET /system/check?digests= : estiba's own.
void check(Call& call) {
  json::array findings;
  for (const auto& line : call.engine.system.check(call.request.query.flag("digests"))) findings.emplace_back(line);
  call.response.sendJson(200, json::object{{"Findings", std::move(findings)}});
}

// POST /system/recover : estiba's own: sweeps what dead engines left half-made.
void recover(Call& call) {
  call.engine.recover();
  call.response.send(http::Response::empty(204));
}

constexpr Route kRoutes[] = {
    {"GET", "/_ping", ping},           {"HEAD", "/_ping", ping},
    {"GET", "/version", version},      {"GET", "/info", info},
    {"GET", "/system/check", check},   {"POST", "/system/recover", recover},
};

}  // namespace

std::span<const Route> systemRoutes() { return kRoutes; }

}  // namespace estiba::api
