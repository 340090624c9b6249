#pragma once
// Streams of bytes: where an archive comes from and goes to. Blocking; one thread at a time per object.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/sha256.h"

namespace estiba::archive {

/// Where bytes come from.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  /// Reads up to `size` (> 0) bytes; 0 is the end, and stays the end. Throws what the reading throws.
  virtual size_t read(void* to, size_t size) = 0;
};

/// Where bytes go. All of them are taken, or it throws.
class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;
  virtual void write(const void* from, size_t size) = 0;
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
};

/// Reads until `size` bytes are there or the source ends; returns how many are there.
size_t readFully(Source& from, void* to, size_t size);
/// Everything up to the end; returns the count.
int64_t pump(Source& from, Sink& to);

/// Reads a file, pipe or socket; `name` is for errors only.
class FdSource : public Source {
 public:
  explicit FdSource(Fd fd, std::string name = "input");
  /// Borrows the descriptor: the caller keeps it open for as long as this lives.
  explicit FdSource(int fd, std::string name = "input");
  size_t read(void* to, size_t size) override;

 private:
  Fd owned_;
  int fd_;
  std::string name_;
};

class FdSink : public Sink {
 public:
  explicit FdSink(Fd fd, std::string name = "output");
  explicit FdSink(int fd, std::string name = "output");  ///< borrows
  using Sink::write;
  void write(const void* from, size_t size) override;

 private:
  Fd owned_;
  int fd_;
  std::string name_;
};

class StringSource : public Source {
 public:
  /// The bytes are not copied: they must outlive this.
  explicit StringSource(std::string_view bytes) : rest_(bytes) {}
  size_t read(void* to, size_t size) override;

 private:
  std::string_view rest_;
};

class StringSink : public Sink {
 public:
  using Sink::write;
  void write(const void* from, size_t size) override { bytes.append(static_cast<const char*>(from), size); }
  std::string bytes;
};

class NullSink : public Sink {
 public:
  using Sink::write;
  void write(const void*, size_t) override {}
};

/// Counts and hashes (SHA-256) whatever is read through it.
class HashingSource : public Source {
 public:
  explicit HashingSource(Source& inner) : inner_(inner) {}
  size_t read(void* to, size_t size) override;
  int64_t bytes() const noexcept { return bytes_; }
  std::string finishHex() { return hash_.finishHex(); }  ///< once, after the last read

 private:
  Source& inner_;
  Sha256 hash_;
  int64_t bytes_ = 0;
};

/// Counts and hashes whatever is written through it to `inner` (nullptr: nowhere).
class HashingSink : public Sink {
 public:
  explicit HashingSink(Sink* inner = nullptr) : inner_(inner) {}
  using Sink::write;
  void write(const void* from, size_t size) override;
  int64_t bytes() const noexcept { return bytes_; }
  std::string finishHex() { return hash_.finishHex(); }  ///< once, after the last write

 private:
  Sink* inner_;
  Sha256 hash_;
  int64_t bytes_ = 0;
};

/// Writes to both, first to `a`.
class TeeSink : public Sink {
 public:
  TeeSink(Sink& a, Sink& b) : a_(a), b_(b) {}
  using Sink::write;
  void write(const void* from, size_t size) override {
    a_.write(from, size);
    b_.write(from, size);
  }

 private:
  Sink& a_;
  Sink& b_;
};

/// Throws Error(invalid) "NAME: larger than N bytes" when more than `limit` bytes come.
class LimitedSource : public Source {
 public:
  LimitedSource(Source& inner, int64_t limit, std::string name)
      : inner_(inner), left_(limit), limit_(limit), name_(std::move(name)) {}
  size_t read(void* to, size_t size) override;

 private:
  Source& inner_;
  int64_t left_;
  int64_t limit_;
  std::string name_;
};

/// Reads `inner` on a thread of its own, some buffers ahead, so that its work (decompression, hashing, the disk)
/// overlaps with the reader's. What `inner` throws is thrown by read(). The destructor waits for a read of `inner`
/// that is under way: whoever may block there for ever (a socket) is to be shut down first.
class ReadAheadSource : public Source {
 public:
  explicit ReadAheadSource(std::unique_ptr<Source> inner, size_t bufferSize = 256U << 10, size_t buffers = 8);
  /// Borrows: `inner` must outlive this.
  explicit ReadAheadSource(Source& inner, size_t bufferSize = 256U << 10, size_t buffers = 8);
  ~ReadAheadSource() override;
  size_t read(void* to, size_t size) override;

 private:
  struct State;
  std::unique_ptr<Source> owned_;
  std::unique_ptr<State> state_;
};

/// Bytes already taken from a source, then the rest of it.
class PrefixedSource : public Source {
 public:
  PrefixedSource(std::string prefix, std::unique_ptr<Source> rest)
      : prefix_(std::move(prefix)), rest_(std::move(rest)) {}
  size_t read(void* to, size_t size) override;

 private:
  std::string prefix_;
  size_t used_ = 0;
  std::unique_ptr<Source> rest_;
};

}  // namespace estiba::archive
