#include "http/url.h"

#include <arpa/inet.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace estiba::http {
namespace {

bool isScheme(std::string_view text) {
  if (text.empty() || !((text[0] | 32) >= 'a' && (text[0] | 32) <= 'z')) return false;
  for (const char c : text) {
    const char l = static_cast<char>(c | 32);
    if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')) return false;
  }
  return true;
}

std::string withoutPassword(std::string_view text) {
  const size_t start = text.find("://");
  const size_t at = text.find('@');
  if (start == std::string_view::npos || at == std::string_view::npos || at < start) return std::string(text);
  return std::string(text.substr(0, start + 3)) + "xxxxx" + std::string(text.substr(at));
}

[[noreturn]] void bad(std::string_view text, std::string_view why) {
  fail(Code::invalid, "invalid URL {}: {}", quoted(withoutPassword(text)), why);
}

void parseAuthority(std::string_view authority, Url& url, std::string_view text) {
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const auto [user, password] = cut(authority.substr(0, at), ':');
    url.user = urlDecode(user, false);
    url.password = urlDecode(password.value_or(""), false);
    authority.remove_prefix(at + 1);
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) bad(text, "missing ']' in host");
    url.host = toLower(authority.substr(1, end - 1));
    const std::string_view rest = authority.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') bad(text, "invalid host");
    port = rest.empty() ? rest : rest.substr(1);
  } else {
    const size_t colon = authority.find(':');
    url.host = toLower(authority.substr(0, colon));
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  if (port.empty()) return;
  const auto number = parseUint(port);
  if (!number || *number == 0 || *number > 65535) bad(text, "invalid port");
  url.port = static_cast<uint16_t>(*number);
}

std::string removeDots(std::string_view path) {
  std::vector<std::string> out;
  const auto parts = split(path, '/');
  for (size_t i = 1; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (parts[i] == "..") {
      if (!out.empty()) out.pop_back();
    } else if (parts[i] != ".") {
      out.push_back(parts[i]);
      continue;
    }
    if (last) out.emplace_back();
  }
  return "/" + join(out, "/");
}

struct Ip {
  std::array<unsigned char, 16> bytes{};  // IPv4 as ::ffff:a.b.c.d
  static std::optional<Ip> parse(const std::string& text) {
    Ip ip;
    if (::inet_pton(AF_INET6, text.c_str(), ip.bytes.data()) == 1) return ip;
    ip.bytes[10] = ip.bytes[11] = 0xff;
    if (::inet_pton(AF_INET, text.c_str(), ip.bytes.data() + 12) == 1) return ip;
    return std::nullopt;
  }
  bool in(const Ip& net, unsigned bits) const {
    for (unsigned i = 0; i < bits; ++i) {
      const int shift = 7 - static_cast<int>(i % 8);
      if (((bytes[i / 8] ^ net.bytes[i / 8]) >> shift & 1) != 0) return false;
    }
    return true;
  }
  bool v4() const { return bytes[10] == 0xff && bytes[11] == 0xff && bytes[0] == 0; }
};

bool matchesCidr(const std::string& host, const std::string& net, const std::string& bitsText) {
  const auto ip = Ip::parse(host);
  const auto base = Ip::parse(net);
  const auto bits = parseUint(bitsText);
  if (!ip || !base || !bits || ip->v4() != base->v4()) return false;
  const uint64_t all = *bits + (base->v4() ? 96 : 0);
  return all <= 128 && ip->in(*base, static_cast<unsigned>(all));
}

