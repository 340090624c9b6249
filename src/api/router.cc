#include "api/router.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/log.h"
#include "base/text.h"

namespace estiba::api {

int statusOf(Code code) noexcept {
  switch (code) {
    case Code::invalid: return 400;
    case Code::not_found: return 404;
    case Code::conflict: return 409;
    case Code::unauthorized: return 401;
    case Code::forbidden: return 403;
    case Code::not_implemented: return 501;
    case Code::unavailable: return 503;
    case Code::deadline: return 504;
    case Code::cancelled: return 499;
    case Code::internal: return 500;
  }
  return 500;
}

http::Response errorResponse(const std::exception& e) {
  const auto* error = dynamic_cast<const Error*>(&e);
  // A system call's ENOENT or EPERM inside the engine is not the client's "not found": only our own words are.
  const bool system = dynamic_cast<const SysError*>(&e) != nullptr;
  const int status = error == nullptr || system ? 500 : statusOf(error->code());
  return http::Response::json(status, json::object{{"message", e.what()}});
}

namespace {

// Matches "/containers/{id}/start", filling params. {name*} takes the longest run of segments that lets the rest fit.
bool matches(std::string_view pattern, std::string_view path, std::map<std::string, std::string>& params) {
  const size_t open = pattern.find('{');
  if (open == std::string_view::npos) return pattern == path;
  if (path.substr(0, open) != pattern.substr(0, open)) return false;
  const size_t close = pattern.find('}', open);
  const bool greedy = pattern[close - 1] == '*';
  const std::string name(pattern.substr(open + 1, close - open - 1 - (greedy ? 1 : 0)));
  const std::string_view rest = pattern.substr(close + 1);
  const std::string_view tail = path.substr(open);
  if (!greedy) {
    const size_t slash = std::min(tail.find('/'), tail.size());
    if (slash == 0 || !matches(rest, tail.substr(slash), params)) return false;
    params[name] = std::string(tail.substr(0, slash));
    return true;
  }
  if (tail.size() <= rest.size() || !tail.ends_with(rest)) return false;
  params[name] = std::string(tail.substr(0, tail.size() - rest.size()));
  return true;
}

// "/v1.41/x" -> {"/x", 141}.
std::pair<std::string_view, int> versionOf(std::string_view path) {
  const auto number = [](std::string_view version) {
    const auto [major, minor] = cut(version, '.');
    const auto a = parseUint(major);
    const auto b = minor ? parseUint(*minor) : std::nullopt;
    return a && b && *a < 100 && *b < 100 ? static_cast<int>(*a * 100 + *b) : -1;
  };
  const int newest = number(kApiVersion);
  if (!path.starts_with("/v") || path.size() < 3 || path[2] < '0' || path[2] > '9') return {path, newest};
  const size_t slash = std::min(path.find('/', 1), path.size());
  const std::string_view text = path.substr(2, slash - 2);
  const int asked = number(text);
  if (asked < 0) return {path, newest};
  if (asked > newest) {
    fail(Code::invalid, "client version {} is too new. Maximum supported API version is {}", text, kApiVersion);
  }
  if (asked < number(kMinApiVersion)) {
    fail(Code::invalid,
         "client version {} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
         text, kMinApiVersion);
  }
  return {path.substr(slash), asked};
}

// What only reads, waits or passes a stream through leaves nothing half-made when it is killed.
bool changes(const Route& route) {
  if (route.method == "GET" || route.method == "HEAD") return false;
  static constexpr std::string_view kStreams[] = {"/containers/{id}/wait", "/containers/{id}/attach", "/exec/{id}/start"};
  return std::find(std::begin(kStreams), std::end(kStreams), route.pattern) == std::end(kStreams);
}

}  // namespace

void dispatch(engine::Engine& engine, http::Request& request, http::ResponseWriter& response) {
  response.headers() = {{"Api-Version", kApiVersion.data()},
                        {"Docker-Experimental", "false"},
                        {"Ostype", "linux"},
                        {"Server", "Docker/" ESTIBA_VERSION " (estiba; linux)"}};
  const auto [path, version] = versionOf(request.path);
  log::debug("{} {}", request.method, request.target);
  const std::array tables = {containerRoutes(), imageRoutes(),   execRoutes(), buildRoutes(),
                             systemRoutes(),    networkRoutes(), volumeRoutes()};
  for (const auto& table : tables) {
    for (const Route& route : table) {
      if (route.method != request.method || !matches(route.pattern, path, request.params)) continue;
      Call call{engine, request, response, version};
      std::optional<engine::Presence::Work> work;
      if (changes(route)) work.emplace(engine.work());
      route.handle(call);
      return;
    }
  }
  fail(Code::not_found, "page not found");
}

void serve(engine::Engine& engine, Fd connection, std::stop_token stop) {
  http::ServerOptions options;
  options.onError = errorResponse;
  http::serveConnection(
      std::move(connection),
      [&engine](http::Request& request, http::ResponseWriter& response) { dispatch(engine, request, response); }, options,
      std::move(stop));
}

}  // namespace estiba::api
