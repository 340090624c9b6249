#include "build/dockerfile/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build/dockerfile/test_data.h"

namespace estiba::build {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Node first(std::string_view text) {
  return parseDockerfile(text).instructions.at(0);
}

std::string errorOf(std::string_view text) {
  try {
    parseDockerfile(text);
  } catch (const DockerfileError& e) {
    return fmt::format("{}@{}", e.what(), e.where().empty() ? 0 : e.where().front().first);
  }
  return "";
}

class ParserData : public ::testing::TestWithParam<std::string> {};

TEST_P(ParserData, TreeIsAsBuildKitsParserYieldsIt) {
  if (GetParam().empty()) GTEST_SKIP() << "../shared/specs/dockerfile-data is not there";
  const std::string dir = sharedData() + "/parse/" + GetParam();
  EXPECT_EQ(trimmed(dump(parseDockerfile(readFile(dir + "/Dockerfile")))), trimmed(readFile(dir + "/result")));
}
INSTANTIATE_TEST_SUITE_P(Parse, ParserData, ::testing::ValuesIn(casesOrNone("parse")), caseName);

class ParserMustFail : public ::testing::TestWithParam<std::string> {};

TEST_P(ParserMustFail, IsRefused) {
  if (GetParam().empty()) GTEST_SKIP() << "../shared/specs/dockerfile-data is not there";
  EXPECT_THROW(parseDockerfile(readFile(sharedData() + "/parse-must-fail/" + GetParam() + "/Dockerfile")),
               DockerfileError);
}
INSTANTIATE_TEST_SUITE_P(ParseMustFail, ParserMustFail, ::testing::ValuesIn(casesOrNone("parse-must-fail")), caseName);

class ParserGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(ParserGolden, TreeIsAsRecorded) {
  expectGolden(GetParam() + ".tree", dump(parseDockerfile(readFile(goldenDir() + "/" + GetParam() + ".Dockerfile"))));
}
INSTANTIATE_TEST_SUITE_P(Golden, ParserGolden, ::testing::ValuesIn(goldenCases()), caseName);

TEST(Parser, ErrorsCarryDockersWordsAndLines) {
  EXPECT_EQ(errorOf(""), "file with no instructions@0");
  EXPECT_EQ(errorOf("# only\n"), "file with no instructions@1");
  EXPECT_EQ(errorOf("FROM a\n\nENV PATH\n"), "ENV must have two arguments@3");
  EXPECT_EQ(errorOf("FROM a\nLABEL x\n"), "LABEL must have two arguments@2");
  EXPECT_EQ(errorOf("FROM a\nENV a=b \\\n c\n"),
            "Syntax error - can't find = in \"c\". Must be of the form: name=value@2");
  EXPECT_EQ(errorOf("CMD [\"a\", [\"b\"]]\n"),
            "when using JSON array syntax, arrays must be comprised of strings only@1");
  EXPECT_EQ(errorOf("# escape=x\nFROM a\n"), "invalid escape token 'x' does not match ` or \\@1");
  EXPECT_EQ(errorOf("# escape=`\n# escape=`\nFROM a\n"), "only one escape parser directive can be used@2");
  EXPECT_EQ(errorOf("FROM a\nRUN <<EOF\nx\n"), "unterminated heredoc@2");
  EXPECT_EQ(errorOf("FROM a\nRUN " + std::string(70000, 'x') + "\n"),
            "dockerfile line greater than max allowed size of 65535@2");
}

TEST(Parser, LinesAreCountedFromOneAndSpanContinuationsAndHeredocs) {
  const SyntaxTree tree = parseDockerfile("# c\nFROM a\n\nRUN a \\\n  # no\n  b\nCOPY <<E /x\n1\nE\nCMD x\n");
  ASSERT_EQ(tree.instructions.size(), 4u);
  EXPECT_EQ(tree.instructions[0].lines, (LineRange{2, 2}));
  EXPECT_EQ(tree.instructions[1].lines, (LineRange{4, 6}));
  EXPECT_EQ(tree.instructions[2].lines, (LineRange{7, 9}));
  EXPECT_EQ(tree.instructions[3].lines, (LineRange{10, 10}));
  EXPECT_EQ(tree.instructions[1].original, "RUN a   b");
  EXPECT_THAT(tree.emptyContinuations, IsEmpty());
}

TEST(Parser, RemembersEmptyContinuationLines) {
  EXPECT_THAT(parseDockerfile("FROM a\nRUN a \\\n\n  b\nCMD c\n").emptyContinuations, ElementsAre(4));
}

TEST(Parser, TakesByteOrderMarkAndCarriageReturns) {
  const SyntaxTree tree = parseDockerfile("\xef\xbb\xbf# escape=`\r\nFROM a\r\nRUN b `\r\n c\r\n");
  EXPECT_EQ(tree.directives.escape, '`');
  EXPECT_EQ(dump(tree), "(from \"a\")\n(run \"b  c\")\n");
}

TEST(Parser, DirectivesStandOnlyAtTheTop) {
  const Directives d = parseDockerfile("#  Syntax = docker/dockerfile:1 \n# check=skip=all\nFROM a\n").directives;
  EXPECT_EQ(d.syntax, "docker/dockerfile:1");
  EXPECT_EQ(d.check, "skip=all");
  EXPECT_EQ(parseDockerfile("# hello\n# escape=`\nFROM a\n").directives.escape, '\\');
  EXPECT_EQ(parseDockerfile("\n# escape=`\nFROM a\n").directives.escape, '\\');
  EXPECT_EQ(parseDockerfile("# other=1\n# escape=`\nFROM a\n").directives.escape, '\\');
  EXPECT_EQ(parseDockerfile("#!/bin/x\n# check=error=true\nFROM a\n").directives.check, "error=true");
}

TEST(Parser, CommentsBeforeAnInstructionStayWithIt) {
  const SyntaxTree tree = parseDockerfile("# check=skip=all\n# one\n# two\nFROM a\n# lost\n#\n# kept\nRUN b\n");
  EXPECT_THAT(tree.instructions[0].comments, ElementsAre("one", "two"));
  EXPECT_THAT(tree.instructions[1].comments, ElementsAre("kept"));
}

TEST(Parser, ReadsSeveralHeredocsWithTheirKinds) {
  const Node node = first("COPY <<A <<-\"B\" 3<<C /d/\na $x\nA\n\tb\n\tB\nc\nC\n");
  ASSERT_EQ(node.heredocs.size(), 3u);
  EXPECT_EQ(node.heredocs[0].content, "a $x\n");
  EXPECT_TRUE(node.heredocs[0].expand);
  EXPECT_EQ(node.heredocs[1].name, "B");
  EXPECT_FALSE(node.heredocs[1].expand);
  EXPECT_TRUE(node.heredocs[1].stripTabs);
  EXPECT_EQ(node.heredocs[1].content, "\tb\n");
  EXPECT_EQ(node.heredocs[2].fd, 3u);
  EXPECT_EQ(stripLeadingTabs("\t\ta\n\tb\tc\n"), "a\nb\tc\n");
}

TEST(Parser, OnlyRunCopyAndAddHaveHeredocs) {
  EXPECT_THAT(first("ENV A=<<EOF\n").heredocs, IsEmpty());
  EXPECT_THAT(first("RUN [\"<<EOF\"]\n").heredocs, IsEmpty());
  EXPECT_THAT(first("RUN echo '<<EOF'\n").heredocs, IsEmpty());
  EXPECT_THAT(first("RUN echo $((1 << 2))\nFROM a\n2))\nRUN <<\n").heredocs, testing::SizeIs(1));
  EXPECT_EQ(first("ONBUILD RUN <<EOF\nx\nEOF\n").heredocs.size(), 1u);
}

TEST(Parser, LongOnbuildChainsDoNotExhaustTheStack) {
  std::string chain;
  for (int i = 0; i < 8000; ++i) chain += "ONBUILD ";
  EXPECT_THAT(errorOf(chain + "RUN x\n"), HasSubstr("Chaining ONBUILD"));
}

TEST(Parser, FlagsLoseTheirQuotes) {
  EXPECT_THAT(first("COPY --a=\"b c\" --d='e f' --g=h\\ i x y\n").flags, ElementsAre("--a=b c", "--d=e f", "--g=h i"));
}

}  // namespace
}  // namespace estiba::build
