#pragma once
// Small content by digest: image configs, manifests. Bytes live in <root>/content/sha256/<hex>, what there is in the
// table `blob`. Other modules refer to a blob by a foreign key to blob(digest): that is what keeps it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/db.h"
#include "oci/digest.h"
#include "sys/lease.h"

namespace estiba::content {

/// Table blob(digest TEXT PRIMARY KEY, kind TEXT, size INTEGER, created INTEGER).
extern const db::Schema kSchema;

/// Blobs are read whole: nothing larger is stored.
inline constexpr uint64_t kMaxBlob = 64U << 20;

struct Blob {
  oci::Digest digest;
  std::string kind;
  int64_t size = 0;  ///< bytes
};

struct Finding {
  std::string what;  ///< "blob sha256:…"
  std::string problem;
};

/// The blobs of one engine root. Any thread, several processes.
class Store {
 public:
  Store(db::Pool& pool, const std::string& root);

  /// Stores the bytes (temporary file, fsync, rename, then the row); `lease` holds them until a row of the caller's
  /// refers to them. What is there already is only held. `kind` is for people: "config", "manifest", "index".
  oci::Digest put(std::string_view bytes, std::string_view kind, Lease& lease);
  /// Holds a blob that is there; false where it is not.
  bool hold(const oci::Digest& digest, Lease& lease);
  /// The bytes, compared with the digest. Throws Error(not_found) "no such blob: …", Error(internal) where they do not
  /// match.
  std::string get(const oci::Digest& digest) const;
  std::optional<std::string> tryGet(const oci::Digest& digest) const;
  std::vector<Blob> list() const;

  /// Removes what no row refers to and no lease holds. Returns it.
  std::vector<Blob> collect();
  /// Sweeps files without a row that nobody is writing. Cheap; after a crash.
  void recover();
  /// Reads everything and compares: rows without file, files without row, wrong bytes.
  std::vector<Finding> check() const;

 private:
  std::string pathOf(const oci::Digest& digest) const;
  std::optional<Fd> lockedShared(const oci::Digest& digest) const;

  db::Pool& pool_;
  std::string dir_;
};

}  // namespace estiba::content
