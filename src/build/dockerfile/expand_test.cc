#include "build/dockerfile/expand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "build/dockerfile/test_data.h"

namespace estiba::build {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Variables kNone;

std::string expandOrError(std::string_view word, const Variables& env, const Expander& how = {}) {
  try {
    return how.text(word, env);
  } catch (const Error&) {
    return "error";
  }
}

std::string errorOf(std::string_view word, const Variables& env = {}) {
  try {
    Expander{}.expand(word, env);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(ExpanderData, EnvVarTestRowsPass) {
  if (!hasSharedData()) GTEST_SKIP() << "../shared/specs/dockerfile-data is not there";
  const Variables env({"PWD=/home", "SHELL=bash", "KOREAN=한국어", "NULL="});
  int rows = 0;
  for (const std::string& line : split(readFile(sharedData() + "/envVarTest"), '\n')) {
    if (line.starts_with('#') || trim(line).empty()) continue;
    const auto cells = split(line, '|');
    ASSERT_EQ(cells.size(), 3u) << line;
    if (trim(cells[0]) == "W") continue;
    EXPECT_EQ(expandOrError(trim(cells[1]), env), trim(cells[2])) << line;
    ++rows;
  }
  EXPECT_GT(rows, 200);
}

void wordsRows(const Expander& how) {
  Variables env;
  int rows = 0;
  for (const std::string& line : split(readFile(sharedData() + "/wordsTest"), '\n')) {
    if (line.starts_with('#') || line.empty()) continue;
    if (line.starts_with("ENV ")) {
      const auto [name, value] = cut(std::string_view(line).substr(4), '=');
      env.set(name, *value);
      continue;
    }
    const auto cells = split(line, '|');
    ASSERT_EQ(cells.size(), 2u) << line;
    const size_t start = cells[1].find_first_not_of(' ');
    std::vector<std::string> words;
    try {
      words = how.expand(trim(cells[0]), env).words;
    } catch (const Error&) {
      words = {"error"};
    }
    EXPECT_EQ(words, split(std::string_view(cells[1]).substr(start), ',')) << line;
    ++rows;
  }
  EXPECT_GT(rows, 15);
}

TEST(ExpanderData, WordsTestRowsPass) {
  if (!hasSharedData()) GTEST_SKIP() << "../shared/specs/dockerfile-data is not there";
  wordsRows({});
}

TEST(Expander, CutsPrefixesAndSuffixes) {
  const Variables env({"FOO=xxyy", "BAR=x", "STAR=a**b*", "Q=x?y", "PATHS=/tmp/foo.txt", "U=한국어"});
  const auto at = [&](std::string_view word) { return Expander{}.text(word, env); };
  EXPECT_EQ(at("${FOO#*x}"), "xyy");
  EXPECT_EQ(at("${FOO##*x}"), "yy");
  EXPECT_EQ(at("${FOO%y*}"), "xxy");
  EXPECT_EQ(at("${FOO%%y*}"), "xx");
  EXPECT_EQ(at("${FOO#$BAR}"), "xyy");
  EXPECT_EQ(at("${FOO#?}"), "xyy");
  EXPECT_EQ(at("${FOO#}"), "xxyy");
  EXPECT_EQ(at("${STAR%%\\**}"), "a");
  EXPECT_EQ(at("${STAR%\\**}"), "a**b");
  EXPECT_EQ(at("${Q#?\\?}"), "y");
  EXPECT_EQ(at("${PATHS##*/}"), "foo.txt");
  EXPECT_EQ(at("${PATHS%.*}"), "/tmp/foo");
  EXPECT_EQ(at("${U#?}"), "국어");
  EXPECT_EQ(at("${NONE#x}"), "");
  EXPECT_EQ(errorOf("${FOO:#x}", env), "failed to process \"${FOO:#x}\": unsupported modifier (:#) in substitution");
  EXPECT_THAT(errorOf("${FOO#\\x}", env), HasSubstr("invalid pattern (\\x) in substitution: invalid escape '\\x'"));
}

TEST(Expander, ReplacesMatches) {
  const Variables env({"FOO=/tmp/foo.txt", "X=xxyy", "URL=http://a.b", "E="});
  const auto at = [&](std::string_view word) { return Expander{}.text(word, env); };
  EXPECT_EQ(at("${FOO//\\//\\/}"), "\\/tmp\\/foo.txt");
  EXPECT_EQ(at("${FOO/o/0}"), "/tmp/f0o.txt");
  EXPECT_EQ(at("${FOO//o/0}"), "/tmp/f00.txt");
  EXPECT_EQ(at("${X/x*/z}"), "z");
  EXPECT_EQ(at("${X//?/ab}"), "abababab");
  EXPECT_EQ(at("${X///}"), "xxyy");
  EXPECT_EQ(at("${X//x/}"), "yy");
  EXPECT_EQ(at("${URL/http:\\/\\//https:\\/\\/}"), "https:\\/\\/a.b");
  EXPECT_EQ(errorOf("${X//ww}", env), "failed to process \"${X//ww}\": syntax error: missing '/' in ${}");
}

TEST(Expander, SaysWhatIsMissing) {
  const Variables env({"ARG=x", "EMPTY="});
  EXPECT_EQ(errorOf("${VAR:?message here$ARG}", env),
            "failed to process \"${VAR:?message here$ARG}\": VAR: message herex");
  EXPECT_EQ(errorOf("${VAR?}", env), "failed to process \"${VAR?}\": VAR: is not allowed to be unset");
  EXPECT_EQ(errorOf("${EMPTY:?}", env), "failed to process \"${EMPTY:?}\": EMPTY: is not allowed to be empty");
  EXPECT_EQ(errorOf("${}"), "failed to process \"${}\": syntax error: bad substitution");
  EXPECT_EQ(errorOf("${a:-b"), "failed to process \"${a:-b\": syntax error: missing '}'");
  EXPECT_EQ(errorOf("'a"),
            "failed to process \"'a\": unexpected end of statement while looking for matching single-quote");
}

TEST(Expander, ReportsUsedAndUnset) {
  const Variables env({"FOO=xxx", "BAR="});
  const Expanded got = Expander{}.expand("${FOO:-aaa} ${BAR-bbb} $BAZ ${QUX:-$FOO}", env);
  EXPECT_EQ(got.text, "xxx   xxx");
  EXPECT_THAT(got.used, ElementsAre("BAR", "FOO"));
  EXPECT_THAT(got.unset, ElementsAre("BAZ", "QUX"));
  EXPECT_THAT(Expander{}.expand("plain '$X'", env).unset, IsEmpty());
}

TEST(Expander, KeepsWhatItIsToldToKeep) {
  const Variables env({"A=1"});
  const Expander shown{.keepQuotes = true, .keepUnset = true};
  EXPECT_EQ(shown.text("RUN echo \"$A\" '$A' $B ${C:-d}", env), "RUN echo \"1\" '$A' $B ${C:-d}");
  EXPECT_EQ((Expander{.plainQuotes = true}).text("it's \"$A\" \\$A", env), "it's \"1\" $A");
  EXPECT_EQ((Expander{.escape = '`'}).text("a`$A \\$A", env), "a$A \\1");
}

TEST(Expander, RefusesBottomlessNestingAndBombs) {
  std::string nested;
  for (int i = 0; i < 20000; ++i) nested += "${a:-";
  EXPECT_THAT(errorOf(nested), HasSubstr("failed to process"));
  Variables env;
  env.set("x", std::string(1 << 20, 'x'));
  EXPECT_THAT(errorOf("$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x", env), HasSubstr("larger than"));
}

TEST(Variables, KeepTheirOrderAndTheLastValue) {
  Variables env({"b=1", "a=2", "b=3", "c"});
  EXPECT_THAT(env.toEnv(), ElementsAre("b=3", "a=2", "c="));
  env.erase("a");
  EXPECT_FALSE(env.has("a"));
  EXPECT_EQ(env.get("c"), "");
}

}  // namespace
}  // namespace estiba::build
