#include "http/message.h"

#include <algorithm>

#include "base/text.h"

namespace estiba::http {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool isToken(std::string_view name) {
  if (name.empty()) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

}  // namespace

bool equalsNoCase(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

void Headers::set(std::string_view name, std::string_view value) {
  for (auto it = fields_.begin(); it != fields_.end(); ++it) {
    if (!equalsNoCase(it->first, name)) continue;
    it->second = value;
    fields_.erase(std::remove_if(it + 1, fields_.end(), [&](const Field& f) { return equalsNoCase(f.first, name); }),
                  fields_.end());
    return;
  }
  add(name, value);
}

void Headers::remove(std::string_view name) {
  std::erase_if(fields_, [&](const Field& f) { return equalsNoCase(f.first, name); });
}

const std::string* Headers::find(std::string_view name) const {
  for (const auto& [key, value] : fields_) {
    if (equalsNoCase(key, name)) return &value;
  }
  return nullptr;
}

std::string Headers::get(std::string_view name, std::string_view fallback) const {
  const std::string* value = find(name);
  return value != nullptr ? *value : std::string(fallback);
}

bool Headers::hasToken(std::string_view name, std::string_view token) const {
  for (const auto& [key, value] : fields_) {
    if (!equalsNoCase(key, name)) continue;
    for (const auto& part : split(value, ',')) {
      if (equalsNoCase(trim(part), token)) return true;
    }
  }
  return false;
}

void Headers::appendTo(std::string& out) const {
  for (const auto& [name, value] : fields_) {
    if (!isToken(name)) fail(Code::invalid, "invalid header name {}", quoted(name));
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      fail(Code::invalid, "invalid value of header {}", name);
    }
    out.append(name).append(": ").append(value).append("\r\n");
  }
}

Query Query::parse(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const size_t end = text.find('&');
    const std::string_view item = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (item.empty()) continue;
    const size_t eq = item.find('=');
    query.items_.emplace_back(urlDecode(item.substr(0, eq), true),
                              eq == std::string_view::npos ? std::string() : urlDecode(item.substr(eq + 1), true));
  }
  return query;
}

std::string Query::str() const {
  std::string out;
  for (const auto& [name, value] : items_) {
    if (!out.empty()) out += '&';
    out += urlEncode(name) + '=' + urlEncode(value);
  }
  return out;
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string Query::get(std::string_view name, std::string_view fallback) const {
  const std::string* value = find(name);
  return value != nullptr ? *value : std::string(fallback);
}

std::vector<std::string> Query::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : items_) {
    if (key == name) out.push_back(value);
  }
  return out;
}

bool Query::flag(std::string_view name, bool fallback) const {
  const std::string* value = find(name);
  if (value == nullptr) return fallback;
  const std::string text = toLower(trim(*value));
  return !(text.empty() || text == "0" || text == "no" || text == "false" || text == "none");
}

std::optional<int64_t> Query::integer(std::string_view name) const {
  const std::string* value = find(name);
  if (value == nullptr || value->empty()) return std::nullopt;
  if (const auto number = parseInt(*value)) return number;
  fail(Code::invalid, "invalid value {} of parameter '{}': not an integer", quoted(*value), name);
}

std::string BodyReader::readAll(uint64_t limit) {
  std::string out;
  if (const auto known = length()) {
    if (*known > limit) fail(Code::invalid, "body of {} bytes is larger than the limit of {}", *known, limit);
    out.reserve(*known);
  }
  for (size_t size = 0;;) {
    const size_t room = std::max<size_t>(4096, std::min<size_t>(size, 1U << 20));
    out.resize(size + room);
    const size_t n = read(out.data() + size, room);
    size += n;
    out.resize(size);
    if (n == 0) return out;
    if (size > limit) fail(Code::invalid, "body is larger than the limit of {} bytes", limit);
  }
}

json::value BodyReader::readJson(uint64_t limit) {
  const std::string text = readAll(limit);
  if (trim(text).empty()) return nullptr;
  return parseJson(text, "request body");
}

const std::string& Request::param(const std::string& name) const {
  static const std::string kNone;
  const auto it = params.find(name);
  return it != params.end() ? it->second : kNone;
}

Response Response::json(int status, const estiba::json::value& value) {
  return {status, {{"Content-Type", "application/json"}}, dumpJson(value) + "\n"};
}

Response Response::text(int status, std::string body) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(body)};
}

std::string_view statusText(int status) noexcept {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "UPGRADED";  // Docker's own word for it
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Request Entity Too Large";
    case 414:
      return "Request URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Requested Range Not Satisfiable";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

}  // namespace estiba::http
