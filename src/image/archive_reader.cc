#include "image/archive_reader.h"

#include <algorithm>

#include "archive/compression.h"
#include "base/text.h"
#include "sys/root_dir.h"

namespace estiba::image {

namespace {

constexpr size_t kHead = 512;
constexpr int64_t kMaxDocument = 8 << 20;
constexpr uint64_t kMaxDocuments = 64U << 20;
constexpr size_t kMaxMembers = 20'000;
constexpr int64_t kReportEvery = 512 << 10;
constexpr std::string_view kBlobs = "blobs/sha256/";

/// The name of a member, relative and clean. Throws Error(invalid) for what leads out of the archive.
std::string memberPath(const std::string& name) {
  const auto parts = split(name, '/');
  if (name.empty() || name.starts_with('/') || std::find(parts.begin(), parts.end(), "..") != parts.end()) {
    fail(Code::invalid, "image archive: invalid member name {}", quoted(name.substr(0, 200)));
  }
  return cleanPath("/" + name).substr(1);
}

/// Where a link of a member leads, by text alone; it may not leave the archive.
std::string linkTarget(const std::string& from, const archive::TarEntry& entry) {
  std::string base;
  if (entry.type == archive::TarType::symlink) {
    if (const size_t slash = from.rfind('/'); slash != std::string::npos) base = from.substr(0, slash + 1);
  }
  int depth = 0;
  for (const auto& part : split(base + entry.linkName, '/')) {
    if (part == "..") {
      --depth;
    } else if (!part.empty() && part != ".") {
      ++depth;
    }
    if (depth < 0) break;
  }
  if (depth < 0 || entry.linkName.starts_with('/')) {
    fail(Code::invalid, "image archive: link {} leads out of it", quoted(from.substr(0, 200)));
  }
  return cleanPath("/" + base + entry.linkName).substr(1);
}

/// The present member's bytes.
class MemberSource : public archive::Source {
 public:
  MemberSource(archive::TarReader& tar, std::string name, int64_t total, const LoadOptions& options)
      : tar_(tar), options_(options), progress_{std::move(name), 0, total} {}
  size_t read(void* to, size_t size) override {
    if (options_.stop.stop_requested()) fail(Code::cancelled, "load was cancelled");
    while (rest_.empty()) {
      const auto chunk = tar_.nextChunk();
      if (!chunk) return 0;
      rest_ = chunk->bytes;
    }
    const size_t n = std::min(size, rest_.size());
    std::copy_n(rest_.data(), n, static_cast<char*>(to));
    rest_.remove_prefix(n);
    report(static_cast<int64_t>(n));
    return n;
  }

 private:
  void report(int64_t bytes) {
    progress_.current += bytes;
    if (!options_.progress) return;
    if (progress_.current - reported_ < kReportEvery && progress_.current < progress_.total) return;
    reported_ = progress_.current;
    options_.progress(progress_);
  }

  archive::TarReader& tar_;
  const LoadOptions& options_;
  LoadProgress progress_;
  int64_t reported_ = 0;
  std::string_view rest_;
};

class BorrowedSource : public archive::Source {
 public:
  explicit BorrowedSource(archive::Source& inner) : inner_(inner) {}
  size_t read(void* to, size_t size) override { return inner_.read(to, size); }

