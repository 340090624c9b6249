#include "archive/recipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "archive/layer.h"
#include "archive/tree_writer.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

constexpr std::string_view kMagic = "estiba-tar-recipe 1\n";
constexpr int kMetaLevel = 1;  // mostly zeros and counters: a higher one gains little and runs while unpacking
constexpr size_t kBuffer = 256U << 10;

void appendVarint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7U) to += static_cast<char>(value | 0x80U);
  to += static_cast<char>(value);
}

[[noreturn]] void broken() {
  fail(Code::invalid, "broken tar recipe");
}

/// Bytes of a section, one after the other.
class SectionReader {
 public:
  explicit SectionReader(std::string_view compressed)
      : from_(decompressingAs(Compression::zstd, std::make_unique<StringSource>(compressed))), buffer_(kBuffer) {}

  /// Up to `most` bytes; empty at the end.
  std::string_view some(size_t most) {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = from_->read(buffer_.data(), buffer_.size());
    }
    const std::string_view out(buffer_.data() + begin_, std::min(most, end_ - begin_));
    begin_ += out.size();
    return out;
  }

  std::optional<char> byte() {
    const std::string_view one = some(1);
    return one.empty() ? std::nullopt : std::optional(one[0]);
  }

  int64_t number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const auto c = byte();
      if (!c) broken();
      value |= static_cast<uint64_t>(static_cast<unsigned char>(*c) & 0x7fU) << shift;
      if ((static_cast<unsigned char>(*c) & 0x80U) == 0) return static_cast<int64_t>(value);
    }
    broken();
  }

  void copy(int64_t length, Sink& out) {
    while (length > 0) {
      const std::string_view part = some(static_cast<size_t>(std::min<int64_t>(length, kBuffer)));
      if (part.empty()) broken();
      out.write(part);
      length -= static_cast<int64_t>(part.size());
    }
  }

 private:
  std::unique_ptr<Source> from_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

/// The file that the last step read from stays open: sparse files take many steps.
class ContentReader {
 public:
  explicit ContentReader(int dirFd) : dirFd_(dirFd), buffer_(kBuffer) {}

  void copy(const std::string& path, int64_t offset, int64_t length, Sink& out) {
    if (!fd_ || path != path_) open(path);
    while (length > 0) {
      const auto want = static_cast<size_t>(std::min<int64_t>(length, kBuffer));
      const ssize_t n = sys([&] { return ::pread(fd_.get(), buffer_.data(), want, offset); }, "read '{}'", path);
      if (n == 0) fail(Code::invalid, "layer file '{}' is shorter than its tar recipe says", path);
      out.write(buffer_.data(), static_cast<size_t>(n));
      offset += n;
      length -= n;
    }
  }

 private:
  void open(const std::string& path) {
    fd_ = Fd(openInside(dirFd_, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME, false));
    if (!fd_) {
      const int e = errno;
      if (e == ENOENT || e == ENOTDIR || e == ELOOP)
        fail(Code::invalid, "layer file '{}' of a tar recipe is missing", path);
      throw SysError(e, fmt::format("open '{}'", path));
    }
    struct stat st {};
    sys([&] { return ::fstat(fd_.get(), &st); }, "stat '{}'", path);
    if (!S_ISREG(st.st_mode)) fail(Code::invalid, "layer file '{}' of a tar recipe is no regular file", path);
    path_ = path;
  }

  int dirFd_;
  std::vector<char> buffer_;
  Fd fd_;
  std::string path_;
};

}  // namespace

RecipeWriter::RecipeWriter(int dirFd, int64_t limit)
    : dirFd_(dirFd), limit_(limit), metaOut_(compressing(Compression::zstd, kMetaLevel, metaBytes_)) {}

void RecipeWriter::check(size_t extra) const {
  if (static_cast<int64_t>(metaBytes_.bytes.size() + extra) + literalBytes_ > limit_) {
    fail(Code::invalid, "the layer's tar holds more than {} bytes besides its files", limit_);
  }
}

void RecipeWriter::meta(std::string_view bytes) {
  metaOut_->write(bytes);
  check(0);
  const auto size = static_cast<int64_t>(bytes.size());
  if (!steps_.empty() && steps_.back().kind == 'M') {
    steps_.back().length += size;
  } else {
    steps_.push_back({'M', 0, 0, size});
  }
}

