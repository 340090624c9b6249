#pragma once
// Connections to where a URL points. For this module's own use.

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "http/client.h"
#include "http/stream.h"

namespace estiba::http {

/// Where a request goes: what a kept connection must have in common with a new one.
struct Route {
  Url url;                   ///< scheme, host, port
  std::optional<Url> proxy;  ///< asked in absolute form (http) or by CONNECT (https)
  std::string key() const;
};

class Dialer {
 public:
  explicit Dialer(const ClientOptions& options) : options_(options) {}
  std::unique_ptr<Stream> dial(const Route& route);

 private:
  const TlsClientContext& tls();
  std::unique_ptr<Stream> tunnel(Fd socket, const Route& route);

  const ClientOptions& options_;
  std::mutex mutex_;
  std::unique_ptr<TlsClientContext> tls_;  // made when first needed
};

/// "Basic …" of a URL's user and password; "" where it has none.
std::string basicAuth(const Url& url);

}  // namespace estiba::http
