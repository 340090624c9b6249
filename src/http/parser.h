#pragma once
// The grammar of HTTP/1.1 on bytes that somebody else reads: Boost.Beast's parser behind a small door. For this
// module's own use; the only file that knows Beast is parser.cc.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace boost::system {
class error_code;
}

namespace estiba::http {

/// What stands before a message's body.
struct MessageHead {
  std::string method;  ///< requests
  std::string target;
  int status = 0;  ///< responses
  std::string reason;
  int minorVersion = 1;
  Headers headers;
};

/// One message. Bytes that were not consumed are to be presented again, with more behind them. Once it has thrown, it
/// throws for ever.
class MessageParser {
 public:
  enum class Kind { request, response, responseToHead };
  MessageParser(Kind kind, size_t headerLimit);
  ~MessageParser();

  /// Returns how many bytes were consumed. Throws Error(invalid).
  size_t feedHead(std::string_view bytes);
  bool headDone() const;
  MessageHead& head();

  /// Decodes body bytes into out[0..size): {consumed, produced}. Both 0: it needs more bytes than these.
  struct Step {
    size_t consumed, produced;
  };
  Step feedBody(std::string_view bytes, char* out, size_t size);
  bool done() const;       ///< the message's end was seen
  void endOfInput();       ///< the peer closed. Throws Error(unavailable) in the middle of a message
  bool keepAlive() const;  ///< after the head
  bool chunked() const;
  std::optional<uint64_t> contentLength() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
  void check(const boost::system::error_code& ec);

  size_t headLeft_;
  bool failed_ = false;
};

}  // namespace estiba::http
