#pragma once
// Where COPY and ADD take files from: the build context, a stage, an image. Paths are confined; content has a digest.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "build/dockerfile/ignore.h"
#include "build/step_cache.h"
#include "sys/root_dir.h"

namespace estiba::build {

/// Digests of files as they were, by path; good as long as inode, size, mode and times are the same.
class DigestIndex {
 public:
  /// What `bytes` (of bytes()) remember; anything unreadable is an empty index.
  explicit DigestIndex(std::string_view bytes = {});
  std::string bytes() const;
  /// The sha256 of the file's content, read only if it may have changed. Any thread.
  std::string digestOf(int dirFd, const std::string& name, const std::string& path, const struct stat& st);
  bool changed() const noexcept { return changed_; }

 private:
  struct Entry {
    uint64_t inode = 0;
    int64_t size = 0, mtime = 0, ctime = 0, hashedAt = 0;
    std::string sha256;
  };
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
  bool changed_ = false;
};

class SourceTree {
 public:
  struct Options {
    std::vector<std::string> ignore;  ///< patterns of .dockerignore
    bool keepOwner = false;           ///< false: everything belongs to 0:0 (build contexts)
    std::string label;                ///< before paths in names of inputs: "" for the context, "builder:" …
  };
  SourceTree(RootDir root, Options options, std::shared_ptr<DigestIndex> index);

  const RootDir& root() const noexcept { return root_; }
  bool keepOwner() const noexcept { return options_.keepOwner; }
  const IgnoreMatcher& ignore() const noexcept { return ignore_; }

  /// The paths (relative, cleaned) that a source names; with wildcards any number, sorted. Throws Error(not_found)
  /// `"/nohay.txt": not found` where a path without wildcards, or after .dockerignore, is not there.
  std::vector<std::string> expand(const std::string& pattern) const;
  /// Whether .dockerignore leaves this path out.
  bool ignored(const std::string& path) const;
  /// What digest() met on its way.
  struct Met {
    bool leftOut = false;     ///< something that is ignored or excluded
    bool otherOwner = false;  ///< something that does not belong to 0:0
  };
  /// Adds {"file PATH", "mode owner digest"} for `path` and, of a directory, all below it that is neither ignored nor
  /// matched by `excludes` (relative to the directory).
  Met digest(const std::string& path, const IgnoreMatcher& excludes, Inputs& out) const;
  /// The path of a file or directory, links followed inside, without wildcards. Throws as expand().
  std::string find(const std::string& path) const;
  /// For archive::CopyOptions::filter: what of `source` is copied.
  bool wanted(const std::string& source, const std::string& below, bool directory, const IgnoreMatcher& excludes) const;

 private:
  void walk(int dirFd, const std::string& path, const std::string& below, const IgnoreMatcher& excludes, Inputs& out,
            Met& met) const;
  void addEntry(int dirFd, const std::string& name, const std::string& path, const struct stat& st, Inputs& out) const;

  RootDir root_;
  Options options_;
  IgnoreMatcher ignore_;
  std::shared_ptr<DigestIndex> index_;
};

}  // namespace estiba::build
