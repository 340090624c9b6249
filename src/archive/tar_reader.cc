#include <algorithm>
#include <cstring>
#include <limits>

#include "archive/tar.h"
#include "archive/tar_format.h"
#include "base/error.h"
#include "base/text.h"

namespace estiba::archive {

namespace {

constexpr size_t kBuffer = 256U << 10;
constexpr size_t kMaxGlobal = 16U << 10;  // copied for each entry; real ones are some dozen bytes
constexpr int64_t kMaxId = 0xfffffffe;    // 2^32-1 means "leave it" to chown(2)

enum class Format { v7, ustar, star, gnu };

Format formatOf(std::string_view block) {
  using namespace std::string_view_literals;
  if (field(block, kMagic) == "ustar  \0"sv) return Format::gnu;
  if (!field(block, kMagic).starts_with("ustar\0"sv)) return Format::v7;
  return field(block, kStarTrailer) == "tar\0"sv ? Format::star : Format::ustar;
}

TarType typeOf(char raw) {
  switch (raw) {
    case '\0':
    case '0':
    case '7':  // contiguous: as '0' where that means nothing (POSIX)
    case 'S':
      return TarType::file;
    case '1':
      return TarType::hardlink;
    case '2':
      return TarType::symlink;
    case '3':
      return TarType::charDevice;
    case '4':
      return TarType::blockDevice;
    case '5':
      return TarType::directory;
    case '6':
      return TarType::fifo;
    default:
      return TarType::other;
  }
}

bool hasData(TarType type) {
  return type == TarType::file || type == TarType::other;
}

uint32_t idOf(int64_t value, std::string_view what) {
  if (value < 0 || value > kMaxId) fail(Code::invalid, "tar: the {} {} is out of range", what, value);
  return static_cast<uint32_t>(value);
}

int64_t timeOf(int64_t seconds) {
  constexpr int64_t kMax = 9'000'000'000;
  return std::clamp(seconds, -kMax, kMax) * 1'000'000'000;
}

std::string nameOf(std::string_view text, std::string_view what) {
  if (text.size() > kMaxTarName) fail(Code::invalid, "tar: a {} is longer than {} bytes", what, kMaxTarName);
  if (text.find('\0') != std::string_view::npos) fail(Code::invalid, "tar: NUL in a {}", what);
  return std::string(text);
}

/// What extended headers say of the entry that follows them.
struct Extensions {
  std::optional<std::string> name;  ///< GNU 'L'
  std::optional<std::string> link;  ///< GNU 'K'
  PaxRecords pax;

  const std::string* find(const std::string& key) const {
    const auto it = pax.find(key);
    return it == pax.end() || it->second.empty() ? nullptr : &it->second;  // empty: "as if not there" (POSIX)
  }
};

void applyXattrs(const PaxRecords& pax, TarEntry& entry) {
  constexpr std::string_view kSchily = "SCHILY.xattr.";
  constexpr std::string_view kLibarchive = "LIBARCHIVE.xattr.";
  for (const auto& [key, value] : pax) {
    if (key.starts_with(kLibarchive)) {
      const auto plain = base64Decode(value);
      if (!plain) fail(Code::invalid, "tar: '{}' is no base64", key);
      entry.xattrs.insert_or_assign(urlDecode(key.substr(kLibarchive.size()), false), *plain);
    }
  }
  for (const auto& [key, value] : pax) {  // where both are there they say the same
    if (key.starts_with(kSchily)) entry.xattrs.insert_or_assign(key.substr(kSchily.size()), value);
  }
}

void applyPax(const Extensions& ext, TarEntry& entry) {
  if (const auto* v = ext.find("path")) entry.name = nameOf(*v, "name");
  if (const auto* v = ext.find("linkpath")) entry.linkName = nameOf(*v, "link name");
  if (const auto* v = ext.find("uid")) entry.uid = idOf(parsePaxNumber(*v, "uid"), "user id");
  if (const auto* v = ext.find("gid")) entry.gid = idOf(parsePaxNumber(*v, "gid"), "group id");
  if (const auto* v = ext.find("uname")) entry.uname = nameOf(*v, "user name");
  if (const auto* v = ext.find("gname")) entry.gname = nameOf(*v, "group name");
  if (const auto* v = ext.find("mtime")) entry.mtimeNs = parsePaxTime(*v);
  if (const auto* v = ext.find("SCHILY.devmajor")) entry.devMajor = idOf(parsePaxNumber(*v, "devmajor"), "device");
  if (const auto* v = ext.find("SCHILY.devminor")) entry.devMinor = idOf(parsePaxNumber(*v, "devminor"), "device");
  if (const auto* v = ext.find("GNU.sparse.name")) entry.name = nameOf(*v, "name");
  applyXattrs(ext.pax, entry);
}

}  // namespace

struct TarReader::Impl {
  Impl(Source& source, TarTap* t) : from(source), tap(t), buffer(kBuffer) {}

