#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "archive/extract.h"
#include "archive/extract_target.h"
#include "base/clock.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

constexpr size_t kBuffer = 256U << 10;
constexpr int64_t kMaxId = 0xfffffffe;

/// libarchive turns names of zip and 7z into the thread's character set: UTF-8, whatever the environment says.
class Utf8Names {
 public:
  Utf8Names() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = ::uselocale(locale_);
  }
  ~Utf8Names() {
    if (locale_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t locale_;
  locale_t before_ = nullptr;
};

/// The file behind libarchive's callbacks; the descriptor's own offset is left alone.
struct Input {
  int fd;
  off_t start;
  off_t at = 0;
  off_t size = 0;
  std::vector<char> buffer = std::vector<char>(kBuffer);

  static la_ssize_t read(::archive* a, void* self, const void** bytes) {
    auto& in = *static_cast<Input*>(self);
    const ssize_t n = ::pread(in.fd, in.buffer.data(), in.buffer.size(), in.start + in.at);
    if (n < 0) {
      ::archive_set_error(a, errno, "read failed");
      return -1;
    }
    in.at += n;
    *bytes = in.buffer.data();
    return n;
  }
  static la_int64_t skip(::archive*, void* self, la_int64_t count) {
    auto& in = *static_cast<Input*>(self);
    const la_int64_t done = std::clamp<la_int64_t>(count, 0, in.size - in.at);
    in.at += done;
    return done;
  }
  static la_int64_t seek(::archive*, void* self, la_int64_t offset, int whence) {
    auto& in = *static_cast<Input*>(self);
    const la_int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? in.at : in.size;
    if (base + offset < 0) return ARCHIVE_FATAL;
    return in.at = base + offset;
  }
};

class ForeignReader {
 public:
  explicit ForeignReader(int fd) : input_{fd, ::lseek(fd, 0, SEEK_CUR)}, archive_(::archive_read_new(), free) {
    struct stat st {};
    if (input_.start < 0 || ::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
      fail(Code::invalid, "the archive is no regular file");
    }
    if (!archive_) fail(Code::internal, "libarchive: out of memory");
    input_.size = std::max<off_t>(st.st_size - input_.start, 0);
    ::archive* a = archive_.get();
    // Only what is decoded inside this process: the rest of libarchive's filters start programs.
    ::archive_read_support_filter_gzip(a);
    ::archive_read_support_filter_bzip2(a);
    ::archive_read_support_filter_xz(a);
    ::archive_read_support_filter_zstd(a);
    ::archive_read_support_format_zip(a);
    ::archive_read_support_format_7zip(a);
    ::archive_read_support_format_rar(a);
    ::archive_read_support_format_rar5(a);
    ::archive_read_support_format_cpio(a);
    ::archive_read_support_format_ar(a);
    ::archive_read_support_format_iso9660(a);
    ::archive_read_set_read_callback(a, Input::read);
    ::archive_read_set_skip_callback(a, Input::skip);
    ::archive_read_set_seek_callback(a, Input::seek);
    ::archive_read_set_callback_data(a, &input_);
    check(::archive_read_open1(a));
  }
  ForeignReader(const ForeignReader&) = delete;
  ForeignReader& operator=(const ForeignReader&) = delete;

  /// nullptr at the end.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    const int r = ::archive_read_next_header(archive_.get(), &entry);
    if (r == ARCHIVE_EOF) return nullptr;
    check(r);
    return entry;
  }

  struct Block {
    int64_t offset;
    std::string_view bytes;
  };
  std::optional<Block> data() {
    const void* bytes = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int r = ::archive_read_data_block(archive_.get(), &bytes, &size, &offset);
    if (r == ARCHIVE_EOF) return std::nullopt;
    check(r);
    if (offset < 0) fail(Code::invalid, "the archive is broken: negative offset");
    return Block{offset, {static_cast<const char*>(bytes), size}};
  }

 private:
  static void free(::archive* a) { ::archive_read_free(a); }
  void check(int r) const {
    if (r == ARCHIVE_OK || r == ARCHIVE_WARN) return;
    const char* why = ::archive_error_string(archive_.get());
    fail(Code::invalid, "read archive: {}", why != nullptr ? why : "unknown format");
  }

  Input input_;
  std::unique_ptr<::archive, void (*)(::archive*)> archive_;
};

std::string nameOf(const char* plain, const char* utf8) {
  if (plain == nullptr) plain = utf8;
  if (plain == nullptr) fail(Code::invalid, "a name in the archive cannot be read");
  return plain;
}

TarType typeOf(archive_entry* e) {
  if (::archive_entry_hardlink(e) != nullptr) return TarType::hardlink;
  switch (::archive_entry_filetype(e)) {
    case AE_IFREG:
      return TarType::file;
    case AE_IFDIR:
      return TarType::directory;
    case AE_IFLNK:
      return TarType::symlink;
    case AE_IFCHR:
      return TarType::charDevice;
    case AE_IFBLK:
      return TarType::blockDevice;
    case AE_IFIFO:
      return TarType::fifo;
    default:
      return TarType::other;
  }
}

uint32_t idOf(int64_t id, const std::string& name) {
  if (id < 0 || id > kMaxId) fail(Code::invalid, "'{}' of the archive: owner {} is out of range", name, id);
  return static_cast<uint32_t>(id);
}

TarEntry convert(archive_entry* e) {
  TarEntry out;
  out.name = nameOf(::archive_entry_pathname(e), ::archive_entry_pathname_utf8(e));
  out.type = typeOf(e);
  out.rawType = '?';
  out.mode = ::archive_entry_perm(e) & 07777;
  out.uid = idOf(::archive_entry_uid(e), out.name);
  out.gid = idOf(::archive_entry_gid(e), out.name);
  if (::archive_entry_is_data_encrypted(e) > 0) fail(Code::invalid, "'{}' of the archive is encrypted", out.name);
  if (out.type == TarType::symlink) out.linkName = nameOf(::archive_entry_symlink(e), ::archive_entry_symlink_utf8(e));
  if (out.type == TarType::hardlink) {
    out.linkName = nameOf(::archive_entry_hardlink(e), ::archive_entry_hardlink_utf8(e));
  }
  out.devMajor = static_cast<uint32_t>(::archive_entry_rdevmajor(e));
  out.devMinor = static_cast<uint32_t>(::archive_entry_rdevminor(e));
  const int64_t seconds = std::clamp<int64_t>(::archive_entry_mtime(e), -9'000'000'000, 9'000'000'000);
  out.mtimeNs =
      ::archive_entry_mtime_is_set(e) != 0 ? seconds * 1'000'000'000 + ::archive_entry_mtime_nsec(e) : now().ns;
  // Sizes are told late by some zips, and data may come with holes: files are written as it comes.
  out.sparse = true;
  return out;
}

}  // namespace

bool looksLikeForeignArchive(int fd) {
  const Utf8Names utf8;
  try {
    ForeignReader reader(fd);
    return reader.next() != nullptr;
  } catch (const Error&) {
    return false;
  }
}

Extracted extractForeign(int fd, const RootDir& root, const std::string& destPath, const ExtractOptions& options) {
  const Utf8Names utf8;
  ForeignReader reader(fd);
  ExtractTarget target(root, destPath, options);
  while (archive_entry* e = reader.next()) {
    const TarEntry entry = convert(e);
    target.add(entry, [&](TreeWriter::File& file) {
      while (const auto block = reader.data()) {
        target.count(static_cast<int64_t>(block->bytes.size()), entry.name);
        file.write(block->offset, block->bytes);
      }
    });
  }
  return target.finish();
}

}  // namespace estiba::archive
