#pragma once
// Streams of JSON messages, one after the other: pull, push, build, events, stats.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "http/message.h"

namespace estiba::http {

/// Writes each message as one piece: its JSON and "\r\n", as Docker's progress streams have it, or "\n".
class JsonStreamWriter {
 public:
  using Sink = std::function<void(std::string_view)>;
  explicit JsonStreamWriter(Sink sink, std::string_view separator = "\r\n") : sink_(std::move(sink)), end_(separator) {}
  void write(const json::value& message);
  template <class T>
  void writeAs(const T& message) {
    write(toJson(message));
  }

 private:
  Sink sink_;
  std::string end_;
};

/// Reads messages from a body as they arrive; any white space, or none, may lie between them.
class JsonStreamReader {
 public:
  /// `messageLimit` bytes for one message. `body` must outlive the reader.
  explicit JsonStreamReader(BodyReader& body, size_t messageLimit = 16U << 20);
  ~JsonStreamReader();
  /// The next message; nullopt at the stream's end. Throws Error(invalid) for what is no JSON or too long, and what
  /// BodyReader::read throws.
  std::optional<json::value> next();
  template <class T>
  std::optional<T> nextAs() {
    const auto value = next();
    if (!value) return std::nullopt;
    return fromJson<T>(*value);
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace estiba::http