bool excluded(const Url& url, std::string_view noProxy) {
  for (const auto& part : split(noProxy, ',')) {
    std::string rule = toLower(trim(part));
    if (rule.empty()) continue;
    if (rule == "*" || rule == url.host) return true;
    if (const auto [net, bits] = cut(rule, '/'); bits && matchesCidr(url.host, net, *bits)) return true;
    if (const size_t colon = rule.rfind(':'); colon != std::string::npos && rule.find(':') == colon) {
      if (parseUint(rule.substr(colon + 1)) != url.effectivePort()) continue;
      rule.resize(colon);
      if (rule == url.host) return true;
    }
    if (rule.starts_with("*.")) rule.erase(0, 1);
    const bool onlySubdomains = rule.starts_with('.');
    if (url.host.ends_with(onlySubdomains ? rule : "." + rule)) return true;
  }
  return false;
}

bool isLoopback(const std::string& host) {
  if (host == "localhost") return true;
  const auto ip = Ip::parse(host);
  if (!ip) return false;
  return ip->v4() ? ip->bytes[12] == 127 : ip->in(*Ip::parse("::1"), 128);
}

std::string_view environment(const char* lower, const char* upper) {
  for (const char* name : {lower, upper}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return {};
}

}  // namespace

Url Url::parse(std::string_view text) {
  Url url;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') bad(text, "invalid character");
  }
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos || !isScheme(text.substr(0, colon))) bad(text, "no scheme");
  url.scheme = toLower(text.substr(0, colon));
  std::string_view rest = text.substr(colon + 3);
  if (const size_t hash = rest.find('#'); hash != std::string_view::npos) {
    url.fragment = rest.substr(hash + 1);
    rest = rest.substr(0, hash);
  }
  if (const size_t mark = rest.find('?'); mark != std::string_view::npos) {
    url.query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  const size_t slash = rest.find('/');
  parseAuthority(rest.substr(0, slash), url, text);
  if (slash != std::string_view::npos) url.path = rest.substr(slash);
  if (url.host.empty() && (url.scheme == "http" || url.scheme == "https")) bad(text, "no host");
  return url;
}

Url Url::resolve(std::string_view reference) const {
  const size_t colon = reference.find("://");
  if (colon != std::string_view::npos && isScheme(reference.substr(0, colon))) return parse(reference);
  if (reference.starts_with("//")) return parse(scheme + ":" + std::string(reference));
  Url out = *this;
  out.fragment.clear();
  reference = reference.substr(0, reference.find('#'));
  const auto [path_, query_] = cut(reference, '?');
  if (!path_.empty() || query_) out.query = query_.value_or("");
  if (path_.starts_with('/')) {
    out.path = removeDots(path_);
  } else if (!path_.empty()) {
    const size_t slash = path.rfind('/');
    out.path = removeDots((slash == std::string::npos ? "/" : path.substr(0, slash + 1)) + path_);
  }
  return parse(out.scheme + "://" + out.hostPort() + out.target());  // once more: the reference was not checked yet
}

uint16_t Url::effectivePort() const {
  return port != 0 ? port : scheme == "https" ? 443 : 80;
}

std::string Url::target() const {
  return (path.empty() ? "/" : path) + (query.empty() ? "" : "?" + query);
}

std::string Url::hostPort() const {
  const std::string name = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  return port != 0 ? name + ":" + std::to_string(port) : name;
}

std::string Url::str() const {
  return scheme + "://" + hostPort() + path + (query.empty() ? "" : "?" + query) +
         (fragment.empty() ? "" : "#" + fragment);
}

std::optional<Url> proxyFor(const Url& url) {
  return proxyFor(url, environment("http_proxy", "HTTP_PROXY"), environment("https_proxy", "HTTPS_PROXY"),
                  environment("no_proxy", "NO_PROXY"));
}

std::optional<Url> proxyFor(const Url& url, std::string_view httpProxy, std::string_view httpsProxy,
                            std::string_view noProxy) {
  const std::string_view proxy = url.scheme == "https" ? httpsProxy : url.scheme == "http" ? httpProxy : "";
  if (proxy.empty() || isLoopback(url.host) || excluded(url, noProxy)) return std::nullopt;
  return Url::parse(proxy.find("://") == std::string_view::npos ? "http://" + std::string(proxy) : std::string(proxy));
}

}  // namespace estiba::http
