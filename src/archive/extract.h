#pragma once
// Unpacking archives into a tree that exists: ADD, `docker cp -`, PUT /containers/{id}/archive.

#include <cstdint>
#include <optional>
#include <string>

#include "archive/stream.h"
#include "sys/root_dir.h"

namespace estiba::archive {

struct ExtractOptions {
  std::optional<uid_t> uid;  ///< instead of the archive's
  std::optional<gid_t> gid;
  bool keepOwner = true;  ///< false: 0:0 where uid, gid are not given
  bool noOverwriteDirNonDir =
      false;              ///< a directory is never replaced by something else nor the reverse: Error(invalid)
  bool devices = true;    ///< false: character and block devices are Error(forbidden)
  mode_t dirMode = 0755;  ///< of destPath and of directories implied but not listed
  int64_t maxBytes = 0;   ///< of content; 0: no limit
  uint64_t maxEntries = 0;
};

struct Extracted {
  uint64_t entries = 0;
  int64_t contentBytes = 0;
};

/// Whether the file is a tar, plain or compressed (gzip, bzip2, xz, zstd), decided as docker decides: by reading the
/// first header after decompression, never by its name. An archive without entries is none. Reads with pread-like
/// effect: the file's offset is put back. Only regular files can be.
bool looksLikeArchive(int fd);

/// Whether it is a zip, 7z, rar or another archive that extractForeign() takes (tars are not).
bool looksLikeForeignArchive(int fd);

/// Unpacks a tar (compressed or not) to `destPath` inside `root`, which is made where it is missing (0755, or the
/// owner that the options give). Links in the tree that is there are followed inside the root for parent directories;
/// the last component of a name is replaced, never followed, a directory merges with a directory. Whiteout names mean
/// nothing here. Names that lead out of destPath by ".." are Error(invalid); hard links are resolved under destPath.
Extracted extractArchive(Source& from, const RootDir& root, const std::string& destPath, const ExtractOptions& = {});

/// The same for zip, 7z, rar, cpio, ar and iso9660, by libarchive, which only reads: every path is written by our own
/// confined code. `fd` must be seekable; its offset is where the archive starts.
Extracted extractForeign(int fd, const RootDir& root, const std::string& destPath, const ExtractOptions& = {});

}  // namespace estiba::archive
