#include "cli/session.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "cli/flag_values.h"

namespace estiba::cli {

namespace {

std::string environment(const char* name, const std::string& fallback = {}) {
  const char* value = ::getenv(name);
  return value != nullptr && *value != '\0' ? value : fallback;
}

std::string messageOf(http::ClientResponse& response) {
  const std::string body = response.body().readAll();
  try {
    const auto value = parseJson(body, "error");
    if (const auto* object = value.if_object()) {
      if (const auto* message = object->if_contains("message"); message != nullptr && message->is_string()) {
        return std::string(message->get_string());
      }
    }
  } catch (const Error&) {  // no JSON: the text itself
  }
  return body.empty() ? response.reason : std::string(trim(body));
}

Dial dialHost(const std::string& host) {
  if (host.starts_with("unix://")) {
    const std::string path = host.substr(7);
    return [path] {
      try {
        return http::connectUnix(path);
      } catch (const Error& e) {
        fail(Code::unavailable, "Cannot connect to the Docker daemon at unix://{}. Is the docker daemon running? ({})", path,
             e.what());
      }
    };
  }
  if (host.starts_with("tcp://")) {
    const auto [name, port] = cut(host.substr(6), ':');
    const auto number = port ? parseUint(*port) : std::optional<uint64_t>(2375);
    if (!number || *number > 65535) fail(Code::invalid, "unable to parse docker host `{}`", host);
    return [name = name, number = *number] {
      return http::connectTcp(name, static_cast<uint16_t>(number), std::chrono::seconds(30));
    };
  }
  fail(Code::not_implemented, "engine address {}: only unix:// and tcp:// are supported yet", host);
}

}  // namespace

std::string encoded(const std::string& part) {
  std::string out;
  for (const auto& piece : split(part, '/')) {
    if (!out.empty()) out += '/';
    out += urlEncode(piece);
  }
  return out;
}

std::string filtersParam(const std::vector<std::string>& filters) {
  if (filters.empty()) return "";
  json::object out;
  for (const auto& filter : filters) {
    const auto [name, value] = parseFilter(filter);
    auto& slot = out[name];
    if (!slot.is_object()) slot = json::object();
    slot.get_object()[value] = true;
  }
  return urlEncode(dumpJson(out));
}

void Session::configure(const Parsed& globals) {
  if (globals.flag("debug")) log::setLevel(log::Level::debug);
  configDir_ = globals.given("config") ? globals.str("config")
                                       : environment("DOCKER_CONFIG", environment("HOME", "/root") + "/.docker");
  const auto hosts = globals.list("host");
  if (hosts.size() > 1) fail(Code::invalid, "specify only one -H");
  const std::string host = hosts.empty() ? environment("DOCKER_HOST") : hosts.front();
  http::ClientOptions options;
  options.userAgent = "estiba/" ESTIBA_VERSION;
  local_ = host.empty();
  if (local_) {
    LocalEngine engine;
    engine.root = globals.given("root") ? globals.str("root") : environment("ESTIBA_ROOT", "/var/lib/estiba");
    engine.execRoot =
        globals.given("exec-root") ? globals.str("exec-root") : environment("ESTIBA_EXEC_ROOT", "/run/estiba");
    engine.debug = globals.flag("debug");
    options.dial = makeDial_(engine);
  } else {
    options.dial = dialHost(host);
  }
  client_ = std::make_unique<http::Client>(std::move(options));
}

http::ClientResponse Session::send(http::ClientRequest request) {
  request.url = "/v1.48" + request.url;
  auto response = client_->request(request);
  if (response.status >= 400) throw ApiError(response.status, messageOf(response));
  return response;
}

json::value Session::get(const std::string& target) {
  http::ClientRequest request;
  request.url = target;
  return send(std::move(request)).body().readJson(256U << 20);
}

json::value Session::post(const std::string& target, const json::value& body) {
  http::ClientRequest request;
  request.method = "POST";
  request.url = target;
  if (!body.is_null()) {
    request.headers.set("Content-Type", "application/json");
    request.body = dumpJson(body);
  }
  auto response = send(std::move(request));
  const std::string text = response.body().readAll(256U << 20);
  return text.empty() ? json::value(nullptr) : parseJson(text, "reply");
}

void Session::del(const std::string& target) {
  http::ClientRequest request;
  request.method = "DELETE";
  request.url = target;
  send(std::move(request)).body().readAll();
}

http::Upgraded Session::hijack(const std::string& target, const json::value& body) {
  http::ClientRequest request;
  request.method = "POST";
  request.url = "/v1.48" + target;
  if (!body.is_null()) {
    request.headers.set("Content-Type", "application/json");
    request.body = dumpJson(body);
  }
  return client_->upgrade(request, "tcp",
                          [](http::ClientResponse& refused) { throw ApiError(refused.status, messageOf(refused)); });
}

}  // namespace estiba::cli