  Source& from;
  TarTap* tap;
  std::vector<char> buffer;
  size_t begin = 0;
  size_t end = 0;
  bool sourceEnded = false;
  bool archiveEnded = false;

  PaxRecords global;
  size_t globalBytes = 0;
  // The content of the present entry:
  int64_t left = 0;  ///< of its data in the stream
  size_t padding = 0;
  bool sparse = false;
  std::vector<TarRun> runs;
  size_t run = 0;
  int64_t position = 0;  ///< plain: in the file; sparse: in runs[run]

  /// Makes at least `want` (<= kBuffer) bytes stand together in the buffer, or as many as there are.
  size_t have(size_t want) {
    if (end - begin >= want) return end - begin;
    std::memmove(buffer.data(), buffer.data() + begin, end - begin);
    end -= begin;
    begin = 0;
    while (end < want && !sourceEnded) {
      const size_t n = from.read(buffer.data() + end, buffer.size() - end);
      end += n;
      sourceEnded = n == 0;
    }
    return end - begin;
  }

  std::string_view take(size_t n) {
    const std::string_view bytes(buffer.data() + begin, n);
    begin += n;
    return bytes;
  }

  std::string_view takeMeta(size_t n) {
    const std::string_view bytes = take(n);
    if (tap != nullptr) tap->meta(bytes);
    return bytes;
  }

  /// The next block; empty at the end of the stream.
  std::string_view block() {
    const size_t n = have(kTarBlock);
    if (n == 0) return {};
    if (n < kTarBlock) truncated();
    return takeMeta(kTarBlock);
  }

  [[noreturn]] static void truncated() { fail(Code::invalid, "tar: unexpected end of the archive"); }

  void skip(int64_t bytes) {
    while (bytes > 0) {
      const size_t n = have(1);
      if (n == 0) truncated();
      bytes -=
          static_cast<int64_t>(takeMeta(static_cast<size_t>(std::min<int64_t>(bytes, static_cast<int64_t>(n)))).size());
    }
  }

  void finishEntry() {
    skip(left);
    skip(static_cast<int64_t>(padding));
    left = 0;
    padding = 0;
  }

  std::string extensionBody(int64_t size) {
    if (size > static_cast<int64_t>(kMaxTarExtension)) {
      fail(Code::invalid, "tar: an extended header is larger than {} bytes", kMaxTarExtension);
    }
    std::string body;
    while (static_cast<int64_t>(body.size()) < size) {
      const size_t n = have(1);
      if (n == 0) truncated();
      body += takeMeta(std::min(static_cast<size_t>(size) - body.size(), n));
    }
    skip(static_cast<int64_t>(paddingOf(size)));
    return body;
  }

  static int64_t sizeOf(std::string_view header) {
    const int64_t size = numberField(header, kSize, "size");
    if (size < 0) fail(Code::invalid, "tar: negative size in a header");
    return size;
  }

  void addGlobal(std::string_view body) {
    globalBytes += body.size();
    if (globalBytes > kMaxGlobal) fail(Code::invalid, "tar: global headers of more than {} bytes", kMaxGlobal);
    parsePaxRecords(body, global);
  }

  /// Reads extended headers up to a real one, which it returns; empty at the end of the archive.
  std::string header(Extensions& ext) {
    ext.pax = global;
    for (;;) {
      const std::string_view seen = block();
      if (seen.empty()) return {};
      if (seen.find_first_not_of('\0') == std::string_view::npos) {
        const std::string_view second = block();
        if (!second.empty() && second.find_first_not_of('\0') != std::string_view::npos) {
          fail(Code::invalid, "tar: a header follows a zero block");
        }
        return {};
      }
      std::string head(seen);
      if (!checksumMatches(head)) fail(Code::invalid, "tar: invalid header: the checksum does not match");
      if (!extension(head, ext)) return head;
    }
  }

