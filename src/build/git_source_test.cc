#include "build/git_source.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "build/dockerfile/instructions.h"

namespace estiba::build {
namespace {

std::string parsed(const std::string& text) {
  const GitSource s = parseGitSource(text);
  return fmt::format("{} ref={} subdir={} sum={} git={} sub={}", s.url, s.ref, s.subdir, s.checksum,
                     s.keepGitDir ? *s.keepGitDir ? "yes" : "no" : "-", s.submodules ? "yes" : "no");
}

std::string errorOf(const std::string& text) {
  try {
    parseGitSource(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(GitSource, ReadsFragmentsAndQueries) {
  EXPECT_EQ(parsed("https://h/r.git"), "https://h/r.git ref= subdir= sum= git=- sub=yes");
  EXPECT_EQ(parsed("https://h/r.git#v1:a/b"), "https://h/r.git ref=v1 subdir=a/b sum= git=- sub=yes");
  EXPECT_EQ(parsed("git@h:r.git#:dir"), "git@h:r.git ref= subdir=dir sum= git=- sub=yes");
  EXPECT_EQ(parsed("https://h/r.git?ref=v1&subdir=a%2Fb&checksum=0123&keep-git-dir&submodules=false"),
            "https://h/r.git ref=v1 subdir=a/b sum=0123 git=yes sub=no");
  EXPECT_EQ(parsed("https://h/r.git?tag=v1"), "https://h/r.git ref=refs/tags/v1 subdir= sum= git=- sub=yes");
  EXPECT_EQ(parsed("git://h/r?branch=refs/heads/x&mtime=checkout"), "git://h/r ref=refs/heads/x subdir= sum= git=- sub=yes");
  EXPECT_EQ(parsed("github.com/a/b"), "https://github.com/a/b ref= subdir= sum= git=- sub=yes");
  EXPECT_TRUE(isGitSource("https://h/r.git?ref=a#b"));
  EXPECT_TRUE(isGitSource("https://h/r.git#b"));
  EXPECT_FALSE(isGitSource("https://h/r?x=.git"));
}

TEST(GitSource, RefusesWhatMeansNothing) {
  EXPECT_EQ(errorOf("https://h/r.git?x=1"), "unexpected query \"x\"");
  EXPECT_EQ(errorOf("https://h/r.git?ref=a#b"), "ref conflicts: \"b\" vs \"a\"");
  EXPECT_EQ(errorOf("https://h/r.git?ref=a&ref=b"), "query \"ref\" has multiple values");
  EXPECT_EQ(errorOf("https://h/r.git?ref"), "query \"ref\" has no value");
  EXPECT_EQ(errorOf("https://h/r.git?tag=a&branch=b"), "branch conflicts with tag");
  EXPECT_EQ(errorOf("https://h/r.git?submodules=x"), "invalid submodules value: \"x\"");
  EXPECT_EQ(errorOf("https://h/r.git?mtime=commit"), "git source: mtime=commit is not supported yet");
  EXPECT_EQ(errorOf("https://h/r.git#--upload-pack=x:y"), "invalid git source \"https://h/r.git#--upload-pack=x:y\"");
  EXPECT_EQ(errorOf("https://h/r.git?ref=--x"), "invalid git source \"https://h/r.git?ref=--x\"");
}

}  // namespace
}  // namespace estiba::build
