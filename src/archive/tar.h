#pragma once
// Reading and writing tar: v7, ustar and pax (POSIX.1-2008 pax, "ustar Interchange Format"), GNU long names, base-256
// numbers and sparse files (GNU tar manual, "Storing Sparse Files").

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"

namespace estiba::archive {

enum class TarType { file, hardlink, symlink, charDevice, blockDevice, directory, fifo, other };

/// A run of data inside a sparse file; what no run covers is a hole.
struct TarRun {
  int64_t offset = 0;
  int64_t length = 0;
};

struct TarEntry {
  std::string name;  ///< as it is in the archive: may be absolute, hold "..", end in "/"
  TarType type = TarType::file;
  char rawType = '0';  ///< the type flag itself, for errors about `other`
  mode_t mode = 0644;  ///< 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t size = 0;      ///< of the file as it is read back (a sparse file's holes counted); 0 for all but files
  int64_t mtimeNs = 0;   ///< since 1970 UTC
  std::string linkName;  ///< hardlink: a name in the archive; symlink: its text
  uint32_t devMajor = 0;
  uint32_t devMinor = 0;
  std::map<std::string, std::string> xattrs;  ///< SCHILY.xattr.* and LIBARCHIVE.xattr.*, full names
  std::string uname;
  std::string gname;
  bool sparse = false;
  std::vector<TarRun> runs;  ///< where `sparse`: ascending, apart, inside `size`
};

/// Hears of every byte of the tar stream that is not handed out by TarReader::nextChunk: headers, extended headers,
/// sparse maps, padding, skipped data. In the order of the stream.
class TarTap {
 public:
  virtual ~TarTap() = default;
  virtual void meta(std::string_view bytes) = 0;
};

/// Reads a plain (uncompressed) tar stream. Checksums are verified; names over 64 KiB, NULs inside pax names, extended
/// headers over 1 MiB, negative or overflowing sizes and numbers are refused: Error(invalid) "tar: …". Memory is
/// bounded by that and one buffer. End of archive: two zero blocks, or the stream's end at an entry's edge.
class TarReader {
 public:
  /// Both must outlive the reader.
  explicit TarReader(Source& from, TarTap* tap = nullptr);
  ~TarReader();

  /// The next entry; what is left of the present one is skipped. nullopt: the end of the archive.
  std::optional<TarEntry> next();

  struct Chunk {
    int64_t offset = 0;      ///< where in the file these bytes belong
    std::string_view bytes;  ///< valid until the next call
  };
  /// The next bytes of the present entry's content (of a sparse file its runs only); nullopt at its end. Throws
  /// Error(invalid) where the stream ends too early.
  std::optional<Chunk> nextChunk();

  /// After next() gave nullopt: reads what stands behind the archive up to the end of the stream (padding to the
  /// record size), so that a hash over the source covers every byte. Returns how many bytes that were.
  int64_t drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Writes a tar stream: ustar, with a pax header before an entry only where ustar cannot say it (long or non-ASCII
/// names, sizes from 8 GiB, big ids, xattrs, negative times, parts of a second where asked for). The same calls give
/// the same bytes.
class TarWriter {
 public:
  struct Options {
    bool subSecondTimes = false;  ///< pax mtime with nanoseconds; otherwise times are cut to whole seconds
  };
  explicit TarWriter(Sink& out);
  TarWriter(Sink& out, Options options);

  /// Starts an entry. A file's content follows in write() calls of `size` bytes in all; sparse runs are not written
  /// as such: the content is all of it. Directory names get their trailing "/".
  void add(const TarEntry& entry);
  void write(const void* from, size_t size);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  /// An entry with its content.
  void addFile(TarEntry entry, std::string_view content);
  /// The two zero blocks. Throws Error(internal) where an entry's content is short.
  void finish();

 private:
  void pad();

  Sink& out_;
  Options options_;
  int64_t left_ = 0;
  unsigned padding_ = 0;
};

/// The bytes that TarWriter::add writes before the content: pax header where needed, and the ustar header.
void appendTarHeader(std::string& to, const TarEntry& entry, bool subSecondTimes);

}  // namespace estiba::archive