  bool extension(const std::string& head, Extensions& ext) {
    const char type = head[kType.offset];
    switch (type) {
      case 'x':
      case 'X':
        ext.pax = global;
        parsePaxRecords(extensionBody(sizeOf(head)), ext.pax);
        return true;
      case 'g':
        addGlobal(extensionBody(sizeOf(head)));
        ext.pax = global;
        return true;
      case 'L':
      case 'K': {
        std::string text = extensionBody(sizeOf(head));
        text.resize(std::min(text.find('\0'), text.size()));
        (type == 'L' ? ext.name : ext.link) = nameOf(text, type == 'L' ? "name" : "link name");
        return true;
      }
      default:
        return false;
    }
  }

  static std::string ustarName(std::string_view head, Format format) {
    const std::string_view name = textField(head, kName);
    std::string_view prefix;
    if (format == Format::ustar) prefix = textField(head, kPrefix);
    if (format == Format::star) prefix = textField(head, kStarPrefix);
    return prefix.empty() ? std::string(name) : fmt::format("{}/{}", prefix, name);
  }

  static TarEntry parseHeader(std::string_view head, Format format) {
    TarEntry entry;
    entry.rawType = head[kType.offset];
    entry.type = typeOf(entry.rawType);
    entry.name = ustarName(head, format);
    entry.linkName = textField(head, kLink);
    entry.mode = static_cast<mode_t>(numberField(head, kMode, "mode") & 07777);
    entry.uid = idOf(numberField(head, kUid, "user id"), "user id");
    entry.gid = idOf(numberField(head, kGid, "group id"), "group id");
    entry.mtimeNs = timeOf(numberField(head, kMtime, "time"));
    if (format != Format::v7) {
      entry.uname = textField(head, kUname);
      entry.gname = textField(head, kGname);
      if (entry.type == TarType::charDevice || entry.type == TarType::blockDevice) {
        entry.devMajor = idOf(numberField(head, kDevMajor, "device number"), "device number");
        entry.devMinor = idOf(numberField(head, kDevMinor, "device number"), "device number");
      }
    }
    return entry;
  }

  std::optional<TarEntry> next() {
    finishEntry();
    runs.clear();
    run = 0;
    position = 0;
    sparse = false;
    if (archiveEnded) return std::nullopt;
    Extensions ext;
    const std::string head = header(ext);
    if (head.empty()) {
      archiveEnded = true;
      return std::nullopt;
    }
    TarEntry entry = parseHeader(head, formatOf(head));
    if (ext.name) entry.name = *ext.name;
    if (ext.link) entry.linkName = *ext.link;
    applyPax(ext, entry);
    if (entry.rawType == '\0' && entry.name.ends_with('/')) entry.type = TarType::directory;  // v7 had no flag for it
    if (hasData(entry.type)) beginData(head, ext, entry);
    return entry;
  }

  void beginData(std::string_view head, const Extensions& ext, TarEntry& entry) {
    left = sizeOf(head);
    if (const auto* v = ext.find("size")) left = parsePaxNumber(*v, "size");
    if (left > std::numeric_limits<int64_t>::max() - static_cast<int64_t>(2 * kTarBlock)) {
      fail(Code::invalid, "tar: the size of '{}' is out of range", entry.name);
    }
    padding = paddingOf(left);
    if (entry.type != TarType::file) return;
    entry.size = left;
    readSparse(head, ext, entry);
    sparse = entry.sparse;
    runs = entry.runs;
  }

