// /networks: Engine API, tag Network.
#include "apitypes/network.h"

#include "api/params.h"
#include "api/router.h"
#include "base/json.h"

namespace estiba::api {

namespace {

apitypes::Network apiNetwork(Call& call, const net::Network& n, bool withContainers) {
  apitypes::Network out;
  out.Name = n.name;
  out.Id = n.id;
  out.Created = rfc3339Nano(n.created);
  out.Driver = n.driver;
  out.Internal = n.internal;
  out.Attachable = n.attachable;
  out.Options = n.options;
  out.Labels = n.labels;
  if (n.driver == "bridge") {
    apitypes::IPAMConfig config;
    config.Subnet = n.subnet.text();
    config.Gateway = n.gateway.text();
    if (n.ipRange) config.IPRange = n.ipRange->text();
    out.IPAM.Config = std::vector{config};
  }
  if (!withContainers) return out;
  for (const auto& endpoint : call.engine.context.networks.endpointsIn(n.id)) {
    apitypes::EndpointResource resource;
    const auto record = call.engine.context.records.find(endpoint.containerId);
    resource.Name = record ? record->name : "";
    resource.EndpointID = endpoint.id;
    if (!endpoint.address.empty()) {
      resource.MacAddress = endpoint.mac.text();
      resource.IPv4Address = fmt::format("{}/{}", endpoint.address.text(), endpoint.prefixLen);
    }
    out.Containers[endpoint.containerId] = std::move(resource);
  }
  return out;
}

// GET /networks
void list(Call& call) {
  const auto filters = filtersOf(call.request.query);
  const auto fits = [&](const char* filter, const auto& test) {
    const auto found = filters.find(filter);
    return found == filters.end() || std::any_of(found->second.begin(), found->second.end(), test);
  };
  for (const auto& [filter, values] : filters) {
    if (filter != "name" && filter != "id" && filter != "driver" && filter != "type" && filter != "scope") {
      fail(Code::invalid, "invalid filter '{}'", filter);
    }
  }
  std::vector<apitypes::Network> out;
  for (const auto& n : call.engine.context.networks.list()) {
    if (fits("name", [&](const auto& v) { return n.name.find(v) != std::string::npos; }) &&
        fits("id", [&](const auto& v) { return n.id.starts_with(v); }) &&
        fits("driver", [&](const auto& v) { return n.driver == v; }) &&
        fits("scope", [&](const auto& v) { return v == "local"; }) &&
        fits("type", [&](const auto& v) { return (v == "builtin") == n.predefined(); })) {
      out.push_back(apiNetwork(call, n, false));
    }
  }
  call.response.sendJson(200, toJson(out));
}

void inspect(Call& call) {
  call.response.sendJson(200, toJson(apiNetwork(call, call.engine.context.networks.get(call.param("id")), true)));
}

constexpr Route kRoutes[] = {
    {"GET", "/networks", list},
    {"GET", "/networks/{id}", inspect},
};

}  // namespace

std::span<const Route> networkRoutes() { return kRoutes; }

}  // namespace estiba::api
