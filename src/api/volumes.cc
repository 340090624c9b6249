// /volumes: Engine API, tag Volume.
#include "apitypes/volume.h"

#include "api/params.h"
#include "api/router.h"
#include "base/json.h"

namespace estiba::api {

namespace {

apitypes::Volume apiVolume(const volume::Volume& v) {
  apitypes::Volume out;
  out.CreatedAt = rfc3339Nano(v.created);
  out.Driver = v.driver;
  if (!v.labels.empty()) out.Labels = v.labels;
  out.Mountpoint = v.mountpoint;
  out.Name = v.name;
  if (!v.options.empty()) out.Options = v.options;
  return out;
}

// GET /volumes
void list(Call& call) {
  const auto filters = filtersOf(call.request.query);
  for (const auto& [filter, values] : filters) {
    if (filter != "name" && filter != "driver" && filter != "label" && filter != "dangling") {
      fail(Code::invalid, "invalid filter '{}'", filter);
    }
  }
  auto& volumes = call.engine.context.volumes;
  const auto fits = [&](const char* filter, const auto& test) {
    const auto found = filters.find(filter);
    return found == filters.end() || std::any_of(found->second.begin(), found->second.end(), test);
  };
  apitypes::VolumeListResponse out;
  for (const auto& v : volumes.list()) {
    const bool keep = fits("name", [&](const auto& n) { return v.name.find(n) != std::string::npos; }) &&
                      fits("driver", [&](const auto& d) { return v.driver == d; }) &&
                      fits("label",
                           [&](const std::string& l) {
                             const auto found = v.labels.find(l.substr(0, l.find('=')));
                             return found != v.labels.end() &&
                                    (l.find('=') == std::string::npos || l.substr(l.find('=') + 1) == found->second);
                           }) &&
                      fits("dangling", [&](const auto& d) {
                        return volumes.usersOf(v.name).empty() == (d == "true" || d == "1");
                      });
    if (keep) out.Volumes.push_back(apiVolume(v));
  }
  call.response.sendJson(200, toJson(out));
}

// POST /volumes/create
void create(Call& call) {
  const auto body = call.body<apitypes::VolumeCreateRequest>();
  volume::CreateOptions options;
  options.name = body.Name.value_or("");
  options.driver = body.Driver.value_or("local");
  if (body.Labels) options.labels = *body.Labels;
  if (body.DriverOpts) options.options = *body.DriverOpts;
  call.response.sendJson(201, toJson(apiVolume(call.engine.context.volumes.create(options))));
}

void inspect(Call& call) {
  call.response.sendJson(200, toJson(apiVolume(call.engine.context.volumes.get(call.param("name")))));
}

void remove(Call& call) {
  auto& volumes = call.engine.context.volumes;
  if (!call.request.query.flag("force") || volumes.find(call.param("name"))) volumes.remove(call.param("name"));
  call.response.send(http::Response::empty(204));
}

constexpr Route kRoutes[] = {
    {"GET", "/volumes", list},
    {"POST", "/volumes/create", create},
    {"GET", "/volumes/{name}", inspect},
    {"DELETE", "/volumes/{name}", remove},
};

}  // namespace

std::span<const Route> volumeRoutes() { return kRoutes; }

}  // namespace estiba::api
