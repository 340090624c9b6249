// /exec: Engine API, tag Exec.
#include "api/params.h"
#include "api/router.h"
#include "base/json.h"

namespace estiba::api {

namespace {

// POST /containers/{id}/exec
void create(Call& call) {
  apitypes::IdResponse out;
  out.Id = call.engine.execs.create(call.param("id"), call.body<apitypes::ExecConfig>());
  call.response.sendJson(201, toJson(out));
}

// POST /exec/{id}/start
void start(Call& call) {
  const std::string id = call.param("id");
  const auto options = call.body<apitypes::ExecStart>();
  // Started first: a command that is not there is an error with a status, not a stream that ends at once.
  Fd stream = call.engine.execs.start(id, options);
  if (options.Detach) {
    call.response.send(http::Response::empty(200));
    return;
  }
  pumpHijacked(hijackStream(call, options.Tty), std::move(stream));
  call.engine.execs.settle(id);
}

void inspect(Call& call) { call.response.sendJson(200, toJson(call.engine.execs.inspect(call.param("id")))); }

void resize(Call& call) {
  const auto& query = call.request.query;
  call.engine.execs.resize(call.param("id"), static_cast<int>(query.integer("h").value_or(0)),
                           static_cast<int>(query.integer("w").value_or(0)));
  call.response.send(http::Response::empty(200));
}

constexpr Route kRoutes[] = {
    {"POST", "/containers/{id}/exec", create},
    {"POST", "/exec/{id}/start", start},
    {"GET", "/exec/{id}/json", inspect},
    {"POST", "/exec/{id}/resize", resize},
};

}  // namespace

std::span<const Route> execRoutes() { return kRoutes; }

}  // namespace estiba::api
