#pragma once
// A command's line to its engine: the Engine API over HTTP, wherever that engine is.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "cli/cli.h"
#include "http/client.h"

namespace estiba::cli {

/// What the engine answered to a request it refused: what() is "Error response from daemon: …".
class ApiError : public Error {
 public:
  ApiError(int status, const std::string& message)
      : Error(Code::internal, "Error response from daemon: " + message), status_(status), message_(message) {}
  int status() const noexcept { return status_; }
  const std::string& message() const noexcept { return message_; }

 private:
  int status_;
  std::string message_;
};

/// Opens a connection to an engine of this process, made at the first call.
using Dial = std::function<Fd()>;
struct LocalEngine {
  std::string root, execRoot;
  bool debug = false;
};
using MakeDial = std::function<Dial(const LocalEngine&)>;

class Session : public Cli {
 public:
  Session(std::string program, Streams streams, MakeDial makeDial)
      : Cli(std::move(program), streams), makeDial_(std::move(makeDial)) {}

  /// From the global flags and the environment: DOCKER_HOST, ESTIBA_ROOT, ESTIBA_EXEC_ROOT.
  void configure(const Parsed& globals);
  bool local() const noexcept { return local_; }  ///< the engine is in this process: descriptors can be passed
  const std::string& configDir() const noexcept { return configDir_; }

  http::Client& http() { return *client_; }
  /// Sends; an answer of 400 or more throws ApiError with the engine's message.
  http::ClientResponse send(http::ClientRequest request);
  json::value get(const std::string& target);
  json::value post(const std::string& target, const json::value& body = nullptr);
  void del(const std::string& target);
  /// POST with upgrade to a raw stream.
  http::Upgraded hijack(const std::string& target, const json::value& body = nullptr);

 private:
  MakeDial makeDial_;
  bool local_ = true;
  std::string configDir_;
  std::unique_ptr<http::Client> client_;
};

/// The Session behind a Cli: commands get the former as the latter.
inline Session& session(Cli& cli) { return static_cast<Session&>(cli); }

/// "/containers/NAME/json" with NAME encoded.
template <class... A>
std::string target(fmt::format_string<A...> pattern, A&&... parts) {
  return fmt::format(pattern, std::forward<A>(parts)...);
}
std::string encoded(const std::string& part);
/// ?filters= of --filter's values: {"name":{"value":true}} as docker's CLI writes it.
std::string filtersParam(const std::vector<std::string>& filters);

/// All commands.
const struct Tree& commandTree();

}  // namespace estiba::cli
