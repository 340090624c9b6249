#pragma once
// One pass over an image archive (internal to this module): small JSON documents are kept, layers are unpacked as they
// come by, everything under blobs/sha256 is compared with its name.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "archive/tar.h"
#include "image/transfer.h"

namespace estiba::image {

class ArchiveReader {
 public:
  ArchiveReader(snapshot::Layers& layers, Lease& lease, const LoadOptions& options)
      : layers_(layers), lease_(lease), options_(options) {}

  /// Reads to the end.
  void read(std::unique_ptr<archive::Source> from);

  /// A JSON document by its path, links followed; nullptr where there is none.
  const std::string* document(const std::string& path) const;
  const std::string& needDocument(const std::string& path) const;
  /// A layer by its path, links followed.
  std::optional<snapshot::Layer> layer(const std::string& path) const;
  /// Size in bytes of a file as it is in the archive; -1 where it is not.
  int64_t sizeOf(const std::string& path) const;
  /// Of this archive, to be collected if no image comes to use them.
  const std::vector<snapshot::LayerId>& unpacked() const noexcept { return unpacked_; }

 private:
  void take(archive::TarReader& tar, const archive::TarEntry& entry);
  void takeFile(archive::TarReader& tar, const archive::TarEntry& entry, const std::string& path);
  std::string followed(std::string path) const;

  snapshot::Layers& layers_;
  Lease& lease_;
  const LoadOptions& options_;
  std::map<std::string, std::string> documents_;
  std::map<std::string, snapshot::Layer> loaded_;
  std::map<std::string, std::string> links_;
  std::map<std::string, int64_t> sizes_;
  std::vector<snapshot::LayerId> unpacked_;
  uint64_t documentBytes_ = 0;
};

}  // namespace estiba::image