  void readSparse(std::string_view head, const Extensions& ext, TarEntry& entry) {
    const auto* major = ext.find("GNU.sparse.major");
    if (entry.rawType == 'S') {
      entry.runs = oldGnuRuns(head);
      entry.size = numberField(head, kGnuRealSize, "real size");
    } else if (major != nullptr && *major == "1") {
      const auto* size = ext.find("GNU.sparse.realsize");
      if (size == nullptr) fail(Code::invalid, "tar: sparse file '{}' without its real size", entry.name);
      entry.size = parsePaxNumber(*size, "GNU.sparse.realsize");
      entry.runs = runsBeforeData();
    } else if (const auto* map = ext.find("GNU.sparse.map")) {
      const auto* size = ext.find("GNU.sparse.size");
      if (size == nullptr) size = ext.find("GNU.sparse.realsize");
      if (size == nullptr) fail(Code::invalid, "tar: sparse file '{}' without its real size", entry.name);
      entry.size = parsePaxNumber(*size, "GNU.sparse.size");
      entry.runs = parseSparseMap(*map);
    } else {
      return;
    }
    entry.sparse = true;
    if (entry.size < 0) fail(Code::invalid, "tar: negative size in a header");
    checkRuns(entry.runs, entry.size, left);
  }

  static bool appendGnuRuns(std::string_view fields, std::vector<TarRun>& to) {
    for (; fields.size() >= 24; fields.remove_prefix(24)) {
      if (fields[0] == '\0') return false;  // an unused slot ends the list
      if (to.size() == kMaxTarRuns) fail(Code::invalid, "tar: a sparse map is too long");
      to.push_back({numberField(fields, {0, 12}, "sparse offset"), numberField(fields, {12, 12}, "sparse size")});
    }
    return true;
  }

  std::vector<TarRun> oldGnuRuns(std::string_view head) {
    std::vector<TarRun> out;
    appendGnuRuns(field(head, kGnuSparse), out);
    bool more = head[kGnuExtended.offset] != '\0';
    while (more) {
      const std::string_view extra = block();
      if (extra.empty()) truncated();
      appendGnuRuns(extra.substr(0, kGnuRunsInExtension * 24), out);
      more = extra[kGnuRunsInExtension * 24] != '\0';
    }
    return out;
  }

  /// Sparse format 1.0: the map is decimal lines in front of the data, filled up to a block.
  std::vector<TarRun> runsBeforeData() {
    std::string text;
    size_t used = 0;
    const auto number = [&] {
      size_t newline = 0;
      while ((newline = text.find('\n', used)) == std::string::npos) {
        if (left < static_cast<int64_t>(kTarBlock) || text.size() > kMaxTarRuns * 8) {
          fail(Code::invalid, "tar: broken sparse map");
        }
        const std::string_view part = block();
        if (part.empty()) truncated();
        text += part;
        left -= static_cast<int64_t>(kTarBlock);
      }
      const int64_t value = parsePaxNumber(std::string_view(text).substr(used, newline - used), "sparse map");
      used = newline + 1;
      return value;
    };
    std::vector<TarRun> out;
    const int64_t count = number();
    if (count > static_cast<int64_t>(kMaxTarRuns)) fail(Code::invalid, "tar: a sparse map is too long");
    for (int64_t i = 0; i < count; ++i) {
      const int64_t offset = number();
      out.push_back({offset, number()});
    }
    return out;
  }

  std::optional<Chunk> nextChunk() {
    if (left == 0) {
      finishEntry();
      return std::nullopt;
    }
    const size_t n = have(1);
    if (n == 0) truncated();
    int64_t most = std::min<int64_t>(left, static_cast<int64_t>(n));
    Chunk chunk;
    if (sparse) {
      if (position == runs[run].length) {
        ++run;
        position = 0;
      }
      most = std::min(most, runs[run].length - position);
      chunk.offset = runs[run].offset + position;
    } else {
      chunk.offset = position;
    }
    chunk.bytes = take(static_cast<size_t>(most));
    position += most;
    left -= most;
    return chunk;
  }

  int64_t drain() {
    int64_t total = 0;
    while (const size_t n = have(1)) {
      takeMeta(n);
      total += static_cast<int64_t>(n);
    }
    return total;
  }
};

TarReader::TarReader(Source& from, TarTap* tap) : impl_(std::make_unique<Impl>(from, tap)) {}
TarReader::~TarReader() = default;

std::optional<TarEntry> TarReader::next() {
  return impl_->next();
}
std::optional<TarReader::Chunk> TarReader::nextChunk() {
  return impl_->nextChunk();
}
int64_t TarReader::drain() {
  return impl_->drain();
}

}  // namespace estiba::archive
