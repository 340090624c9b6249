#include "archive/tar_format.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/text.h"

namespace estiba::archive {

namespace {

int64_t base256(std::string_view bytes, std::string_view what) {
  const bool negative = (static_cast<unsigned char>(bytes[0]) & 0x40U) != 0;
  uint64_t value = negative ? ~0ULL : 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto byte = static_cast<unsigned char>(bytes[i]);
    if (i == 0) byte = static_cast<unsigned char>(negative ? byte | 0x80U : byte & 0x7fU);
    const uint64_t top = value >> 55U;  // what a shift by one byte would lose, with the sign
    if (top != (negative ? 0x1ffU : 0U)) fail(Code::invalid, "tar: the {} in a header is out of range", what);
    value = value << 8U | byte;
  }
  return static_cast<int64_t>(value);
}

}  // namespace

std::string_view textField(std::string_view block, TarField f) {
  const std::string_view raw = field(block, f);
  return raw.substr(0, std::min(raw.find('\0'), raw.size()));
}

int64_t numberField(std::string_view block, TarField f, std::string_view what) {
  std::string_view raw = field(block, f);
  if ((static_cast<unsigned char>(raw[0]) & 0x80U) != 0) return base256(raw, what);
  const auto blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!raw.empty() && blank(raw.front())) raw.remove_prefix(1);
  raw = raw.substr(0, std::min(raw.find('\0'), raw.size()));  // some writers leave rubbish behind the NUL
  while (!raw.empty() && blank(raw.back())) raw.remove_suffix(1);
  int64_t value = 0;
  for (const char c : raw) {
    if (c < '0' || c > '7') fail(Code::invalid, "tar: the {} in a header is no number", what);
    value = value * 8 + (c - '0');  // at most 12 digits: 36 bits
  }
  return value;
}

bool checksumMatches(std::string_view block) {
  int64_t plain = 0;
  int64_t withSign = 0;  // what some old programs wrote
  for (size_t i = 0; i < kTarBlock; ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    const char c = own ? ' ' : block[i];
    plain += static_cast<unsigned char>(c);
    withSign += static_cast<signed char>(c);
  }
  const int64_t said = numberField(block, kChecksum, "checksum");
  return said == plain || said == withSign;
}

int64_t parsePaxNumber(std::string_view text, std::string_view what) {
  const auto value = parseUint(text);
  if (!value || *value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    fail(Code::invalid, "tar: '{}' in a pax header is no number that fits", what);
  }
  return static_cast<int64_t>(*value);
}

int64_t parsePaxTime(std::string_view text) {
  constexpr int64_t kSecond = 1'000'000'000;
  const bool negative = text.starts_with('-');
  const auto [whole, decimals] = cut(text.substr(negative ? 1 : 0), '.');
  const auto seconds = whole.empty() && decimals ? std::optional<uint64_t>(0) : parseUint(whole);
  if (!seconds) fail(Code::invalid, "tar: a time in a pax header is no number");
  int64_t ns = static_cast<int64_t>(std::min<uint64_t>(*seconds, 9'000'000'000ULL)) * kSecond;
  if (decimals) {
    int64_t unit = kSecond;
    for (const char c : *decimals) {
      if (c < '0' || c > '9') fail(Code::invalid, "tar: a time in a pax header is no number");
      unit /= 10;
      ns += (c - '0') * unit;
    }
  }
  return negative ? -ns : ns;
}

void parsePaxRecords(std::string_view body, PaxRecords& into) {
  std::string map;
  bool wantLength = false;
  while (!body.empty()) {
    const size_t space = body.find(' ');
    const auto length = space == std::string_view::npos || space > 9 ? std::nullopt : parseUint(body.substr(0, space));
    if (!length || *length > body.size() || *length < space + 3 || body[*length - 1] != '\n') {
      fail(Code::invalid, "tar: broken record in a pax header");
    }
    const std::string_view record = body.substr(space + 1, *length - space - 2);
    body.remove_prefix(*length);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) fail(Code::invalid, "tar: broken record in a pax header");
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key.find('\0') != std::string_view::npos) fail(Code::invalid, "tar: NUL in a pax key");
    if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") {
      if ((key == "GNU.sparse.numbytes") != wantLength) fail(Code::invalid, "tar: broken sparse map in a pax header");
      wantLength = !wantLength;
      if (!map.empty()) map += ',';
      map += value;
      continue;
    }
    into.insert_or_assign(std::string(key), std::string(value));
  }
  if (wantLength) fail(Code::invalid, "tar: broken sparse map in a pax header");
  if (!map.empty()) into.insert_or_assign("GNU.sparse.map", std::move(map));
}

void appendPaxRecord(std::string& body, std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;  // ' ', '=', '\n'
  size_t length = rest + 1;
  while (rest + std::to_string(length).size() != length) length = rest + std::to_string(length).size();
  body += fmt::format("{} {}=", length, key);
  body += value;
  body += '\n';
}

std::vector<TarRun> parseSparseMap(std::string_view text) {
  std::vector<TarRun> runs;
  while (!text.empty()) {
    int64_t pair[2];
    for (int64_t& number : pair) {
      const size_t comma = std::min(text.find(','), text.size());
      number = parsePaxNumber(text.substr(0, comma), "GNU.sparse.map");
      text.remove_prefix(std::min(comma + 1, text.size()));
    }
    runs.push_back({pair[0], pair[1]});
  }
  return runs;
}

void checkRuns(std::vector<TarRun>& runs, int64_t size, int64_t dataSize) {
  int64_t end = 0;
  int64_t sum = 0;
  for (const TarRun& run : runs) {
    if (run.offset < end || run.length < 0 || run.offset > size || run.length > size - run.offset) {
      fail(Code::invalid, "tar: the sparse map of a file does not fit it");
    }
    end = run.offset + run.length;
    sum += run.length;
  }
  if (sum != dataSize) fail(Code::invalid, "tar: the sparse map of a file does not fit its data");
  std::erase_if(runs, [](const TarRun& run) { return run.length == 0; });
}

}  // namespace estiba::archive
