// Whatever bytes come: the tar reader, alone and behind decompression, ends with entries or Error(invalid), in bounded
// memory, and hands every byte either to the tap or out as content.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "archive/compression.h"
#include "archive/tar.h"
#include "archive/tree_writer.h"
#include "base/error.h"

namespace {

using namespace estiba;
using namespace estiba::archive;

class Counter : public TarTap {
 public:
  void meta(std::string_view bytes) override { seen += bytes.size(); }
  size_t seen = 0;
};

void check(bool holds) {
  if (!holds) std::abort();
}

/// One read gives at most `limit` bytes in all, so that a bomb ends.
class Limited : public Source {
 public:
  Limited(std::unique_ptr<Source> inner, size_t limit) : inner_(std::move(inner)), left_(limit) {}
  size_t read(void* to, size_t size) override {
    if (left_ == 0) return 0;
    const size_t n = inner_->read(to, std::min(size, left_));
    left_ -= n;
    return n;
  }

 private:
  std::unique_ptr<Source> inner_;
  size_t left_;
};

/// Returns how many bytes were accounted for.
size_t readAllEntries(Source& from) {
  Counter tap;
  TarReader reader(from, &tap);
  size_t content = 0;
  while (const auto entry = reader.next()) {
    check(entry->size >= 0);
    check(entry->name.size() <= (64U << 10) + 300);
    try {
      const std::string path = insideName(entry->name, "archive");
      check(path.empty() || (path.front() != '/' && path.back() != '/'));
      check(path != ".." && !path.starts_with("../") && path.find("/../") == std::string::npos);
    } catch (const Error& e) {
      check(e.code() == Code::invalid);
    }
    int64_t end = 0;
    while (const auto chunk = reader.nextChunk()) {
      content += chunk->bytes.size();
      check(!chunk->bytes.empty() && chunk->offset >= end);
      end = chunk->offset + static_cast<int64_t>(chunk->bytes.size());
      check(entry->type != TarType::file || end <= entry->size);
    }
  }
  reader.drain();
  return tap.seen + content;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    StringSource from(bytes);
    check(readAllEntries(from) == size);
  } catch (const Error& e) {
    check(e.code() == Code::invalid);
  }
  try {
    Limited plain(decompressingInline(std::make_unique<StringSource>(bytes)), 4U << 20);
    readAllEntries(plain);
  } catch (const Error& e) {
    check(e.code() == Code::invalid);
  }
  return 0;
}
