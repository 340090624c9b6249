#include <algorithm>
#include <cstring>

#include "archive/tar.h"
#include "archive/tar_format.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMaxOctal7 = 07777777;
constexpr int64_t kMaxOctal11 = 077777777777;

bool isAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) > 0; });
}

void putText(char* block, TarField f, std::string_view text) {
  text.copy(block + f.offset, f.length);  // memcpy would not take the null of an empty view
}

/// `length`-1 octal digits and a NUL.
void putOctal(char* block, TarField f, int64_t value) {
  const std::string text = fmt::format("{:0{}o}", value, f.length - 1);
  putText(block, f, text);
}

char typeFlag(const TarEntry& entry) {
  switch (entry.type) {
    case TarType::file:
      return '0';
    case TarType::hardlink:
      return '1';
    case TarType::symlink:
      return '2';
    case TarType::charDevice:
      return '3';
    case TarType::blockDevice:
      return '4';
    case TarType::directory:
      return '5';
    case TarType::fifo:
      return '6';
    case TarType::other:
      return entry.rawType;
  }
  return '0';
}

struct SplitName {
  std::string_view prefix;
  std::string_view name;
};

/// As ustar's prefix and name; nullopt where it does not fit.
std::optional<SplitName> splitName(std::string_view name) {
  if (!isAscii(name)) return std::nullopt;
  if (name.size() <= kName.length) return SplitName{{}, name};
  const size_t slash = name.rfind('/', std::min(kPrefix.length, name.size() - 2));
  if (slash == std::string_view::npos || slash == 0 || name.size() - slash - 1 > kName.length) return std::nullopt;
  return SplitName{name.substr(0, slash), name.substr(slash + 1)};
}

void seal(char* block) {
  std::memset(block + kChecksum.offset, ' ', kChecksum.length);
  unsigned sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) sum += static_cast<unsigned char>(block[i]);
  const std::string text = fmt::format("{:06o}", sum);
  std::memcpy(block + kChecksum.offset, text.data(), 6);
  block[kChecksum.offset + 6] = '\0';
}

void appendPaxHeader(std::string& to, const std::string& body) {
  char block[kTarBlock] = {};
  putText(block, kName, "PaxHeaders.0/entry");
  putOctal(block, kMode, 0644);
  putOctal(block, kUid, 0);
  putOctal(block, kGid, 0);
  putOctal(block, kSize, static_cast<int64_t>(body.size()));
  putOctal(block, kMtime, 0);
  block[kType.offset] = 'x';
  putText(block, kMagic, {"ustar\00000", 8});
  seal(block);
  to.append(block, kTarBlock);
  to += body;
  to.append(paddingOf(static_cast<int64_t>(body.size())), '\0');
}

/// A number that ustar can hold goes into the block, others into a pax record.
void putNumber(char* block, TarField f, int64_t value, int64_t max, const char* key, PaxRecords& pax) {
  if (value >= 0 && value <= max) {
    putOctal(block, f, value);
  } else {
    putOctal(block, f, 0);
    pax[key] = std::to_string(value);
  }
}

void putTime(char* block, int64_t ns, bool subSecond, PaxRecords& pax) {
  int64_t seconds = ns / kSecond;
  int64_t rest = ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  putNumber(block, kMtime, seconds, kMaxOctal11, "mtime", pax);
  if (!subSecond || rest == 0) return;
  std::string text =
      seconds < 0 ? fmt::format("-{}.{:09}", -(seconds + 1), kSecond - rest) : fmt::format("{}.{:09}", seconds, rest);
  text.erase(text.find_last_not_of('0') + 1);
  pax["mtime"] = text;
}

void putOptionalText(char* block, TarField f, const std::string& text, const char* key, PaxRecords& pax) {
  if (isAscii(text) && text.size() <= f.length) {
    putText(block, f, text);
  } else {
    pax[key] = text;
  }
}

}  // namespace

void appendTarHeader(std::string& to, const TarEntry& entry, bool subSecondTimes) {
  char block[kTarBlock] = {};
  PaxRecords pax;
  std::string name = entry.name;
  if (entry.type == TarType::directory && !name.ends_with('/')) name += '/';
  if (const auto parts = splitName(name)) {
    putText(block, kName, parts->name);
    putText(block, kPrefix, parts->prefix);
  } else {
    putText(block, kName, isAscii(name) ? std::string_view(name).substr(0, kName.length) : "non-ascii");
    pax["path"] = name;
  }
  const bool isFile = entry.type == TarType::file;
  putOctal(block, kMode, entry.mode & 07777);
  putNumber(block, kUid, entry.uid, kMaxOctal7, "uid", pax);
  putNumber(block, kGid, entry.gid, kMaxOctal7, "gid", pax);
  putNumber(block, kSize, isFile ? entry.size : 0, kMaxOctal11, "size", pax);
  putTime(block, entry.mtimeNs, subSecondTimes, pax);
  block[kType.offset] = typeFlag(entry);
  if (entry.type == TarType::hardlink || entry.type == TarType::symlink) {
    putOptionalText(block, kLink, entry.linkName, "linkpath", pax);
  }
  putText(block, kMagic, {"ustar\00000", 8});
  putOptionalText(block, {kUname.offset, kUname.length - 1}, entry.uname, "uname", pax);
  putOptionalText(block, {kGname.offset, kGname.length - 1}, entry.gname, "gname", pax);
  putNumber(block, kDevMajor, entry.devMajor, kMaxOctal7, "SCHILY.devmajor", pax);
  putNumber(block, kDevMinor, entry.devMinor, kMaxOctal7, "SCHILY.devminor", pax);
  for (const auto& [key, value] : entry.xattrs) pax["SCHILY.xattr." + key] = value;
  if (!pax.empty()) {
    std::string body;
    for (const auto& [key, value] : pax) appendPaxRecord(body, key, value);
    appendPaxHeader(to, body);
  }
  seal(block);
  to.append(block, kTarBlock);
}

TarWriter::TarWriter(Sink& out) : TarWriter(out, Options{}) {}
TarWriter::TarWriter(Sink& out, Options options) : out_(out), options_(options) {}

void TarWriter::add(const TarEntry& entry) {
  pad();
  std::string bytes;
  appendTarHeader(bytes, entry, options_.subSecondTimes);
  out_.write(bytes);
  left_ = entry.type == TarType::file ? entry.size : 0;
  padding_ = static_cast<unsigned>(paddingOf(left_));
}

void TarWriter::write(const void* from, size_t size) {
  if (static_cast<int64_t>(size) > left_) fail(Code::internal, "tar: more content than the entry's size");
  out_.write(from, size);
  left_ -= static_cast<int64_t>(size);
}

void TarWriter::addFile(TarEntry entry, std::string_view content) {
  entry.type = TarType::file;
  entry.size = static_cast<int64_t>(content.size());
  add(entry);
  write(content);
}

void TarWriter::pad() {
  static constexpr char kZeros[kTarBlock] = {};
  if (left_ != 0) fail(Code::internal, "tar: {} bytes of an entry's content are missing", left_);
  if (padding_ > 0) out_.write(kZeros, padding_);
  padding_ = 0;
}

void TarWriter::finish() {
  static constexpr char kZeros[2 * kTarBlock] = {};
  pad();
  out_.write(kZeros, sizeof kZeros);
}

}  // namespace estiba::archive
