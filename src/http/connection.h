#pragma once
// One connection of a server. For this module's own use.

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "http/parser.h"
#include "http/server.h"
#include "http/stream.h"

namespace estiba::http {

class ServerConnection {
 public:
  ServerConnection(std::unique_ptr<Stream> stream, const Handler& handler, const ServerOptions& options,
                   std::stop_token stop);

  /// Requests one after the other until the end.
  void run();

  Stream& stream() noexcept { return *stream_; }
  const MessageHead& head() const { return parser_->head(); }
  /// Whether the reply that is about to begin should announce the connection's end.
  bool willClose() const;
  void closeAfter() noexcept { close_ = true; }
  size_t readBody(char* data, size_t size);
  std::optional<uint64_t> bodyLength() const { return parser_->chunked() ? std::nullopt : parser_->contentLength(); }
  /// Reads and drops the rest of the request's body: false where there is more than `limit`.
  bool drainBody(uint64_t limit);
  Hijacked giveAway();

 private:
  bool readHead();
  bool serveOne();
  Request makeRequest();
  void handle(Request& request, ResponseWriter& writer);
  void refuse(const std::exception& error);
  void answerError(ResponseWriter& writer, const std::exception& error);
  void linger();

  std::unique_ptr<Stream> stream_;
  const Handler& handler_;
  const ServerOptions& options_;
  std::stop_token stop_;
  std::optional<std::stop_callback<std::function<void()>>> onStop_;
  InputBuffer input_;
  std::unique_ptr<MessageParser> parser_;
  std::vector<Fd> fds_;  // received, not yet handed to a request
  bool expectContinue_ = false;
  bool close_ = false;
};

}  // namespace estiba::http
