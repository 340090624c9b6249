#include "base/error.h"

#include <cstring>

namespace estiba {

std::string_view codeName(Code code) noexcept {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::not_found:
      return "not_found";
    case Code::conflict:
      return "conflict";
    case Code::unauthorized:
      return "unauthorized";
    case Code::forbidden:
      return "forbidden";
    case Code::not_implemented:
      return "not_implemented";
    case Code::unavailable:
      return "unavailable";
    case Code::deadline:
      return "deadline";
    case Code::cancelled:
      return "cancelled";
    case Code::internal:
      return "internal";
  }
  return "internal";
}

namespace {

// Go's spelling of errno texts: Docker's messages carry them in lower case.
std::string errnoText(int err) {
  char buffer[128];
  std::string text = ::strerror_r(err, buffer, sizeof buffer);
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z')) {
    text[0] = static_cast<char>(text[0] + ('a' - 'A'));
  }
  return text;
}

Code codeOf(int err) {
  switch (err) {
    case ENOENT:
      return Code::not_found;
    case EACCES:
    case EPERM:
      return Code::forbidden;
    case ETIMEDOUT:
      return Code::deadline;
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return Code::unavailable;
    default:
      return Code::internal;
  }
}

}  // namespace

SysError::SysError(int err, const std::string& what)
    : Error(codeOf(err), fmt::format("{}: {}", what, errnoText(err))), err_(err) {}

}  // namespace estiba
