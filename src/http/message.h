#pragma once
// HTTP/1.1 messages as values, and bodies as streams. Source: RFC 9110, RFC 9112.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"

namespace estiba::http {

/// Field lines in their order; names without case, several of one name allowed.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;
  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  void add(std::string_view name, std::string_view value) { fields_.emplace_back(name, value); }
  void set(std::string_view name, std::string_view value);  ///< in place of all of that name
  void remove(std::string_view name);
  /// The first of that name; nullptr where there is none. Valid until the next change.
  const std::string* find(std::string_view name) const;
  std::string get(std::string_view name, std::string_view fallback = {}) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// Whether a comma-separated list (over all fields of that name) has `token`, without case: ("Connection", "close").
  bool hasToken(std::string_view name, std::string_view token) const;

  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }

  /// Appends "Name: value\r\n" for each. Throws Error(invalid) for a name that is no token or a value with CR, LF, NUL.
  void appendTo(std::string& out) const;

 private:
  std::vector<Field> fields_;
};

/// The parameters of a target, decoded, in their order.
class Query {
 public:
  /// "a=1&b=x%20y&c" (no '?'); '+' is a space.
  static Query parse(std::string_view text);
  std::string str() const;  ///< encoded again, no '?'

  void add(std::string_view name, std::string_view value) { items_.emplace_back(name, value); }
  const std::string* find(std::string_view name) const;  ///< the first
  std::string get(std::string_view name, std::string_view fallback = {}) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::vector<std::string> all(std::string_view name) const;
  /// As Docker reads flags: "", "0", "no", "false", "none" (any case) are false, all else is true.
  bool flag(std::string_view name, bool fallback = false) const;
  /// nullopt where it is missing or empty. Throws Error(invalid) where it is no integer.
  std::optional<int64_t> integer(std::string_view name) const;

  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  bool empty() const { return items_.empty(); }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

/// A body that is read as it arrives. Not for two threads at once.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  /// 1..size bytes as they come; 0 at the body's end. Throws Error: invalid (malformed chunks), unavailable (the peer
  /// vanished before the end), deadline.
  virtual size_t read(char* data, size_t size) = 0;
  /// Content-Length, where it is known.
  virtual std::optional<uint64_t> length() const { return std::nullopt; }

  /// The rest. Throws Error(invalid) past `limit` bytes.
  std::string readAll(uint64_t limit = 16U << 20);
  /// The rest as JSON; an empty body is null.
  json::value readJson(uint64_t limit = 16U << 20);
};

/// A request as a server's handler sees it. Lives as long as the handler's call.
struct Request {
  std::string method;  ///< as sent: upper case
  std::string target;  ///< as sent, query included
  std::string path;    ///< percent-decoded, starts with '/'; no query
  Query query;
  Headers headers;
  int minorVersion = 1;                       ///< HTTP/1.x
  std::map<std::string, std::string> params;  ///< filled by a router: {"id": "…"}
  BodyReader* body = nullptr;                 ///< never null in a handler; "100 Continue" goes out at the first read
  std::vector<Fd> fds;  ///< descriptors that came with this request (SCM_RIGHTS): move out what is claimed

  const std::string& param(const std::string& name) const;  ///< "" where there is none
};

/// A whole reply as a value.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;

  static Response json(int status, const estiba::json::value& value);
  static Response text(int status, std::string body);
  static Response empty(int status) { return {status, {}, {}}; }
};

/// "Not Found"; "" for numbers that nobody knows.
std::string_view statusText(int status) noexcept;
bool equalsNoCase(std::string_view a, std::string_view b) noexcept;

}  // namespace estiba::http
