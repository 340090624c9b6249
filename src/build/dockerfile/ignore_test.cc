#include "build/dockerfile/ignore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace estiba::build {
namespace {

using ::testing::ElementsAre;

struct Row {
  const char* pattern;
  const char* path;
  bool ignored;
};

class IgnoreRows : public ::testing::TestWithParam<Row> {};

TEST_P(IgnoreRows, DecideAsPatternMatcherDoes) {
  const Row& row = GetParam();
  EXPECT_EQ(IgnoreMatcher({row.pattern}).ignored(row.path), row.ignored) << row.pattern << " on " << row.path;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, IgnoreRows,
    ::testing::Values(
        Row{"**", "file", true}, Row{"**", "dir/file", true}, Row{"**", "a", true}, Row{"**/", "dir/file", true},
        Row{"**/**", "dir/file", true}, Row{"dir/**", "dir/file", true}, Row{"dir/**", "dir/", true},
        Row{"dir/**", "dir/dir2/file", true}, Row{"dir/**", "other", false}, Row{"**/dir", "dir", true},
        Row{"**/dir", "dir/file", true}, Row{"**/dir2/*", "dir/dir2/file", true},
        Row{"**/dir2/*", "dir/dir2/dir2/file", true}, Row{"**file", "file", true}, Row{"**file", "dir/file", true},
        Row{"**/file", "dir/file", true}, Row{"**/file", "dir/dir/file", true},
        Row{"**/file*", "dir/dir/file.txt", true}, Row{"**/file*txt", "dir/dir/file.txt", true},
        Row{"**/file*.txt*", "dir/dir/file.txt", true}, Row{"**/**/*.txt", "dir/dir/file.txt", true},
        Row{"**/**/*.txt2", "dir/dir/file.txt", false}, Row{"**/*.txt", "file.txt", true},
        Row{"**/**/*.txt", "file.txt", true}, Row{"a**/*.txt", "a/file.txt", true},
        Row{"a**/*.txt", "a/dir/file.txt", true}, Row{"a**/*.txt", "a/dir/dir/file.txt", true},
        Row{"a/*.txt", "a/dir/file.txt", false}, Row{"a/*.txt", "a/file.txt", true},
        Row{"a/*.txt**", "a/file.txt", true}, Row{"a[b-d]e", "ae", false}, Row{"a[b-d]e", "ace", true},
        Row{"a[b-d]e", "aae", false}, Row{"a[^b-d]e", "aze", true}, Row{".*", ".foo", true}, Row{".*", "foo", false},
        Row{"abc.def", "abcdef", false}, Row{"abc.def", "abc.def", true}, Row{"abc.def", "abcZdef", false},
        Row{"abc?def", "abcZdef", true}, Row{"abc?def", "abcdef", false}, Row{"a\\\\", "a\\", true},
        Row{"**/foo/bar", "foo/bar", true}, Row{"**/foo/bar", "dir/foo/bar", true},
        Row{"**/foo/bar", "dir/dir2/foo/bar", true}, Row{"abc/**", "abc", false}, Row{"abc/**", "abc/def", true},
        Row{"abc/**", "abc/def/ghi", true}, Row{"**/.foo", ".foo", true}, Row{"**/.foo", "bar.foo", false},
        Row{"./bar.*", "bar.a", true}, Row{"a(b)c/def", "a(b)c/def", true}, Row{"a(b)c/def", "a(b)c/xyz", false},
        Row{"a.|)$(}+{bc", "a.|)$(}+{bc", true},
        Row{"dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true},
        Row{"dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true}, Row{"a\\*b", "a*b", true},
        Row{"a\\*b", "acb", false}, Row{"docs", "docs/README.md", true}, Row{"docs/", "docs/README.md", true},
        Row{"*", "a/b/c", true}, Row{"a?c", "a한c", true}, Row{"[!a]", "b", false}));

TEST(Ignore, TheLastMatchingPatternDecides) {
  const IgnoreMatcher m({"node_modules", "**/*.log", "!src/deep/keep.log", ".env", "docs", "!docs/README.md"});
  EXPECT_TRUE(m.ignored("node_modules/a/b"));
  EXPECT_TRUE(m.ignored("src/deep/x.log"));
  EXPECT_FALSE(m.ignored("src/deep/keep.log"));
  EXPECT_FALSE(m.ignored("docs/README.md"));
  EXPECT_TRUE(m.ignored("docs/other"));
  EXPECT_FALSE(m.ignored("."));
  EXPECT_TRUE(IgnoreMatcher({"!docs/README.md", "docs"}).ignored("docs/README.md"));
  EXPECT_FALSE(IgnoreMatcher({"*", "!a"}).ignored("a/b"));
  EXPECT_TRUE(IgnoreMatcher({"*", "!a", "a/b"}).ignored("a/b/c"));
}

TEST(Ignore, WalkMaySkipWhatHoldsNoException) {
  const IgnoreMatcher m({"docs", "!docs/a/*.md", "build", "*.tmp"});
  EXPECT_TRUE(m.mayInclude("docs"));
  EXPECT_TRUE(m.mayInclude("docs/a"));
  EXPECT_FALSE(m.mayInclude("docs/b"));
  EXPECT_FALSE(m.mayInclude("build"));
  EXPECT_FALSE(m.mayInclude("build/x"));
  EXPECT_TRUE(m.mayInclude("src"));
  EXPECT_FALSE(IgnoreMatcher({"!docs/x", "docs"}).mayInclude("docs"));
  EXPECT_TRUE(IgnoreMatcher({"docs", "!**/x"}).mayInclude("docs/deep/er"));
  EXPECT_FALSE(IgnoreMatcher({"*"}).mayInclude("any"));
  EXPECT_TRUE(IgnoreMatcher({"*", "!any"}).mayInclude("any"));
  EXPECT_TRUE(IgnoreMatcher({"*"}).mayInclude("."));
}

TEST(Ignore, WalkingWithDirsGivesTheSameAnswers) {
  const IgnoreMatcher m({"a", "!a/b", "a/b/*.c", "**/k?ep", "!**/kxep"});
  for (const std::string path : {"a", "a/b", "a/b/x.c", "a/b/x.d", "a/c/d", "z/keep/q", "z/kxep/keep"}) {
    IgnoreMatcher::Dir parent;
    IgnoreMatcher::Dir self;
    bool ignored = false;
    for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
      ignored = m.ignored(path.substr(0, end), parent, self);
      if (end == std::string::npos) break;
      parent = self;
    }
    EXPECT_EQ(ignored, m.ignored(path)) << path;
  }
}

TEST(Ignore, FileIsReadByDockersRules) {
  EXPECT_THAT(parseIgnoreFile("\xef\xbb\xbf/a\n# c\n\n  b/ \n!/c/../d\r\n! e\n./f//g\n #h\n!\n/\n"),
              ElementsAre("a", "b", "!d", "!e", "f/g", "#h", "!", "/"));
}

TEST(Ignore, RefusesBadPatterns) {
  EXPECT_THROW(IgnoreMatcher({"["}), Error);
  EXPECT_THROW(IgnoreMatcher({"a\\"}), Error);
  EXPECT_THROW(IgnoreMatcher({"!"}), Error);
  EXPECT_NO_THROW(IgnoreMatcher({"", "  "}));
}

TEST(Ignore, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 60; ++i) pattern += "*a";
  EXPECT_FALSE(globMatch(pattern + "b", std::string(2000, 'a')));
}

TEST(Glob, MatchesAsGosPathMatch) {
  EXPECT_TRUE(globMatch("archivo?.cfg", "archivo1.cfg"));
  EXPECT_FALSE(globMatch("archivo?.cfg", "archivo10.cfg"));
  EXPECT_FALSE(globMatch("*", "a/b"));
  EXPECT_TRUE(globMatch("a*/b", "a/b"));
  EXPECT_TRUE(globMatch("[a-c]x[^0-9]", "bxy"));
  EXPECT_TRUE(globMatch("[\\]a]", "]"));
  EXPECT_TRUE(globMatch("[\\-x]", "-"));
  EXPECT_TRUE(globMatch("", ""));
  for (const char* bad : {"[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\"}) {
    EXPECT_THROW(globMatch(bad, "x"), Error) << bad;
  }
}

TEST(Glob, SplitsOffTheFixedPart) {
  EXPECT_EQ(splitWildcard("a/b*/c"), (std::pair<std::string, std::string>("a", "b*/c")));
  EXPECT_EQ(splitWildcard("*.c"), (std::pair<std::string, std::string>("", "*.c")));
  EXPECT_EQ(splitWildcard("/x?"), (std::pair<std::string, std::string>("/", "x?")));
  EXPECT_EQ(splitWildcard("a/b"), (std::pair<std::string, std::string>("a/b", "")));
  EXPECT_FALSE(hasWildcard("a\\*b"));
  EXPECT_EQ(cleanPath("/../a/./b//c/.."), "/a/b");
  EXPECT_EQ(cleanPath("../a/.."), "..");
  EXPECT_EQ(cleanPath(""), ".");
}

}  // namespace
}  // namespace estiba::build
