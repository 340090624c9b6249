#pragma once
// For the tests of this module only.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/error.h"
#include "base/fd.h"
#include "sys/file.h"

namespace estiba::archive {

/// A throw-away directory.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/estiba-archive-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw SysError(errno, "make a temporary directory");
    path_ = name;
  }
  ~TempDir() { removeTree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// A new directory in it.
  std::string make(const std::string& name) const {
    makeDirs(path_ + "/" + name);
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

inline Fd openDir(const std::string& path) {
  return openFile(path, O_RDONLY | O_DIRECTORY);
}

inline struct stat lstatOf(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) throw SysError(errno, "stat '" + path + "'");
  return st;
}

inline std::string readLink(const std::string& path) {
  char text[4096];
  const ssize_t n = ::readlink(path.c_str(), text, sizeof text);
  return n < 0 ? std::string("(none)") : std::string(text, static_cast<size_t>(n));
}

inline std::string xattrOf(const std::string& path, const char* name) {
  char text[4096];
  const ssize_t n = ::lgetxattr(path.c_str(), name, text, sizeof text);
  return n < 0 ? std::string("(none)") : std::string(text, static_cast<size_t>(n));
}

inline std::string slurp(Source& from) {
  StringSink out;
  pump(from, out);
  return out.bytes;
}

/// Runs a shell command in `dir`; a failure fails the test.
inline void shell(const std::string& dir, const std::string& command) {
  const std::string line = "cd '" + dir + "' && { " + command + " ; } >/dev/null";
  ASSERT_EQ(std::system(line.c_str()), 0) << command;
}

inline bool haveProgram(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

/// Pseudo-random bytes that do not compress; the same for the same seed.
inline std::string noise(size_t size, uint64_t seed = 1) {
  std::string out(size, '\0');
  for (char& c : out) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>(seed >> 56U);
  }
  return out;
}

/// Builds a tar in memory.
class TarBuilder {
 public:
  TarBuilder() : writer_(sink_) {}
  TarBuilder& entry(TarEntry e) {
    writer_.add(e);
    return *this;
  }
  TarBuilder& file(const std::string& name, const std::string& content, mode_t mode = 0644) {
    TarEntry e;
    e.name = name;
    e.mode = mode;
    e.mtimeNs = 1'600'000'000'000'000'000;
    writer_.addFile(e, content);
    return *this;
  }
  TarBuilder& dir(const std::string& name, mode_t mode = 0755) { return node(name, TarType::directory, mode); }
  TarBuilder& link(const std::string& name, const std::string& to) {
    TarEntry e;
    e.name = name;
    e.type = TarType::symlink;
    e.linkName = to;
    e.mode = 0777;
    writer_.add(e);
    return *this;
  }
  TarBuilder& hardlink(const std::string& name, const std::string& to) {
    TarEntry e;
    e.name = name;
    e.type = TarType::hardlink;
    e.linkName = to;
    writer_.add(e);
    return *this;
  }
  TarBuilder& node(const std::string& name, TarType type, mode_t mode = 0644, uint32_t major = 0, uint32_t minor = 0) {
    TarEntry e;
    e.name = name;
    e.type = type;
    e.mode = mode;
    e.devMajor = major;
    e.devMinor = minor;
    e.mtimeNs = 1'500'000'000'000'000'000;
    writer_.add(e);
    return *this;
  }
  std::string bytes() {
    writer_.finish();
    return sink_.bytes;
  }

 private:
  StringSink sink_;
  TarWriter writer_;
};

/// EXPECTs that `call` throws an Error of `code` whose message has `part`.
template <class F>
void expectError(Code code, const std::string& part, F&& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const Error& e) {
    EXPECT_EQ(codeName(e.code()), codeName(code)) << e.what();
    EXPECT_THAT(e.what(), ::testing::HasSubstr(part));
  }
}

}  // namespace estiba::archive
