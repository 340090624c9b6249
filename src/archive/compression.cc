#include "archive/compression.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"

namespace estiba::archive {

namespace {

constexpr size_t kBuffer = 128U << 10;
constexpr uint64_t kXzMemory = 1ULL << 30;  // xz -9 needs 65 MiB; what asks for more than this is hostile
constexpr int kZstdWindowLog = 27;          // the format's own recommendation for decoders: 128 MiB

[[noreturn]] void corrupt(Compression kind, std::string_view why) {
  fail(Code::invalid, "{}: {}", compressionName(kind), why);
}

/// What all decompressors share: the compressed bytes at hand, and what to say at the end.
class Decompressor : public Source {
 public:
  Decompressor(Compression kind, std::unique_ptr<Source> from)
      : kind_(kind), from_(std::move(from)), buffer_(kBuffer) {}

 protected:
  /// At least one byte at `data_`, or false at the end.
  bool more() {
    if (size_ > 0) return true;
    data_ = buffer_.data();
    size_ = from_->read(buffer_.data(), buffer_.size());
    return size_ > 0;
  }
  void consume(size_t n) {
    data_ += n;
    size_ -= n;
  }
  [[noreturn]] void truncated() const { corrupt(kind_, "unexpected end of the compressed data"); }

  Compression kind_;
  std::unique_ptr<Source> from_;
  std::vector<char> buffer_;
  const char* data_ = nullptr;
  size_t size_ = 0;
  bool inside_ = false;  ///< a member, frame or stream has begun and has not ended
  bool done_ = false;
};

class GzipSource : public Decompressor {
 public:
  explicit GzipSource(std::unique_ptr<Source> from) : Decompressor(Compression::gzip, std::move(from)) {
    if (inflateInit2(&z_, 15 + 16) != Z_OK) fail(Code::internal, "gzip: out of memory");
  }
  ~GzipSource() override { inflateEnd(&z_); }

  size_t read(void* to, size_t size) override {
    size = std::min<size_t>(size, 1U << 30);
    z_.next_out = static_cast<Bytef*>(to);
    z_.avail_out = static_cast<uInt>(size);
    while (!done_ && z_.avail_out == size) step();
    return size - z_.avail_out;
  }

 private:
  void step() {
    if (!more()) {
      if (inside_) truncated();
      done_ = true;
      return;
    }
    // As gzip(1): zeros behind a member are padding. Anything else that is no member is corrupt.
    if (!inside_ && members_ > 0 && *data_ == 0) return consume(1);
    inside_ = true;
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data_));
    z_.avail_in = static_cast<uInt>(size_);
    const int r = inflate(&z_, Z_NO_FLUSH);
    consume(size_ - z_.avail_in);
    if (r == Z_STREAM_END) {
      inside_ = false;
      ++members_;
      inflateReset(&z_);
    } else if (r != Z_OK && r != Z_BUF_ERROR) {
      corrupt(kind_, z_.msg != nullptr ? z_.msg : "corrupt data");
    }
  }

  z_stream z_{};
  uint64_t members_ = 0;
};

class Bzip2Source : public Decompressor {
 public:
  explicit Bzip2Source(std::unique_ptr<Source> from) : Decompressor(Compression::bzip2, std::move(from)) {}
  ~Bzip2Source() override {
    if (inside_) BZ2_bzDecompressEnd(&z_);
  }

  size_t read(void* to, size_t size) override {
    size = std::min<size_t>(size, 1U << 30);
    z_.next_out = static_cast<char*>(to);
    z_.avail_out = static_cast<unsigned>(size);
    while (!done_ && z_.avail_out == size) step();
    return size - z_.avail_out;
  }

