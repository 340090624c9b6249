#pragma once
// What tar and foreign archives share on their way to disk.

#include <functional>
#include <string>

#include "archive/extract.h"
#include "archive/tar.h"
#include "archive/tree_writer.h"

namespace estiba::archive {

class ExtractTarget {
 public:
  /// Makes the destination. `options` must outlive this.
  ExtractTarget(const RootDir& root, const std::string& destPath, const ExtractOptions& options);
  /// `content` is called for files, to write what they hold.
  void add(const TarEntry& entry, const std::function<void(TreeWriter::File&)>& content);
  /// Counts content towards the limit; for archives that do not tell sizes beforehand.
  void count(int64_t bytes, const std::string& name);
  Extracted finish();

 private:
  static TreeWriter::Options writerOptions(const RootDir& root, const std::string& destPath,
                                           const ExtractOptions& options);
  NodeMeta metaOf(const TarEntry& entry) const;

  const ExtractOptions& options_;
  Extracted out_;
  TreeWriter writer_;
};

}  // namespace estiba::archive
