#pragma once
// Whole-file and directory helpers for the engine's own (trusted) paths. Paths inside images, containers and build
// contexts go through sys/root_dir.h instead.

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace estiba {

/// open(2) with O_CLOEXEC added. Throws SysError "open '…'".
Fd openFile(const std::string& path, int flags, mode_t mode = 0);
Fd openAt(int dirFd, const std::string& name, int flags, mode_t mode = 0);
/// nullopt where it does not exist (ENOENT, ENOTDIR).
std::optional<Fd> tryOpen(const std::string& path, int flags);

/// The whole file. Throws Error(invalid) past `limit` bytes, SysError otherwise.
std::string readFile(const std::string& path, uint64_t limit = 64U << 20);
std::optional<std::string> tryReadFile(const std::string& path, uint64_t limit = 64U << 20);
std::string readAll(int fd, std::string_view name, uint64_t limit = 64U << 20);

/// write(2) until all is written.
void writeAll(int fd, std::string_view bytes, std::string_view name);
/// Truncates or creates, in place: for files under /proc, /sys and throw-away ones.
void writeFile(const std::string& path, std::string_view bytes, mode_t mode = 0644);
/// A temporary beside it, fsync where `durable`, rename: readers see the old or the new file, never a part.
void writeFileAtomic(const std::string& path, std::string_view bytes, mode_t mode = 0644, bool durable = true);

bool exists(const std::string& path);                        ///< lstat: a dangling link exists
void makeDir(const std::string& path, mode_t mode = 0755);   ///< its parent is there; EEXIST is fine for a directory
void makeDirs(const std::string& path, mode_t mode = 0755);  ///< with parents
/// Removes a file or a whole tree, crossing no mount and following no link. Missing is fine.
void removeTree(const std::string& path);
void removeTreeAt(int dirFd, const std::string& name);
/// The same where that takes less time than starting a process to do it; false: there is more, and part of it may be
/// gone.
bool removeSmallTree(const std::string& path);
/// What a symbolic link says. Throws SysError, EINVAL where it is none.
std::string readLinkAt(int dirFd, const std::string& name);
/// Names in a directory but "." and "..", unsorted; empty where the directory is missing.
std::vector<std::string> listDir(const std::string& path);
std::vector<std::string> listDirFd(int dirFd, std::string_view name);

/// An fd on a file without a name (memfd), for content that is passed on.
Fd anonymousFile(std::string_view bytes, const char* name);
/// Both ends of a SOCK_STREAM unix pair, CLOEXEC.
std::pair<Fd, Fd> socketPair();
/// {read end, write end}, CLOEXEC.
std::pair<Fd, Fd> makePipe();

}  // namespace estiba
