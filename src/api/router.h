#pragma once
// The Engine API's door: which handler a request goes to, and how failures become replies. Handlers are plain functions
// in constant tables, so that a process that serves one request pays for nothing else.

#include <span>
#include <string_view>

#include "engine/engine.h"
#include "http/server.h"

namespace estiba::api {

inline constexpr std::string_view kApiVersion = "1.48";
inline constexpr std::string_view kMinApiVersion = "1.24";

/// One request on its way.
struct Call {
  engine::Engine& engine;
  http::Request& request;
  http::ResponseWriter& response;
  int version = 148;  ///< 1.48 as 148: the one asked for, the newest where none was

  const std::string& param(const std::string& name) const { return request.param(name); }
  /// The body as a T. Throws Error(invalid) where it is none.
  template <class T>
  T body() const {
    return fromJson<T>(request.body->readJson());
  }
};

struct Route {
  std::string_view method;
  std::string_view pattern;  ///< "/containers/{id}/start"; {name*} takes slashes too (image names)
  void (*handle)(Call&);
};

std::span<const Route> containerRoutes();
std::span<const Route> execRoutes();
std::span<const Route> imageRoutes();
std::span<const Route> buildRoutes();
std::span<const Route> systemRoutes();
std::span<const Route> networkRoutes();
std::span<const Route> volumeRoutes();

/// Routes one request: version prefix, table, handler. Throws what the handler throws, Error(not_found) "page not
/// found" where no route fits, Error(invalid) for versions that are too old or too new, in docker's words.
void dispatch(engine::Engine& engine, http::Request& request, http::ResponseWriter& response);

/// HTTP status for an Error's code: the only place where they meet.
int statusOf(Code code) noexcept;
/// {"message": …} with the status of `e`.
http::Response errorResponse(const std::exception& e);

/// Serves the API on one connection until it ends.
void serve(engine::Engine& engine, Fd connection, std::stop_token stop);

}  // namespace estiba::api