 private:
  void step() {
    if (!more()) {
      if (inside_) truncated();
      done_ = true;
      return;
    }
    if (!inside_) begin();
    z_.next_in = const_cast<char*>(data_);
    z_.avail_in = static_cast<unsigned>(size_);
    const int r = BZ2_bzDecompress(&z_);
    consume(size_ - z_.avail_in);
    if (r == BZ_STREAM_END) {
      BZ2_bzDecompressEnd(&z_);
      inside_ = false;
    } else if (r != BZ_OK) {
      corrupt(kind_, "corrupt data");
    }
  }

  void begin() {
    char* out = z_.next_out;
    const unsigned avail = z_.avail_out;
    z_ = {};
    if (BZ2_bzDecompressInit(&z_, 0, 0) != BZ_OK) fail(Code::internal, "bzip2: out of memory");
    z_.next_out = out;
    z_.avail_out = avail;
    inside_ = true;
  }

  bz_stream z_{};
};

class XzSource : public Decompressor {
 public:
  explicit XzSource(std::unique_ptr<Source> from) : Decompressor(Compression::xz, std::move(from)) {
    if (lzma_stream_decoder(&z_, kXzMemory, LZMA_CONCATENATED) != LZMA_OK) fail(Code::internal, "xz: out of memory");
  }
  ~XzSource() override { lzma_end(&z_); }

  size_t read(void* to, size_t size) override {
    z_.next_out = static_cast<uint8_t*>(to);
    z_.avail_out = size;
    while (!done_ && z_.avail_out == size) step();
    return size - z_.avail_out;
  }

 private:
  void step() {
    const bool end = !more();
    z_.next_in = reinterpret_cast<const uint8_t*>(data_);
    z_.avail_in = size_;
    const lzma_ret r = lzma_code(&z_, end ? LZMA_FINISH : LZMA_RUN);
    consume(size_ - z_.avail_in);
    if (r == LZMA_STREAM_END) {
      done_ = true;
    } else if (r == LZMA_BUF_ERROR) {
      truncated();
    } else if (r == LZMA_MEMLIMIT_ERROR) {
      corrupt(kind_, "needs too much memory");
    } else if (r != LZMA_OK) {
      corrupt(kind_, "corrupt data");
    }
  }

  lzma_stream z_ = LZMA_STREAM_INIT;
};

class ZstdSource : public Decompressor {
 public:
  explicit ZstdSource(std::unique_ptr<Source> from)
      : Decompressor(Compression::zstd, std::move(from)), z_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    if (!z_) fail(Code::internal, "zstd: out of memory");
    ZSTD_DCtx_setParameter(z_.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  }

  size_t read(void* to, size_t size) override {
    ZSTD_outBuffer out{to, size, 0};
    while (!done_ && out.pos == 0) step(out);
    return out.pos;
  }

 private:
  void step(ZSTD_outBuffer& out) {
    // A frame's last bytes may still sit in the decoder when the input is at its end.
    const bool end = !more();
    if (end && !inside_) {
      done_ = true;
      return;
    }
    ZSTD_inBuffer in{data_, size_, 0};
    const size_t r = ZSTD_decompressStream(z_.get(), &out, &in);
    if (ZSTD_isError(r) != 0) corrupt(kind_, ZSTD_getErrorName(r));
    consume(in.pos);
    inside_ = r != 0;
    if (end && inside_ && out.pos == 0) truncated();
  }

  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> z_;
};

std::string takeHead(Source& from, size_t size) {
  std::string head(size, '\0');
  head.resize(readFully(from, head.data(), size));
  return head;
}

/// Buffers of compressed bytes on their way out.
class BufferedCompressor : public Compressor {
 public:
  explicit BufferedCompressor(Sink& out) : out_(out) {}

 protected:
  Sink& out_;
  std::array<char, 64U << 10> buffer_{};
};

class PlainCompressor : public Compressor {
 public:
  explicit PlainCompressor(Sink& out) : out_(out) {}
  void write(const void* from, size_t size) override { out_.write(from, size); }
  void finish() override {}

 private:
  Sink& out_;
};

