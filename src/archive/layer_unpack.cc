#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "archive/layer.h"
#include "archive/recipe.h"
#include "archive/tar.h"
#include "archive/tree_writer.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kMetaWhiteout = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr size_t kReadAheadBuffer = 512U << 10;

NodeMeta metaOf(const TarEntry& entry) {
  return {entry.mode, entry.uid, entry.gid, entry.mtimeNs, entry.xattrs};
}

std::pair<std::string, std::string_view> splitLast(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), std::string_view(path).substr(slash + 1)};
}

/// AUFS kept its own things under such names; docker leaves them out, and so do we.
bool hasMetaComponent(const std::string& path) {
  return path.starts_with(kMetaWhiteout) || path.find("/.wh..wh.") != std::string::npos;
}

class LayerUnpacker : private TarTap {
 public:
  LayerUnpacker(Source& tar, int dirFd, const UnpackOptions& options)
      : options_(options),
        hashed_(tar),
        ahead_(hashed_, kReadAheadBuffer),
        reader_(ahead_, options.wantRecipe ? this : nullptr),
        writer_(dirFd, writerOptions()) {
    if (options.wantRecipe) recipe_.emplace(dirFd, options.maxRecipeBytes);
  }

  Unpacked run() {
    while (const auto entry = reader_.next()) {
      if (++out_.entries > options_.maxEntries && options_.maxEntries > 0) {
        fail(Code::invalid, "the layer has more than {} entries", options_.maxEntries);
      }
      unpack(*entry);
    }
    reader_.drain();
    writer_.finish();
    out_.diffIdHex = hashed_.finishHex();
    out_.tarBytes = hashed_.bytes();
    if (recipe_) out_.recipe = recipe_->finish();
    return std::move(out_);
  }

 private:
  TreeWriter::Options writerOptions() {
    TreeWriter::Options out;
    out.what = "layer";
    out.overlay = true;
    if (options_.wantRecipe) {
      out.onReplace = [this](const std::string& path, bool directory) {
        writer_.settle();
        recipe_->bury(path, directory);
      };
    }
    return out;
  }

  void meta(std::string_view bytes) override { recipe_->meta(bytes); }

  void unpack(const TarEntry& entry) {
    const std::string path = insideName(entry.name, "layer");
    const auto [dir, name] = splitLast(path);
    if (name == kOpaque) return writer_.opaque(dir);
    if (hasMetaComponent(path)) return;
    if (name.starts_with(kWhiteout)) return whiteout(dir, std::string(name.substr(kWhiteout.size())));
    if (entry.type == TarType::file) return file(path, entry);
    if (entry.type == TarType::hardlink) return hardlink(path, entry);
    if (writeNode(writer_, path, entry, metaOf(entry))) return;
    fail(Code::invalid, "'{}' of the layer: unknown entry type '{}'", entry.name, entry.rawType);
  }

  void whiteout(const std::string& dir, const std::string& name) {
    if (name.empty() || name == "." || name == "..")
      fail(Code::invalid, "a whiteout in the layer names nothing: '{}'", dir);
    writer_.whiteout(dir.empty() ? name : dir + "/" + name);
  }

  void count(const TarEntry& entry) {
    out_.contentBytes += entry.size;
    if (options_.maxBytes > 0 && (entry.size > options_.maxBytes || out_.contentBytes > options_.maxBytes)) {
      fail(Code::invalid, "the layer's content is larger than {} bytes (at '{}')", options_.maxBytes, entry.name);
    }
  }

  void file(const std::string& path, const TarEntry& entry) {
    count(entry);
    TreeWriter::File out = writer_.file(path, entry.size, entry.sparse);
    while (const auto chunk = reader_.nextChunk()) {
      out.write(chunk->offset, chunk->bytes);
      if (recipe_) recipe_->content(out.path(), chunk->offset, static_cast<int64_t>(chunk->bytes.size()));
    }
    writer_.close(std::move(out), metaOf(entry));
  }

  void hardlink(const std::string& path, const TarEntry& entry) {
    const std::string target = insideName(entry.linkName, "layer");
    if (writer_.hardlink(path, target)) return;
    for (const int lower : options_.lowerDirs) {
      if (copyUp(lower, target, path)) return;
      if (hiddenIn(lower, target)) break;
    }
    fail(Code::invalid, "hard link '{}' of the layer: its target '{}' is not there", path, target);
  }

  static bool hiddenIn(int lower, const std::string& target) {
    const Fd fd(openInside(lower, target, O_PATH | O_NOFOLLOW, true));
    struct stat st {};
    return fd && ::fstat(fd.get(), &st) == 0 && isWhiteout(st);
  }

  /// False where `lower` has no such regular file.
  bool copyUp(int lower, const std::string& target, const std::string& path) {
    const Fd node(openInside(lower, target, O_PATH | O_NOFOLLOW, true));
    struct stat st {};
    if (!node || ::fstat(node.get(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
    const Fd from(openInside(lower, target, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, true));
    if (!from) throw SysError(errno, fmt::format("open '{}' of a lower layer", target));
    TreeWriter::File to = writer_.file(path, st.st_size, false);
    std::vector<char> buffer(kReadAheadBuffer);
    int64_t offset = 0;
    while (offset < st.st_size) {
      const auto want = std::min<size_t>(buffer.size(), static_cast<size_t>(st.st_size - offset));
      const ssize_t n = sys([&] { return ::pread(from.get(), buffer.data(), want, offset); }, "read '{}'", target);
      if (n == 0) break;
      to.write(offset, {buffer.data(), static_cast<size_t>(n)});
      offset += n;
    }
    NodeMeta meta{st.st_mode & 07777,
                  st.st_uid,
                  st.st_gid,
                  static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec,
                  {}};
    char caps[64];
    const ssize_t n = ::fgetxattr(from.get(), "security.capability", caps, sizeof caps);
    if (n > 0) meta.xattrs["security.capability"] = std::string(caps, static_cast<size_t>(n));
    writer_.close(std::move(to), std::move(meta));
    return true;
  }

  const UnpackOptions& options_;
  Unpacked out_;
  HashingSource hashed_;
  ReadAheadSource ahead_;
  TarReader reader_;
  std::optional<RecipeWriter> recipe_;
  TreeWriter writer_;
};

}  // namespace

Unpacked unpackLayer(Source& tar, int dirFd, const UnpackOptions& options) {
  return LayerUnpacker(tar, dirFd, options).run();
}

}  // namespace estiba::archive
