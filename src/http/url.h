#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace estiba::http {

/// scheme://[user[:password]@]host[:port][/path][?query][#fragment]. Source: RFC 3986.
struct Url {
  std::string scheme;    ///< lower case
  std::string user;      ///< decoded
  std::string password;  ///< decoded
  std::string host;      ///< lower case; an IPv6 address without its brackets
  uint16_t port = 0;     ///< 0: none was given
  std::string path;      ///< as sent (encoded); "" or starts with '/'
  std::string query;     ///< as sent, no '?'
  std::string fragment;

  /// Throws Error(invalid) that quotes `text` (its password left out).
  static Url parse(std::string_view text);
  /// `reference` (absolute, "//host/…", "/path", "relative?x") as seen from this URL.
  Url resolve(std::string_view reference) const;

  uint16_t effectivePort() const;  ///< 80 for http, 443 for https where none was given
  std::string target() const;      ///< path and query, at least "/"
  std::string hostPort() const;    ///< as for the Host header: brackets for IPv6, the port where it was given
  std::string str() const;         ///< without user and password
};

/// The proxy for `url` by HTTP_PROXY, HTTPS_PROXY, NO_PROXY (lower case first), as Go and curl read them; nullopt: go
/// there directly. Loopback addresses and "localhost" are never proxied.
std::optional<Url> proxyFor(const Url& url);
/// The same with the values given: for tests and for `daemon.json`.
std::optional<Url> proxyFor(const Url& url, std::string_view httpProxy, std::string_view httpsProxy,
                            std::string_view noProxy);

}  // namespace estiba::http