 private:
  archive::Source& inner_;
};

enum class Kind { document, layer, other };

Kind kindOf(std::string_view head) {
  const std::string_view text = trim(head);
  if (text.starts_with('{') || text.starts_with('[')) return Kind::document;
  if (archive::detectCompression(head) != archive::Compression::none) return Kind::layer;
  if (head.size() < kHead) return Kind::other;
  const bool tar = head.substr(257, 5) == "ustar";
  const bool endOfTar = std::all_of(head.begin(), head.end(), [](char c) { return c == 0; });
  if (tar || endOfTar) return Kind::layer;
  // An old (v7) header has no magic, but a checksum: unpacking tells.
  const std::string_view mode = head.substr(100, 7);
  return head[0] != 0 &&
                 std::all_of(mode.begin(), mode.end(), [](char c) { return c == ' ' || (c >= '0' && c <= '7'); })
             ? Kind::layer
             : Kind::other;
}

std::optional<oci::Digest> digestInName(const std::string& path) {
  if (!path.starts_with(kBlobs)) return std::nullopt;
  auto digest = oci::Digest::tryParse("sha256:" + path.substr(kBlobs.size()));
  if (!digest) fail(Code::invalid, "image archive: {} is not named by a digest", quoted(path.substr(0, 200)));
  return digest;
}

}  // namespace

void ArchiveReader::read(std::unique_ptr<archive::Source> from) {
  const auto plain = archive::decompressing(std::move(from));
  archive::TarReader tar(*plain);
  while (const auto entry = tar.next()) take(tar, *entry);
  tar.drain();
}

void ArchiveReader::take(archive::TarReader& tar, const archive::TarEntry& entry) {
  if (entry.type == archive::TarType::directory) return;
  const std::string path = memberPath(entry.name);
  if (sizes_.size() + links_.size() >= kMaxMembers) {
    fail(Code::invalid, "image archive: more than {} members", kMaxMembers);
  }
  switch (entry.type) {
    case archive::TarType::file:
      return takeFile(tar, entry, path);
    case archive::TarType::symlink:
    case archive::TarType::hardlink:
      links_[path] = linkTarget(path, entry);
      return;
    default:
      fail(Code::invalid, "image archive: {} is neither a file, a link nor a directory", quoted(path));
  }
}

void ArchiveReader::takeFile(archive::TarReader& tar, const archive::TarEntry& entry, const std::string& path) {
  if (entry.sparse) fail(Code::invalid, "image archive: {} is a sparse file", quoted(path));
  if (!sizes_.emplace(path, entry.size).second) fail(Code::invalid, "image archive: {} is in it twice", quoted(path));
  const auto named = digestInName(path);
  if (named) {
    if (auto present = layers_.holdByDiffId(*named, lease_)) {  // an uncompressed layer that we have
      loaded_[path] = *present;
      return;
    }
  }
  MemberSource member(tar, path, entry.size, options_);
  archive::HashingSource hashing(member);
  std::string head(kHead, '\0');
  head.resize(archive::readFully(hashing, head.data(), head.size()));
  archive::PrefixedSource whole(head, std::make_unique<BorrowedSource>(hashing));
  switch (kindOf(head)) {
    case Kind::other:
      return;  // VERSION, README: whoever needs it as something else will miss it
    case Kind::document: {
      if (entry.size > kMaxDocument || (documentBytes_ += static_cast<uint64_t>(entry.size)) > kMaxDocuments) {
        fail(Code::invalid, "image archive: {} is too large: {} bytes", quoted(path), entry.size);
      }
      archive::StringSink text;
      archive::pump(whole, text);
      documents_[path] = std::move(text.bytes);
      break;
    }
    case Kind::layer: {
      {
        const auto plain = archive::decompressing(std::make_unique<BorrowedSource>(whole));
        loaded_[path] = layers_.unpack(*plain, lease_, {.maxBytes = options_.maxLayerBytes});
      }
      unpacked_.push_back(loaded_[path].id);
      archive::NullSink nowhere;
      archive::pump(whole, nowhere);
      break;
    }
  }
  if (!named) return;
  if (const std::string hex = hashing.finishHex(); hex != named->hex()) {
    fail(Code::invalid, "image archive: {} has the wrong digest: sha256:{}", quoted(path), hex);
  }
}

std::string ArchiveReader::followed(std::string path) const {
  for (int links = 0; links < 32; ++links) {
    const auto found = links_.find(path);
    if (found == links_.end()) return path;
    path = found->second;
  }
  fail(Code::invalid, "image archive: too many links at {}", quoted(path));
}

const std::string* ArchiveReader::document(const std::string& path) const {
  const auto found = documents_.find(followed(memberPath(path)));
  return found == documents_.end() ? nullptr : &found->second;
}

const std::string& ArchiveReader::needDocument(const std::string& path) const {
  if (const std::string* found = document(path)) return *found;
  fail(Code::invalid, "image archive: {} is missing", quoted(path.substr(0, 200)));
}

std::optional<snapshot::Layer> ArchiveReader::layer(const std::string& path) const {
  const auto found = loaded_.find(followed(memberPath(path)));
  if (found == loaded_.end()) return std::nullopt;
  return found->second;
}

int64_t ArchiveReader::sizeOf(const std::string& path) const {
  const auto found = sizes_.find(followed(memberPath(path)));
  return found == sizes_.end() ? -1 : found->second;
}

}  // namespace estiba::image
