#pragma once
// Helpers of this module's tests: both ends of a socket pair, a server thread behind one of them.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <string>
#include <thread>

#include "http/client.h"
#include "http/server.h"
#include "sys/file.h"

namespace estiba::http::testing {

/// Serves one connection on a thread; joined when it goes.
class Served {
 public:
  explicit Served(Handler handler, ServerOptions options = {}) : handler_(std::move(handler)) {
    auto [client, server] = socketPair();
    client_ = std::move(client);
    thread_ = std::jthread([this, fd = std::move(server), options](std::stop_token stop) mutable {
      serveConnection(std::move(fd), handler_, options, std::move(stop));
    });
  }
  ~Served() {
    client_.reset();
    thread_.request_stop();
  }
  Fd& fd() { return client_; }
  void send(std::string_view bytes) { writeAll(client_.get(), bytes, "client"); }
  void endSending() { ::shutdown(client_.get(), SHUT_WR); }
  std::string readToEnd() { return readAll(client_.get(), "client"); }
  /// Until `mark` was seen.
  std::string readUntil(std::string_view mark) {
    std::string out;
    char c = 0;
    while (out.find(mark) == std::string::npos && ::read(client_.get(), &c, 1) == 1) out += c;
    return out;
  }
  void stop() { thread_.request_stop(); }

 private:
  Handler handler_;
  Fd client_;
  std::jthread thread_;
};

/// A client whose connections are served by `handler`, each on a thread.
class Engine {
 public:
  explicit Engine(Handler handler, ServerOptions server = {})
      : handler_(std::move(handler)), options_(std::move(server)) {}
  ~Engine() {
    for (auto& t : threads_) t.request_stop();
  }
  Fd dial() {
    auto [client, server] = socketPair();
    threads_.emplace_back([this, fd = std::move(server)](std::stop_token stop) mutable {
      serveConnection(std::move(fd), handler_, options_, std::move(stop));
    });
    return std::move(client);
  }
  size_t dialled() const { return threads_.size(); }
  ClientOptions clientOptions() {
    ClientOptions o;
    o.dial = [this] { return dial(); };
    return o;
  }

 private:
  Handler handler_;
  ServerOptions options_;
  std::vector<std::jthread> threads_;
};

template <class F>
Code codeThrown(F&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Code::internal;
}

}  // namespace estiba::http::testing
