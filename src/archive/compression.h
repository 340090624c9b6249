#pragma once
// gzip (RFC 1952), bzip2, xz and zstd (RFC 8878) as streams.

#include <memory>
#include <optional>
#include <string_view>

#include "archive/stream.h"

namespace estiba::archive {

enum class Compression { none, gzip, bzip2, xz, zstd };

/// "none", "gzip", "bzip2", "xz", "zstd".
std::string_view compressionName(Compression kind) noexcept;

/// How many bytes detectCompression wants to see.
inline constexpr size_t kMagicBytes = 10;
/// What the first bytes of a stream say; `none` for plain or too short ones. As docker: by magic numbers alone; zstd
/// skippable frames count as zstd.
Compression detectCompression(std::string_view head) noexcept;

/// The plain bytes of `from`, whatever it is compressed with; plain bytes pass unchanged. Members, frames and streams
/// set behind one another are one stream. Decompression runs ahead on a thread of its own (see ReadAheadSource).
/// read() throws Error(invalid) that names the format where the data is truncated or corrupt. `detected` tells what
/// was found. The head of `from` is read at once.
std::unique_ptr<Source> decompressing(std::unique_ptr<Source> from, Compression* detected = nullptr);
/// The same on the reader's own thread: for small or few bytes.
std::unique_ptr<Source> decompressingInline(std::unique_ptr<Source> from, Compression* detected = nullptr);
/// Without detection. `none` passes through.
std::unique_ptr<Source> decompressingAs(Compression kind, std::unique_ptr<Source> from);

/// A sink that compresses into `out`. Nothing is complete before finish().
class Compressor : public Sink {
 public:
  /// Ends the stream. Must be called once, after the last write; a Compressor dropped without it leaves a truncated
  /// stream behind.
  virtual void finish() = 0;
};

/// `level`: the format's own scale (gzip 1-9, bzip2 1-9, xz 0-9, zstd 1-19); nullopt is its default (zstd 3, gzip and
/// xz 6, bzip2 9). The bytes are the same for the same input: no name, no time in the gzip header.
std::unique_ptr<Compressor> compressing(Compression kind, std::optional<int> level, Sink& out);

}  // namespace estiba::archive