void RecipeWriter::content(const std::string& path, int64_t offset, int64_t length) {
  const bool sameFile = !steps_.empty() && steps_.back().kind == 'F' && paths_[steps_.back().path] == path;
  if (sameFile && steps_.back().offset + steps_.back().length == offset) {
    steps_.back().length += length;
    return;
  }
  if (paths_.empty() || paths_.back() != path) paths_.push_back(path);
  steps_.push_back({'F', paths_.size() - 1, offset, length});
}

void RecipeWriter::index(size_t from) {
  for (size_t i = from; i < steps_.size(); ++i) {
    if (steps_[i].kind == 'F') byPath_[paths_[steps_[i].path]].push_back(i);
  }
  indexed_ = steps_.size();
}

void RecipeWriter::bury(const std::string& path, bool directory) {
  // The last step may still grow, but not across a burial: that happens between entries.
  index(indexed_);
  if (!directory) return buryFile(path);
  const std::string inside = path + "/";
  for (auto it = byPath_.lower_bound(inside); it != byPath_.end() && it->first.starts_with(inside);) {
    const std::string file = it->first;
    ++it;
    buryFile(file);
  }
}

void RecipeWriter::buryFile(const std::string& path) {
  const auto it = byPath_.find(path);
  if (it == byPath_.end()) return;
  ContentReader reader(dirFd_);
  for (const size_t i : it->second) {
    Step& step = steps_[i];
    check(static_cast<size_t>(step.length));
    StringSink kept;
    reader.copy(path, step.offset, step.length, kept);
    literalBytes_ += step.length;
    step.kind = 'L';
    step.offset = static_cast<int64_t>(literals_.size());
    literals_.push_back(std::move(kept.bytes));
  }
  byPath_.erase(it);
}

std::string RecipeWriter::finish() {
  metaOut_->finish();
  std::string out(kMagic);
  const uint64_t size = metaBytes_.bytes.size();
  for (unsigned shift = 0; shift < 64; shift += 8) out += static_cast<char>(size >> shift);
  out += metaBytes_.bytes;
  StringSink stepBytes;
  const auto stepOut = compressing(Compression::zstd, 3, stepBytes);
  std::string text;
  for (const Step& step : steps_) {
    text.assign(1, step.kind);
    if (step.kind == 'F') {
      const std::string& path = paths_[step.path];
      appendVarint(text, path.size());
      text += path;
      appendVarint(text, static_cast<uint64_t>(step.offset));
    }
    appendVarint(text, static_cast<uint64_t>(step.length));
    stepOut->write(text.data(), text.size());
    if (step.kind == 'L') {
      const std::string& bytes = literals_[static_cast<size_t>(step.offset)];
      stepOut->write(bytes.data(), bytes.size());
    }
  }
  stepOut->finish();
  return out + stepBytes.bytes;
}

void rebuildTar(int dirFd, std::string_view recipe, Sink& out) {
  if (!recipe.starts_with(kMagic) || recipe.size() < kMagic.size() + 8) broken();
  recipe.remove_prefix(kMagic.size());
  uint64_t metaSize = 0;
  for (unsigned i = 0; i < 8; ++i) metaSize |= static_cast<uint64_t>(static_cast<unsigned char>(recipe[i])) << (8 * i);
  recipe.remove_prefix(8);
  if (metaSize > recipe.size()) broken();
  SectionReader meta(recipe.substr(0, metaSize));
  SectionReader steps(recipe.substr(metaSize));
  ContentReader content(dirFd);
  std::string path;
  while (const auto kind = steps.byte()) {
    if (*kind == 'M') {
      meta.copy(steps.number(), out);
    } else if (*kind == 'L') {
      const int64_t length = steps.number();
      steps.copy(length, out);
    } else if (*kind == 'F') {
      const int64_t length = steps.number();
      if (length <= 0 || length >= PATH_MAX) broken();
      StringSink name;
      steps.copy(length, name);
      const int64_t offset = steps.number();
      content.copy(name.bytes, offset, steps.number(), out);
    } else {
      broken();
    }
  }
}

}  // namespace estiba::archive
