#include "build/dockerfile/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace estiba::build {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Origin::Kind;

std::string errorOf(std::string_view text, const PlanOptions& options = {}) {
  try {
    planBuild(readDockerfile(text), options);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

constexpr std::string_view kThree =
    "FROM golang AS Build\nRUN make\nWORKDIR /x\nFROM busybox\nRUN bad\nFROM scratch AS last\n"
    "COPY --from=build /a /a\nCOPY --from=busybox:1 /b /b\nRUN --mount=from=build,target=/m "
    "--mount=type=cache,target=/c x\n";

TEST(Stages, AreRefusedInDockersWords) {
  EXPECT_EQ(errorOf(""), "the Dockerfile cannot be empty");
  EXPECT_EQ(errorOf("\n# x\n"), "file with no instructions");
  EXPECT_EQ(errorOf("RUN true\n"), "no build stage in current context");
  EXPECT_EQ(errorOf("ARG x\n"), "dockerfile contains no stages to build");
  EXPECT_EQ(errorOf("FROM busybox\nAUTHOR ana@example.com\n"),
            "dockerfile parse error on line 2: unknown instruction: AUTHOR");
  EXPECT_EQ(errorOf("FROM ${X}\n"), "base name (${X}) should not be blank");
  EXPECT_EQ(errorOf("FROM a\nCOPY --from=7 a b\n"), "invalid stage index 7");
  EXPECT_EQ(
      errorOf("FROM a\nCOPY --from=$x a b\n"),
      "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as "
      "a workaround");
  EXPECT_EQ(errorOf("FROM a AS me\nCOPY --from=me a b\n"), "circular dependency detected on stage: me");
  EXPECT_EQ(errorOf("FROM a AS x\nCOPY --from=y a b\nFROM a AS y\nCOPY --from=x a b\n"),
            "circular dependency detected on stage: x");
  EXPECT_EQ(errorOf("FROM a AS x\nCOPY --from=y a b\nFROM a AS y\n", {.target = "x"}),
            "cannot copy from stage \"y\", it needs to be defined before current stage \"x\"");
  EXPECT_EQ(errorOf("FROM --platform=$X a\n"), "empty platform value from expression $X");
  EXPECT_EQ(errorOf("FROM --platform=$TARGETPLATFROM a\n"),
            "empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)");
}

TEST(Stages, TargetIsFoundByNameAndNumberOrSuggested) {
  const Dockerfile file = readDockerfile(kThree);
  EXPECT_EQ(planBuild(file, {}).target, 2u);
  EXPECT_EQ(planBuild(file, {.target = "BUILD"}).target, 0u);
  EXPECT_EQ(planBuild(file, {.target = "1"}).target, 1u);
  EXPECT_EQ(errorOf(kThree, {.target = "biuld"}), "target stage \"biuld\" could not be found (did you mean build?)");
  EXPECT_EQ(errorOf(kThree, {.target = "nothing"}), "target stage \"nothing\" could not be found");
}

TEST(Stages, OnlyWhatTheTargetNeedsIsReachable) {
  const Plan plan = planBuild(readDockerfile(kThree), {});
  EXPECT_THAT(plan.order, ElementsAre(0, 2));
  const PlannedStage& last = plan.stages[2];
  EXPECT_EQ(last.base.kind, Kind::scratch);
  EXPECT_THAT(last.needs, ElementsAre(0));
  EXPECT_EQ(last.origins[0][0], (Origin{Kind::stage, 0, ""}));
  EXPECT_EQ(last.origins[1][0], (Origin{Kind::image, 0, "busybox:1"}));
  EXPECT_EQ(last.origins[2][0].kind, Kind::stage);
  EXPECT_EQ(last.origins[2][1].kind, Kind::context);
  EXPECT_THAT(planBuild(readDockerfile(kThree), {.target = "build"}).order, ElementsAre(0));
}

TEST(Stages, StepsAreCountedAndNamedAsBuildKitDoes) {
  const Plan plan = planBuild(readDockerfile(kThree), {});
  EXPECT_EQ(plan.stages[0].totalSteps, 3);
  EXPECT_EQ(plan.stages[0].displayName, "build");
  EXPECT_EQ(plan.stages[1].displayName, "stage-1");
  EXPECT_EQ(plan.stages[2].totalSteps, 3);

  const Plan one = planBuild(readDockerfile("FROM busybox\nENV a=b\nRUN echo hola > /a\n"), {});
  StepNumbers numbers(one.stages[0].displayName, one.stages[0].totalSteps);
  EXPECT_EQ(numbers.next("FROM busybox"), "[1/2] FROM busybox");
  EXPECT_EQ(numbers.next("RUN echo hola > /a"), "[2/2] RUN echo hola > /a");
  EXPECT_EQ(StepNumbers("b", 10, "linux/arm64").next("RUN x", true), "[linux/arm64 b  1/10] ONBUILD RUN x");
  EXPECT_EQ(StepNumbers("", 0).next("FROM scratch"), "FROM scratch");
  EXPECT_EQ(planBuild(readDockerfile("FROM a\nCOPY --from=b /c /d\n"), {}).stages[0].displayName, "stage-0");
}

TEST(Stages, LaterStagesOfTheSameNameWinForCopies) {
  const Plan plan = planBuild(readDockerfile("FROM a AS x\nFROM x AS x\nFROM scratch\nCOPY --from=X a b\n"), {});
  EXPECT_EQ(plan.stages[1].base, (Origin{Kind::stage, 0, ""}));
  EXPECT_EQ(plan.stages[2].origins[0][0].stage, 1u);
  EXPECT_THAT(plan.order, ElementsAre(0, 1, 2));
}

TEST(Stages, GlobalArgsReachFrom) {
  const Dockerfile file =
      readDockerfile("ARG BASE=busybox\nARG FULL=${BASE}:$TAG\nARG TAG=1\nFROM --platform=$BUILDPLATFORM $FULL\n");
  EXPECT_EQ(planBuild(file, {}).stages[0].base.image, "busybox:");
  const Plan plan = planBuild(file, {.buildArgs = {{"BASE", "alpine"}, {"NOBODY", "1"}, {"HTTP_PROXY", "p"}}});
  EXPECT_EQ(plan.stages[0].base.image, "alpine:");
  EXPECT_EQ(plan.stages[0].platform, "linux/amd64");
  EXPECT_THAT(plan.unused, ElementsAre("NOBODY"));
}

TEST(Stages, NamedContextsReplaceImagesAndStages) {
  const PlanOptions options{.namedContexts = {"busybox", "x"}};
  const Plan plan = planBuild(readDockerfile("FROM busybox AS y\nFROM a AS x\nCOPY --from=y a b\n"), options);
  EXPECT_EQ(plan.stages[0].base, (Origin{Kind::named, 0, "busybox"}));
  EXPECT_EQ(plan.stages[1].base, (Origin{Kind::named, 0, "x"}));
}

TEST(Stages, OnbuildTriggersGoInFrontOfTheChild) {
  Dockerfile file =
      readDockerfile("FROM a AS p\nONBUILD COPY --from=q x /x\nFROM b AS q\nFROM p\nRUN y\nFROM c\nRUN z\n");
  const Plan plan = planWithTriggers(file, {.target = "2"}, {{0, {"RUN first"}}});
  EXPECT_EQ(file.stages[0].instructions.front().text, "RUN first");
  EXPECT_EQ(file.stages[2].instructions.front().text, "COPY --from=q x /x");
  EXPECT_EQ(file.stages[2].instructions.front().lines, (LineRange{4, 4}));
  EXPECT_EQ(plan.stages[2].totalSteps, 2);
  EXPECT_EQ(plan.stages[0].totalSteps, 2);
  EXPECT_THAT(plan.order, ElementsAre(0, 1, 2));
  EXPECT_EQ(file.stages[3].instructions.size(), 1u);
}

TEST(Stages, ArgsTakeTheirValuesInDockersOrder) {
  const PlanOptions options{.buildArgs = {{"GIVEN", "cli"}}};
  const Variables globals({"GLOBAL=g", "TARGETARCH=arm64"});
  const Variables env({"V=1"});
  const auto value = [&](std::string key, std::optional<std::string> fallback) {
    return argValue({std::move(key), std::move(fallback), ""}, options, globals, env, '\\');
  };
  EXPECT_EQ(value("GIVEN", "default"), "cli");
  EXPECT_EQ(value("OTHER", "$V-x"), "1-x");
  EXPECT_EQ(value("GLOBAL", std::nullopt), "g");
  EXPECT_EQ(value("TARGETARCH", std::nullopt), "arm64");
  EXPECT_EQ(value("NOTHING", std::nullopt), std::nullopt);
  EXPECT_TRUE(isProxyArg("no_PROXY"));
  EXPECT_TRUE(isPlatformArg("TARGETVARIANT"));
  EXPECT_FALSE(isPlatformArg("HTTP_PROXY"));
}

TEST(Stages, PlatformArgsDescribeBothSides) {
  const PlanOptions options{.buildPlatform = {}, .targetPlatform = {"linux", "arm64", "v8", ""}};
  const Variables args = platformArgs(options, "");
  EXPECT_EQ(args.get("TARGETPLATFORM"), "linux/arm64/v8");
  EXPECT_EQ(args.get("BUILDARCH"), "amd64");
  EXPECT_EQ(args.get("TARGETSTAGE"), "default");
}

TEST(Stages, ManyStagesInALongChainAreNoTrouble) {
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += fmt::format("FROM {}\nCOPY --from={} a b\n", i ? fmt::format("s{}", i) : "x", i + 1);
  text += "FROM x\n";
  EXPECT_EQ(planBuild(readDockerfile(text), {}).order.size(), 1u);
}

}  // namespace
}  // namespace estiba::build