class GzipCompressor : public BufferedCompressor {
 public:
  GzipCompressor(int level, Sink& out) : BufferedCompressor(out) {
    if (deflateInit2(&z_, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
      fail(Code::invalid, "gzip: level {} is not to be had", level);
    }
  }
  ~GzipCompressor() override { deflateEnd(&z_); }
  void write(const void* from, size_t size) override {
    while (size > 0) {
      const size_t part = std::min<size_t>(size, 1U << 30);
      run(from, part, Z_NO_FLUSH);
      from = static_cast<const char*>(from) + part;
      size -= part;
    }
  }
  void finish() override { run(nullptr, 0, Z_FINISH); }

 private:
  void run(const void* from, size_t size, int flush) {
    z_.next_in = static_cast<Bytef*>(const_cast<void*>(from));
    z_.avail_in = static_cast<uInt>(size);
    do {
      z_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      z_.avail_out = static_cast<uInt>(buffer_.size());
      deflate(&z_, flush);
      out_.write(buffer_.data(), buffer_.size() - z_.avail_out);
    } while (z_.avail_out == 0);
  }
  z_stream z_{};
};

class Bzip2Compressor : public BufferedCompressor {
 public:
  Bzip2Compressor(int level, Sink& out) : BufferedCompressor(out) {
    if (BZ2_bzCompressInit(&z_, level, 0, 0) != BZ_OK) fail(Code::invalid, "bzip2: level {} is not to be had", level);
  }
  ~Bzip2Compressor() override { BZ2_bzCompressEnd(&z_); }
  void write(const void* from, size_t size) override {
    while (size > 0) {
      const size_t part = std::min<size_t>(size, 1U << 30);
      z_.next_in = static_cast<char*>(const_cast<void*>(from));
      z_.avail_in = static_cast<unsigned>(part);
      while (z_.avail_in > 0) run(BZ_RUN);
      from = static_cast<const char*>(from) + part;
      size -= part;
    }
  }
  void finish() override {
    while (run(BZ_FINISH) != BZ_STREAM_END) {
    }
  }

 private:
  int run(int action) {
    z_.next_out = buffer_.data();
    z_.avail_out = static_cast<unsigned>(buffer_.size());
    const int r = BZ2_bzCompress(&z_, action);
    if (r < 0) fail(Code::internal, "bzip2: compressing failed ({})", r);
    out_.write(buffer_.data(), buffer_.size() - z_.avail_out);
    return r;
  }
  bz_stream z_{};
};

class XzCompressor : public BufferedCompressor {
 public:
  XzCompressor(int level, Sink& out) : BufferedCompressor(out) {
    if (lzma_easy_encoder(&z_, static_cast<uint32_t>(level), LZMA_CHECK_CRC64) != LZMA_OK) {
      fail(Code::invalid, "xz: level {} is not to be had", level);
    }
  }
  ~XzCompressor() override { lzma_end(&z_); }
  void write(const void* from, size_t size) override {
    z_.next_in = static_cast<const uint8_t*>(from);
    z_.avail_in = size;
    while (z_.avail_in > 0) run(LZMA_RUN);
  }
  void finish() override {
    while (run(LZMA_FINISH) != LZMA_STREAM_END) {
    }
  }

 private:
  lzma_ret run(lzma_action action) {
    z_.next_out = reinterpret_cast<uint8_t*>(buffer_.data());
    z_.avail_out = buffer_.size();
    const lzma_ret r = lzma_code(&z_, action);
    if (r != LZMA_OK && r != LZMA_STREAM_END) fail(Code::internal, "xz: compressing failed ({})", static_cast<int>(r));
    out_.write(buffer_.data(), buffer_.size() - z_.avail_out);
    return r;
  }
  lzma_stream z_ = LZMA_STREAM_INIT;
};

class ZstdCompressor : public BufferedCompressor {
 public:
  ZstdCompressor(int level, Sink& out) : BufferedCompressor(out), z_(ZSTD_createCCtx(), ZSTD_freeCCtx) {
    if (!z_) fail(Code::internal, "zstd: out of memory");
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel())
      fail(Code::invalid, "zstd: level {} is not to be had", level);
    ZSTD_CCtx_setParameter(z_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(z_.get(), ZSTD_c_checksumFlag, 1);
  }
  void write(const void* from, size_t size) override {
    ZSTD_inBuffer in{from, size, 0};
    while (in.pos < in.size) run(in, ZSTD_e_continue);
  }
  void finish() override {
    ZSTD_inBuffer in{nullptr, 0, 0};
    while (run(in, ZSTD_e_end) != 0) {
    }
  }

