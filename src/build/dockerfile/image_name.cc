#include "build/dockerfile/image_name.h"

#include <algorithm>
#include <string>

#include "base/text.h"

namespace estiba::build {
namespace {

bool isLower(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool isAlnum(char c) {
  return isLower(c) || (c >= 'A' && c <= 'Z');
}
bool isTagChar(char c) {
  return isAlnum(c) || c == '_' || c == '.' || c == '-';
}

/// Lower-case words, parted by one '.', one or two '_', or any number of '-'.
bool isPathPart(std::string_view part) {
  if (part.empty() || !isLower(part.front()) || !isLower(part.back())) return false;
  for (size_t at = 0; at < part.size();) {
    if (isLower(part[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < part.size() && part[end] == part[at]) ++end;
    const size_t run = end - at;
    const bool fits = part[at] == '-' || (part[at] == '.' && run == 1) || (part[at] == '_' && run <= 2);
    if (!fits || !isLower(part[end])) return false;
    at = end;
  }
  return true;
}

bool isHostPart(const std::string& part) {
  return !part.empty() && isAlnum(part.front()) && isAlnum(part.back()) &&
         std::all_of(part.begin(), part.end(), [](char c) { return isAlnum(c) || c == '-'; });
}

bool isDomain(std::string_view domain) {
  if (domain.starts_with('[')) {
    const size_t close = domain.find(']');
    if (close == std::string_view::npos) return false;
    domain = domain.substr(close + 1);
    return domain.empty() || (domain.front() == ':' && parseUint(domain.substr(1)).has_value());
  }
  const auto [host, port] = cut(domain, ':');
  if (port && !parseUint(*port)) return false;
  const auto parts = split(host, '.');
  return std::all_of(parts.begin(), parts.end(), isHostPart);
}

bool isDigest(std::string_view digest) {
  const auto [algorithm, hex] = cut(digest, ':');
  return hex && hex->size() >= 32 && isHex(toLower(*hex)) && !algorithm.empty() &&
         std::all_of(algorithm.begin(), algorithm.end(), isAlnum);
}

bool namesDomain(std::string_view first) {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost" || first != toLower(first);
}

}  // namespace

bool isImageName(std::string_view name) {
  if (name.size() == 64 && isHex(name)) return false;  // looks like an image ID
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    if (!isDigest(name.substr(at + 1))) return false;
    name = name.substr(0, at);
  }
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos && namesDomain(name.substr(0, slash))) {
    if (!isDomain(name.substr(0, slash))) return false;
    name.remove_prefix(slash + 1);
  }
  const auto [path, tag] = cut(name, ':');
  if (tag && (tag->empty() || tag->size() > 128 || tag->front() == '.' || tag->front() == '-' ||
              !std::all_of(tag->begin(), tag->end(), isTagChar))) {
    return false;
  }
  const auto parts = split(path, '/');
  return std::all_of(parts.begin(), parts.end(), isPathPart);
}

}  // namespace estiba::build
