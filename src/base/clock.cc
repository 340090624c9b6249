#include "base/clock.h"

#include <fmt/format.h>

#include <ctime>

#include "base/text.h"

namespace estiba {

namespace {
constexpr int64_t kSecond = 1'000'000'000;

int64_t read(clockid_t clock) noexcept {
  timespec ts{};
  ::clock_gettime(clock, &ts);
  return ts.tv_sec * kSecond + ts.tv_nsec;
}

std::string formatted(Time time, bool padded) {
  if (time.ns == 0) return "0001-01-01T00:00:00Z";
  int64_t seconds = time.ns / kSecond;
  int64_t nanos = time.ns % kSecond;
  if (nanos < 0) {
    nanos += kSecond;
    --seconds;
  }
  std::tm tm{};
  const time_t t = seconds;
  ::gmtime_r(&t, &tm);
  std::string out = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                                tm.tm_hour, tm.tm_min, tm.tm_sec);
  if (padded || nanos != 0) {
    std::string fraction = fmt::format(".{:09}", nanos);
    if (!padded) fraction.erase(fraction.find_last_not_of('0') + 1);
    out += fraction;
  }
  return out + "Z";
}
}  // namespace

Time now() noexcept {
  return {read(CLOCK_REALTIME)};
}
std::chrono::nanoseconds monotonic() noexcept {
  return std::chrono::nanoseconds(read(CLOCK_MONOTONIC));
}

std::string rfc3339Nano(Time time) {
  return formatted(time, false);
}
std::string rfc3339NanoPadded(Time time) {
  return formatted(time, true);
}

std::optional<Time> parseRfc3339(std::string_view text) {
  const auto number = [&](size_t at, size_t length) -> int {
    if (text.size() < at + length) return -1;
    const auto value = parseUint(text.substr(at, length));
    return value ? static_cast<int>(*value) : -1;
  };
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
      text[16] != ':') {
    return std::nullopt;
  }
  const int parts[] = {number(0, 4), number(5, 2), number(8, 2), number(11, 2), number(14, 2), number(17, 2)};
  for (const int part : parts) {
    if (part < 0) return std::nullopt;
  }
  if (parts[1] < 1 || parts[1] > 12 || parts[2] < 1 || parts[2] > 31 || parts[3] > 23 || parts[4] > 59 ||
      parts[5] > 60) {
    return std::nullopt;
  }
  std::tm tm{};
  tm.tm_year = parts[0] - 1900;
  tm.tm_mon = parts[1] - 1;
  tm.tm_mday = parts[2];
  tm.tm_hour = parts[3];
  tm.tm_min = parts[4];
  tm.tm_sec = parts[5];
  if (parts[0] == 1) return Time{0};  // Go's zero time
  int64_t ns = ::timegm(&tm) * kSecond;
  size_t at = 19;
  if (at < text.size() && text[at] == '.') {
    int64_t unit = kSecond / 10;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) ns += (text[at] - '0') * unit;
  }
  const std::string_view zone = text.substr(at);
  if (zone == "Z" || zone == "z") return Time{ns};
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return std::nullopt;
  const auto hours = parseUint(zone.substr(1, 2));
  const auto minutes = parseUint(zone.substr(4, 2));
  if (!hours || !minutes) return std::nullopt;
  const int64_t offset = (static_cast<int64_t>(*hours) * 3600 + static_cast<int64_t>(*minutes) * 60) * kSecond;
  return Time{zone[0] == '+' ? ns - offset : ns + offset};
}

std::string humanDuration(std::chrono::nanoseconds duration) {
  const int64_t seconds = duration.count() / kSecond;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  const int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  const int64_t hours = (seconds + 1800) / 3600;  // rounded
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", seconds / 3600 / 24 / 365);
}

std::optional<std::chrono::nanoseconds> parseDuration(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    size_t digits = 0;
    while (digits < text.size() && ((text[digits] >= '0' && text[digits] <= '9') || text[digits] == '.')) ++digits;
    const std::string number(text.substr(0, digits));
    if (number.empty() || number == "." || number.find('.') != number.rfind('.')) return std::nullopt;
    text.remove_prefix(digits);
    size_t letters = 0;
    while (letters < text.size() && text[letters] != '.' && !(text[letters] >= '0' && text[letters] <= '9')) ++letters;
    const std::string_view unit = text.substr(0, letters);
    text.remove_prefix(letters);
    double factor = 0;
    if (unit == "ns")
      factor = 1;
    else if (unit == "us" || unit == "\xC2\xB5s" || unit == "\xCE\xBCs")
      factor = 1e3;
    else if (unit == "ms")
      factor = 1e6;
    else if (unit == "s")
      factor = 1e9;
    else if (unit == "m")
      factor = 60e9;
    else if (unit == "h")
      factor = 3600e9;
    else
      return std::nullopt;
    total += std::stod(number) * factor;
  }
  if (total > 9.2e18) return std::nullopt;
  const auto ns = static_cast<int64_t>(total + 0.5);
  return std::chrono::nanoseconds(negative ? -ns : ns);
}

std::string formatDuration(std::chrono::nanoseconds duration) {
  int64_t ns = duration.count();
  if (ns == 0) return "0s";
  const std::string sign = ns < 0 ? "-" : "";
  if (ns < 0) ns = -ns;
  const auto decimal = [](int64_t value, int64_t unit) {
    std::string out = std::to_string(value / unit);
    std::string fraction = std::to_string(unit + value % unit).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    return fraction.empty() ? out : out + "." + fraction;
  };
  if (ns < 1'000) return fmt::format("{}{}ns", sign, ns);
  if (ns < 1'000'000) return sign + decimal(ns, 1'000) + "\xC2\xB5s";
  if (ns < kSecond) return sign + decimal(ns, 1'000'000) + "ms";
  const int64_t hours = ns / (3600 * kSecond);
  const int64_t minutes = ns / (60 * kSecond) % 60;
  std::string out = sign;
  if (hours > 0) out += fmt::format("{}h", hours);
  if (hours > 0 || minutes > 0) out += fmt::format("{}m", minutes);
  return out + decimal(ns % (60 * kSecond), kSecond) + "s";
}

}  // namespace estiba