 private:
  size_t run(ZSTD_inBuffer& in, ZSTD_EndDirective action) {
    ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
    const size_t r = ZSTD_compressStream2(z_.get(), &out, &in, action);
    if (ZSTD_isError(r) != 0) fail(Code::internal, "zstd: {}", ZSTD_getErrorName(r));
    out_.write(buffer_.data(), out.pos);
    return r;
  }
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> z_;
};

}  // namespace

std::string_view compressionName(Compression kind) noexcept {
  switch (kind) {
    case Compression::none:
      return "none";
    case Compression::gzip:
      return "gzip";
    case Compression::bzip2:
      return "bzip2";
    case Compression::xz:
      return "xz";
    case Compression::zstd:
      return "zstd";
  }
  return "none";
}

Compression detectCompression(std::string_view head) noexcept {
  using namespace std::string_view_literals;
  if (head.starts_with("\x1f\x8b\x08"sv)) return Compression::gzip;
  if (head.starts_with("BZh"sv)) return Compression::bzip2;
  if (head.starts_with("\xfd\x37zXZ\0"sv)) return Compression::xz;
  if (head.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::zstd;
  if (head.size() >= 4 && (static_cast<unsigned char>(head[0]) & 0xf0U) == 0x50 &&
      head.substr(1, 3) == "\x2a\x4d\x18"sv) {
    return Compression::zstd;  // a skippable frame, RFC 8878 3.1.2
  }
  return Compression::none;
}

std::unique_ptr<Source> decompressingAs(Compression kind, std::unique_ptr<Source> from) {
  switch (kind) {
    case Compression::none:
      return from;
    case Compression::gzip:
      return std::make_unique<GzipSource>(std::move(from));
    case Compression::bzip2:
      return std::make_unique<Bzip2Source>(std::move(from));
    case Compression::xz:
      return std::make_unique<XzSource>(std::move(from));
    case Compression::zstd:
      return std::make_unique<ZstdSource>(std::move(from));
  }
  return from;
}

std::unique_ptr<Source> decompressingInline(std::unique_ptr<Source> from, Compression* detected) {
  std::string head = takeHead(*from, kMagicBytes);
  const Compression kind = detectCompression(head);
  if (detected != nullptr) *detected = kind;
  return decompressingAs(kind, std::make_unique<PrefixedSource>(std::move(head), std::move(from)));
}

std::unique_ptr<Source> decompressing(std::unique_ptr<Source> from, Compression* detected) {
  Compression kind = Compression::none;
  auto plain = decompressingInline(std::move(from), &kind);
  if (detected != nullptr) *detected = kind;
  if (kind == Compression::none) return plain;
  return std::make_unique<ReadAheadSource>(std::move(plain));
}

std::unique_ptr<Compressor> compressing(Compression kind, std::optional<int> level, Sink& out) {
  switch (kind) {
    case Compression::none:
      return std::make_unique<PlainCompressor>(out);
    case Compression::gzip:
      return std::make_unique<GzipCompressor>(level.value_or(6), out);
    case Compression::bzip2:
      return std::make_unique<Bzip2Compressor>(level.value_or(9), out);
    case Compression::xz:
      return std::make_unique<XzCompressor>(level.value_or(6), out);
    case Compression::zstd:
      return std::make_unique<ZstdCompressor>(level.value_or(3), out);
  }
  fail(Code::internal, "unknown compression");
}

}  // namespace estiba::archive
