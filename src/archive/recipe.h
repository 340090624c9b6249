#pragma once
// The tar recipe: a tar stream without its files' content, from which rebuildTar() makes the exact stream again.
//
// Format, version 1: the line "estiba-tar-recipe 1\n"; the length of the next section as 8 bytes, little endian; a zstd
// frame of all bytes that are not content, in the stream's order; a zstd frame of steps, up to its end:
//   'M' n             the next n bytes of the first section
//   'F' l path o n    n bytes at offset o of the file `path` (l bytes), relative to the layer's directory
//   'L' n bytes       n bytes that stand right here: content that no file of the layer holds any more
// n, l and o are varints: seven bits a byte, the lowest first, the high bit on all but the last.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "archive/compression.h"
#include "archive/stream.h"

namespace estiba::archive {

class RecipeWriter {
 public:
  /// `dirFd` is borrowed. Whenever the compressed recipe is larger than `limit`, Error(invalid) is thrown.
  RecipeWriter(int dirFd, int64_t limit);

  void meta(std::string_view bytes);
  /// `length` bytes that `path` holds at `offset`.
  void content(const std::string& path, int64_t offset, int64_t length);
  /// The file, or all files in the directory, `path` will go: what they hold is kept literally. Their content must be
  /// on disk by now.
  void bury(const std::string& path, bool directory);
  std::string finish();

 private:
  struct Step {
    char kind;
    size_t path = 0;     ///< F: index into paths_
    int64_t offset = 0;  ///< F: in the file; L: index into literals_
    int64_t length = 0;
  };
  void buryFile(const std::string& path);
  void index(size_t from);
  void check(size_t extra) const;

  int dirFd_;
  int64_t limit_;
  StringSink metaBytes_;
  std::unique_ptr<Compressor> metaOut_;
  std::vector<Step> steps_;
  std::vector<std::string> paths_;
  std::vector<std::string> literals_;
  int64_t literalBytes_ = 0;
  std::map<std::string, std::vector<size_t>> byPath_;  ///< filled by the first burial: there is none in most layers
  size_t indexed_ = 0;
};

}  // namespace estiba::archive
