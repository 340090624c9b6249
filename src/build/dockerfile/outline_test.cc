#include "build/dockerfile/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace estiba::build {
namespace {

using ::testing::ElementsAre;

Outline outline(std::string_view text, const PlanOptions& options = {}) {
  return outlineOf(readDockerfile(text), options);
}

std::vector<std::string> argsOf(const Outline& outline) {
  std::vector<std::string> out;
  for (const auto& a : outline.args) out.push_back(fmt::format("{}={} {} {}", a.name, a.value, a.lines.first, a.description));
  return out;
}

std::vector<std::string> idsOf(const std::vector<Outline::Mount>& mounts) {
  std::vector<std::string> out;
  for (const auto& m : mounts) out.push_back(fmt::format("{} {}{}", m.id, m.lines.first, m.required ? " required" : ""));
  return out;
}

TEST(Outline, ShowsTheArgumentsOfTheTargetAndOfWhatItNeeds) {
  PlanOptions options;
  options.target = "target";
  options.buildArgs["BAR"] = "678";
  const Outline got = outline(R"(ARG inherited=box
ARG inherited2=box2
ARG unused=abc${inherited2}
# sfx is a suffix
ARG sfx="usy${inherited}"

FROM b${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456

FROM alpine${unused} AS second
ARG BAZ

FROM scratch AS third
ARG ABC=a
# check=skip=all
ARG password
# alternate_password will show up in the outline
# check=skip=all
ARG alternate_password

# target defines build target
FROM third AS target
COPY --from=first /etc/passwd /

FROM second
)",
                              options);
  EXPECT_EQ(got.name, "target");
  EXPECT_EQ(got.description, "defines build target");
  EXPECT_THAT(argsOf(got),
              ElementsAre("inherited=box 1 ", "sfx=usybox 5 is a suffix", "FOO=123 9 ", "BAR=678 11 is a number",
                          "ABC=a 17 ", "password= 19 ", "alternate_password= 22 will show up in the outline"));
}

TEST(Outline, AnArgumentThatIsDefinedAgainNeedsWhatItNeededBefore) {
  EXPECT_THAT(argsOf(outline("ARG FOO=123\nARG ABC=abc\nARG DEF=def\nARG FOO=${FOO}${ABC}\nARG BAR=${FOO}456\n"
                             "ARG FOO=${FOO}456${BAR}\nFROM scratch\nARG FOO\n")),
              ElementsAre("ABC=abc 2 ", "BAR=123abc456 5 ", "FOO=123abc456123abc456 6 "));
}

TEST(Outline, AStageSeesItsOwnVariablesInDefaults) {
  EXPECT_THAT(argsOf(outline("FROM scratch\nENV A=1\nARG B=${A}2\nARG C=${B}3\n")),
              ElementsAre("B=12 3 ", "C=123 4 "));
}

TEST(Outline, ShowsSecretsAndAgentsOfTheTargetOnly) {
  PlanOptions options;
  options.target = "target";
  options.buildArgs["BAR"] = "678";
  const Outline got = outline(R"(FROM busybox AS first
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true
FROM alpine AS second
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true
FROM scratch AS third
ARG BAR
RUN --mount=type=secret,id=second${BAR} true
FROM third AS target
COPY --from=first /foo /
RUN --mount=type=ssh,id=ssh3,required true
FROM second
)",
                              options);
  EXPECT_THAT(idsOf(got.secrets), ElementsAre("passwd 2 required", "second678 7"));
  EXPECT_THAT(idsOf(got.agents), ElementsAre("default 2", "ssh3 10 required"));
}

TEST(Outline, AnUnknownTargetIsAnError) {
  PlanOptions options;
  options.target = "nohay";
  EXPECT_THROW(outline("FROM scratch\n", options), Error);
}

}  // namespace
}  // namespace estiba::build
