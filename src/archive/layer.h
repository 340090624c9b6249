#pragma once
// OCI layers (image-spec layer.md): a tar stream to and from one directory of an overlayfs stack.
//
// In a layer's tar an empty file ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" in a directory hides all of
// its lower content. On disk the first is a character device 0:0, the second the xattr trusted.overlay.opaque=y
// (kernel, Documentation/filesystems/overlayfs.rst).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"

namespace estiba::archive {

struct UnpackOptions {
  int64_t maxBytes = 0;     ///< of file content, holes counted; 0: no limit
  uint64_t maxEntries = 0;  ///< 0: no limit
  /// Layers below, topmost first: where a hard link's target is not in this layer, that file is copied up from there.
  std::vector<int> lowerDirs;
  bool wantRecipe = true;
  int64_t maxRecipeBytes = 512LL << 20;  ///< compressed; a stream that needs more is refused (Error(invalid))
};

struct Unpacked {
  std::string diffIdHex;     ///< sha256 over every byte of the stream, to its very end
  int64_t tarBytes = 0;      ///< their count
  int64_t contentBytes = 0;  ///< sum of the sizes of the regular files, as docker counts a layer's size
  uint64_t entries = 0;
  std::string recipe;  ///< for rebuildTar; empty unless wanted
};

/// Unpacks a layer (a plain tar stream; put decompressing() before it) into the empty directory `dirFd`.
///
/// Every name is resolved inside `dirFd` as a process chrooted there would (links of the layer followed inside);
/// names that lead out by ".." are Error(invalid), absolute ones start at `dirFd`. Directories that are implied but
/// not listed are 0755 root. A later entry replaces an earlier one of its name; a directory merges with a directory.
/// Kept: owners, modes with setuid and the like, times in ns, devices, sparse files, hard links, the xattrs
/// security.capability, user.* and POSIX ACLs; all others are ignored, trusted.* before all.
///
/// Needs CAP_CHOWN, CAP_FOWNER, CAP_MKNOD, CAP_SYS_ADMIN. What was made before a failure stays: the caller discards
/// the directory. Throws Error(invalid) for a broken or hostile stream or a limit, SysError that names the path.
Unpacked unpackLayer(Source& tar, int dirFd, const UnpackOptions& options = {});

/// Writes to `out` the exact stream that made `recipe`, file content taken from the same directory. Throws
/// Error(invalid) where the recipe is broken or a file is missing or has another size (content changed otherwise shows
/// in the hash only: compare with the diffID).
void rebuildTar(int dirFd, std::string_view recipe, Sink& out);

struct Packed {
  std::string diffIdHex;
  int64_t tarBytes = 0;
  int64_t contentBytes = 0;  ///< hard-linked content counted once
};

/// Walks an overlayfs upper (or unpacked layer) directory and writes it as a layer's tar to `out` (nullptr: only hash).
/// Deterministic: sorted by name, no user names, whole seconds, xattrs but trusted.*; sockets are left out. Hard links
/// inside the directory are kept. Throws Error(invalid) for a real name that starts with ".wh.", Error(not_implemented)
/// for a directory or file that overlayfs has only referred to (redirect_dir, metacopy).
Packed packLayer(int dirFd, Sink* out = nullptr);

/// Writes what the merged view `dirFd` of a stack of layers shows as a plain tar, in the same way; whiteouts and opaque
/// marks (a view of one layer is that layer's directory) are left out. `subSecondTimes`: pax times in ns.
Packed packTree(int dirFd, Sink& out, bool subSecondTimes = false);

enum class ChangeKind { modified = 0, added = 1, deleted = 2 };  ///< the numbers of the Engine API's ContainerChanges

struct Change {
  std::string path;  ///< absolute
  ChangeKind kind = ChangeKind::modified;
  bool operator==(const Change&) const = default;
};

/// 'C', 'A' or 'D', as `docker diff` prints it.
char changeLetter(ChangeKind kind) noexcept;

/// What the overlayfs upper directory changes of the layers below it (topmost first), sorted by path, by docker's
/// rules: a file is modified where mode, owner, device, size, time or capability differ; a directory also where
/// something in it changed; of a deleted directory only the directory itself is told.
std::vector<Change> layerChanges(int upperFd, const std::vector<int>& lowerFds);

}  // namespace estiba::archive
