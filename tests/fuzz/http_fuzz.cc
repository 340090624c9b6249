// Feeds any bytes to a server connection, and the same bytes to what a client parses. libFuzzer.

#include <sys/socket.h>

#include <cstdint>
#include <string_view>

#include "http/client.h"
#include "http/json_stream.h"
#include "http/server.h"
#include "http/stdio_frames.h"
#include "http/url.h"
#include "sys/file.h"

namespace {

using namespace estiba;
using namespace estiba::http;

// What a peer sends before it closes: bytes within the socket's buffer, so that one thread can play both sides.
Fd peerThatSent(std::string_view bytes) {
  auto [ours, theirs] = socketPair();
  (void)::send(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(theirs.get(), SHUT_WR);
  static Fd reader;  // the last peer's end stays open: replies are not to fail with EPIPE
  reader = std::move(theirs);
  return std::move(ours);
}

void serve(std::string_view bytes) {
  serveConnection(peerThatSent(bytes), [](Request& q, ResponseWriter& w) {
    const std::string body = q.body->readAll(1U << 16);
    if (q.query.flag("stream")) {
      w.stream(200, {});
      w.write(body);
    } else if (q.query.flag("hijack")) {
      (void)w.hijack(101, {});
    } else {
      w.send(200, {}, q.path);
    }
  });
}

void ask(std::string_view bytes) {
  ClientOptions options;
  options.dial = [&] { return peerThatSent(bytes); };
  try {
    Client client(options);
    auto response = client.request({.url = "/"});
    JsonStreamReader reader(response.body(), 1U << 16);
    while (reader.next()) {
    }
  } catch (const Error&) {
  }
}

void takeApart(std::string_view bytes) {
  try {
    FrameDemux([](StdStream, std::string_view) {}).feed(bytes);
  } catch (const Error&) {
  }
  try {
    const Url url = Url::parse(bytes);
    (void)Url::parse(url.str());
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), std::min<size_t>(size, 60'000));
  serve(bytes);
  ask(bytes);
  takeApart(bytes);
  return 0;
}
