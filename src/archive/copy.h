#pragma once
// Copying file trees: COPY, snapshots, volumes' first content.

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "sys/root_dir.h"

namespace estiba::archive {

enum class Pick {
  take,         ///< copy it; of a directory: itself, then ask for each thing inside
  skip,         ///< not this, nor anything inside it
  inside_only,  ///< a directory that is made only if something inside it is taken
};

struct CopyOptions {
  std::optional<std::pair<uid_t, gid_t>> chown;  ///< nullopt: keep
  /// The mode (07777) to give instead of the source's; not asked for symbolic links. Empty: keep.
  std::function<mode_t(mode_t mode, bool directory)> chmod;
  /// Asked for everything below the source, with its path relative to the source ("a/b"), on the calling thread, in
  /// sorted order. Empty: take all.
  std::function<Pick(const std::string& path, const struct stat& st)> filter;
  bool preserveTimes = true;  ///< mtimes
  bool xattrs = true;         ///< security.capability, user.*, POSIX ACLs
  /// A directory that is there gets the source's owner, mode and time too. Off: what is there stays as it is.
  bool updateExistingDirs = true;
  /// Something of another kind in the way is replaced. Off: docker's errors "cannot copy to non-directory: …" and
  /// "cannot replace to directory … with file".
  bool replace = false;
  bool devices = true;  ///< off: character and block devices, sockets always, are left out
};

struct Copied {
  uint64_t files = 0;  ///< everything but directories
  uint64_t directories = 0;
  int64_t bytes = 0;  ///< of file content
};

/// Copies what `srcPath` (its last component is followed inside `src`) names to `dstPath` inside `dst`, under that very
/// name: a directory's content merges into the directory there, a file replaces the file there. Parents of `dstPath`
/// that are missing are made 0755 with the owner of `chown`, or root. Below the source, links are copied, never
/// followed; hard links among the copied stay hard links; holes stay holes. Two threads where there are many files.
/// Throws Error(not_found) where the source is missing, SysError that names the path.
Copied copyTree(const RootDir& src, const std::string& srcPath, const RootDir& dst, const std::string& dstPath,
                const CopyOptions& options = {});

}  // namespace estiba::archive
