#include "build/dockerfile/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build/dockerfile/test_data.h"

namespace estiba::build {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> warnings(std::string_view text, const LintOptions& options = {}) {
  std::vector<std::string> out;
  for (const LintWarning& warning : lintDockerfile(text, options).warnings) out.push_back(shortText(warning));
  return out;
}

class LintGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(LintGolden, OutputIsAsRecorded) {
  const std::string source = readFile(goldenDir() + "/" + GetParam() + ".Dockerfile");
  const LintResult result = lintDockerfile(source, {});
  expectGolden(GetParam() + ".check",
               checkText(result, "Dockerfile", source) + checkError(result, "Dockerfile", source));
}
INSTANTIATE_TEST_SUITE_P(Golden, LintGolden, ::testing::ValuesIn(goldenCases()), caseName);

TEST(Lint, CleanFileHasNoWarnings) {
  EXPECT_THAT(warnings("FROM busybox AS a\nARG X\nENV Y=$X\nWORKDIR /w\nWORKDIR x\nRUN echo $Z\nCMD [\"sh\"]\n"),
              IsEmpty());
  EXPECT_EQ(checkText(lintDockerfile("FROM a\n", {}), "Dockerfile", "FROM a\n"),
            "Check complete, no warnings found.\n");
}

TEST(Lint, StageNamesAndCasing) {
  EXPECT_THAT(warnings("FROM a AS Foo\n"),
              ElementsAre("StageNameCasing: Stage name 'Foo' should be lowercase (line 1)"));
  EXPECT_THAT(warnings("FROM a as foo\nfrom b AS bar\nENV a=b\n"),
              ElementsAre("FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)",
                          "FromAsCasing: 'AS' and 'from' keywords' casing do not match (line 2)",
                          "ConsistentInstructionCasing: Command 'from' should match the case of the command majority "
                          "(uppercase) (line 2)"));
  EXPECT_THAT(
      warnings("FROM a AS x\nFROM b AS x\nFROM c AS context\n"),
      ElementsAre("DuplicateStageName: Duplicate stage name \"x\", stage names should be unique (line 2)",
                  "ReservedStageName: Stage name should not use the same name as reserved stage \"context\" (line 3)"));
  EXPECT_THAT(warnings("from a\nRun b\ncopy c /d\n"),
              ElementsAre("ConsistentInstructionCasing: Command 'Run' should match the case of the command majority "
                          "(lowercase) (line 2)"));
}

TEST(Lint, InstructionsOfAStage) {
  EXPECT_THAT(warnings("FROM a\nMAINTAINER me\nENV a b\nLABEL c d\nCMD x\nCMD y\nWORKDIR rel\n"),
              ElementsAre("MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)",
                          "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" "
                          "format (line 3)",
                          "LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key "
                          "value\" format (line 4)",
                          "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior "
                          "related to OS signals (line 5)",
                          "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same "
                          "stage because only the last one will be used (line 5)",
                          "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior "
                          "related to OS signals (line 6)",
                          "WorkdirRelativePath: Relative workdir \"rel\" can have unexpected results if the base image "
                          "changes (line 7)"));
  EXPECT_THAT(warnings("FROM a\nSHELL [\"sh\", \"-c\"]\nCMD x\n"), IsEmpty());
  EXPECT_THAT(warnings("FROM a\nRUN b \\\n\n c\n"),
              ElementsAre("NoEmptyContinuation: Empty continuation line (line 4)"));
  EXPECT_THAT(
      warnings("FROM a\nEXPOSE 80/TCP 127.0.0.1:81:82 90\n"),
      ElementsAre("ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, "
                  "found '127.0.0.1:81:82' (line 2)",
                  "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)"));
}

TEST(Lint, VariablesAndSecrets) {
  EXPECT_THAT(warnings("FROM a\nARG VERSION=1\nENV X=$VERSON\nCOPY $NONE /\nENV P=$PATH\nARG none\nENV Q=$none\n"),
              ElementsAre("UndefinedVar: Usage of undefined variable '$VERSON' (did you mean $VERSION?) (line 3)",
                          "UndefinedVar: Usage of undefined variable '$NONE' (line 4)"));
  EXPECT_THAT(warnings("FROM a\nARG API_KEY\nENV GITHUB_TOKEN=x PUBLIC_KEY=y MONKEY=z password=w\n"),
              ElementsAre("SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "
                          "\"API_KEY\") (line 2)",
                          "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "
                          "\"GITHUB_TOKEN\") (line 3)",
                          "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "
                          "\"password\") (line 3)"));
}

TEST(Lint, FromArguments) {
  EXPECT_THAT(
      warnings("ARG TAG\nFROM busybox:$TAG\n"),
      ElementsAre("InvalidDefaultArgInFrom: Default value for ARG busybox:$TAG results in empty or invalid base "
                  "image name (line 2)"));
  EXPECT_THAT(
      warnings("ARG VARIANT=x\nFROM busybox${VARINT}\n"),
      ElementsAre("UndefinedArgInFrom: FROM argument 'VARINT' is not declared (did you mean VARIANT?) (line 2)"));
  EXPECT_THAT(
      warnings("FROM --platform=$TARGETPLATFORM a\nFROM --platform=linux/arm64 b\n"
               "FROM --platform=linux/arm64 c AS build_arm64\nFROM --platform=$BUILDPLATFORM d\n"),
      ElementsAre("RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant "
                  "as this is the default behavior (line 1)",
                  "FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "
                  "\"linux/arm64\" (line 2)"));
}

TEST(Lint, IgnoredFiles) {
  const IgnoreMatcher ignore({"Dockerfile", "secret"});
  EXPECT_THAT(
      warnings("FROM a\nCOPY Dockerfile ./secret/x ok /\nADD . /\nCOPY --from=b Dockerfile /\n", {.ignore = &ignore}),
      ElementsAre("CopyIgnoredFile: Attempting to Copy file \"Dockerfile\" that is excluded by .dockerignore "
                  "(line 2)",
                  "CopyIgnoredFile: Attempting to Copy file \"secret/x\" that is excluded by .dockerignore (line 2)"));
  const IgnoreMatcher excepted({"*", "!ok"});
  EXPECT_THAT(warnings("FROM a\nCOPY no /\n", {.ignore = &excepted}), IsEmpty());
  const IgnoreMatcher all({"*"});
  EXPECT_THAT(warnings("FROM a\nADD . /\n", {.ignore = &all}),
              ElementsAre("CopyIgnoredFile: Attempting to Add file \".\" that is excluded by .dockerignore (line 2)"));
}

TEST(Lint, DescriptionsAreCheckedWhereAskedFor) {
  const std::string text = "# bar this\nARG foo=bar\n# base the image\nFROM scratch AS base\n# bad\nARG a=1 b=2\n";
  EXPECT_THAT(warnings(text), IsEmpty());
  EXPECT_THAT(warnings("# check=experimental=InvalidDefinitionDescription\n" + text),
              ElementsAre("InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo "
                          "<description>` (line 3)",
                          "InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> "
                          "<description>` (line 7)"));
}

TEST(Lint, DirectiveSkipsAndMakesErrors) {
  EXPECT_THAT(warnings("# check=skip=all\nFROM a AS Foo\nCMD x\n"), IsEmpty());
  EXPECT_EQ(warnings("# check=skip=JSONArgsRecommended,Other\nFROM a AS Foo\nCMD x\n").size(), 1u);
  EXPECT_EQ(warnings("FROM a\n# check=skip=JSONArgsRecommended\nCMD x\nENTRYPOINT y\n").size(), 1u);
  const LintResult result = lintDockerfile("# check=error=true;skip=StageNameCasing\nFROM a AS Foo\nCMD x\n", {});
  EXPECT_TRUE(result.fails);
  EXPECT_EQ(lintFailure(result), "lint violation found for rules: JSONArgsRecommended");
  EXPECT_FALSE(lintDockerfile("# check=error=true\nFROM a\n", {}).fails);
  EXPECT_STREQ(lintDockerfile("# check=what\nFROM a\n", {}).error->what(),
               "failed to parse check options: invalid check option \"what\"");
  LintOptions options;
  options.plan.buildArgs = {{"BUILDKIT_DOCKERFILE_CHECK", "skip=all"}};
  EXPECT_THAT(warnings("FROM a\nCMD x\n", options), IsEmpty());
}

TEST(Lint, ErrorsComeWithTheWarningsBeforeThem) {
  const std::string source = "FROM a\nMAINTAINER b\nAUTHOR c\n";
  const LintResult result = lintDockerfile(source, {});
  EXPECT_EQ(result.warnings.size(), 1u);
  EXPECT_EQ(checkError(result, "Dockerfile", source),
            "dockerfile parse error on line 3: unknown instruction: AUTHOR\nDockerfile:3\n--------------------\n"
            "   1 |     FROM a\n   2 |     MAINTAINER b\n   3 | >>> AUTHOR c\n   4 |     \n--------------------\n");
}

TEST(Lint, StagesInheritWhatTheyBuildOn) {
  EXPECT_THAT(warnings("FROM a AS x\nENV V=1\nWORKDIR /w\nCMD [\"a\"]\nFROM x\nENV W=$V\nWORKDIR rel\nCMD [\"b\"]\n"),
              IsEmpty());
  LintOptions options;
  options.base = [](size_t) { return BaseFacts{.env = {"FROM_BASE=1"}, .hasShell = true}; };
  EXPECT_THAT(warnings("FROM a\nENV X=$FROM_BASE\nCMD y\n", options), IsEmpty());
}

}  // namespace
}  // namespace estiba::build
