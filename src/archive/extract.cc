#include "archive/extract.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "archive/compression.h"
#include "archive/extract_target.h"
#include "archive/tar.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

/// Leaves the file's offset alone.
class PreadSource : public Source {
 public:
  explicit PreadSource(int fd) : fd_(fd), offset_(sys([&] { return ::lseek(fd, 0, SEEK_CUR); }, "seek an archive")) {}
  size_t read(void* to, size_t size) override {
    const ssize_t n = sys([&] { return ::pread(fd_, to, size, offset_); }, "read an archive");
    offset_ += n;
    return static_cast<size_t>(n);
  }

 private:
  int fd_;
  off_t offset_;
};

class Borrowed : public Source {
 public:
  explicit Borrowed(Source& inner) : inner_(inner) {}
  size_t read(void* to, size_t size) override { return inner_.read(to, size); }

 private:
  Source& inner_;
};

}  // namespace

ExtractTarget::ExtractTarget(const RootDir& root, const std::string& destPath, const ExtractOptions& options)
    : options_(options), writer_(root.fd(), writerOptions(root, destPath, options)) {}

TreeWriter::Options ExtractTarget::writerOptions(const RootDir& root, const std::string& destPath,
                                                 const ExtractOptions& options) {
  const Fd dest = root.makeDirs(destPath, options.dirMode, options.uid.value_or(0), options.gid.value_or(0));
  TreeWriter::Options out;
  out.base = pathInside(root.fd(), dest.get());
  out.impliedMode = options.dirMode;
  out.impliedUid = options.uid.value_or(0);
  out.impliedGid = options.gid.value_or(0);
  out.noOverwriteDirNonDir = options.noOverwriteDirNonDir;
  return out;
}

NodeMeta ExtractTarget::metaOf(const TarEntry& entry) const {
  return {entry.mode, options_.uid.value_or(options_.keepOwner ? entry.uid : 0),
          options_.gid.value_or(options_.keepOwner ? entry.gid : 0), entry.mtimeNs, entry.xattrs};
}

void ExtractTarget::count(int64_t bytes, const std::string& name) {
  out_.contentBytes += bytes;
  if (options_.maxBytes > 0 && (bytes > options_.maxBytes || out_.contentBytes > options_.maxBytes)) {
    fail(Code::invalid, "the archive's content is larger than {} bytes (at '{}')", options_.maxBytes, name);
  }
}

void ExtractTarget::add(const TarEntry& entry, const std::function<void(TreeWriter::File&)>& content) {
  if (++out_.entries > options_.maxEntries && options_.maxEntries > 0) {
    fail(Code::invalid, "the archive has more than {} entries", options_.maxEntries);
  }
  const std::string path = insideName(entry.name, "archive");
  if (path.empty() && entry.type == TarType::directory) return;  // the destination stays as it is, as with docker
  const bool device = entry.type == TarType::charDevice || entry.type == TarType::blockDevice;
  if (device && !options_.devices) fail(Code::forbidden, "'{}' of the archive is a device", path);
  if (entry.type == TarType::hardlink) {
    const std::string target = insideName(entry.linkName, "archive");
    if (writer_.hardlink(path, target)) return;
    fail(Code::invalid, "hard link '{}' of the archive: its target '{}' is not there", path, target);
  }
  if (entry.type == TarType::file) {
    count(entry.size, path);
    TreeWriter::File file = writer_.file(path, entry.size, entry.sparse);
    content(file);
    return writer_.close(std::move(file), metaOf(entry));
  }
  if (!writeNode(writer_, path, entry, metaOf(entry))) {
    fail(Code::invalid, "'{}' of the archive: unknown entry type '{}'", entry.name, entry.rawType);
  }
}

Extracted ExtractTarget::finish() {
  writer_.finish();
  return out_;
}

bool looksLikeArchive(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return false;
  try {
    const auto plain = decompressingInline(std::make_unique<PreadSource>(fd));
    TarReader reader(*plain);
    return reader.next().has_value();
  } catch (const SysError&) {
    throw;
  } catch (const Error&) {
    return false;
  }
}

Extracted extractArchive(Source& from, const RootDir& root, const std::string& destPath,
                         const ExtractOptions& options) {
  const auto plain = decompressing(std::make_unique<Borrowed>(from));
  TarReader reader(*plain);
  ExtractTarget target(root, destPath, options);
  while (const auto entry = reader.next()) {
    target.add(*entry, [&](TreeWriter::File& file) {
      while (const auto chunk = reader.nextChunk()) file.write(chunk->offset, chunk->bytes);
    });
  }
  reader.drain();
  return target.finish();
}

}  // namespace estiba::archive
