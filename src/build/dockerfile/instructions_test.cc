#include "build/dockerfile/instructions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build/dockerfile/describe.h"

namespace estiba::build {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

Instruction read(std::string_view line) {
  return parseInstruction(parseDockerfile(line).instructions.at(0));
}

template <class T>
T readAs(std::string_view line) {
  return std::get<T>(read(line).body);
}

std::string errorOf(std::string_view line) {
  try {
    const Instruction instruction = read(line);
    expandInstruction(instruction, {}, '\\');
  } catch (const DockerfileError& e) {
    return e.what();
  }
  return "";
}

std::string mountError(std::string_view mount) {
  return errorOf("RUN --mount=" + std::string(mount) + " x");
}

TEST(Instructions, FromTakesPlatformAndName) {
  const auto from = readAs<FromInstruction>("FROM --platform=$BUILDPLATFORM golang:1.22 AS Builder");
  EXPECT_EQ(from.image, "golang:1.22");
  EXPECT_EQ(from.name, "builder");
  EXPECT_EQ(from.platform, "$BUILDPLATFORM");
  EXPECT_EQ(errorOf("FROM a b"), "FROM requires either one or three arguments");
  EXPECT_EQ(errorOf("FROM a as 1x"),
            "invalid name for build stage: \"1x\", name can't start with a number or contain symbols");
  EXPECT_EQ(errorOf("FROM --platfrm=x a"), "unknown flag: --platfrm (did you mean platform?)");
}

TEST(Instructions, RefusesInBuildKitsWords) {
  EXPECT_EQ(errorOf("AUTHOR x"), "unknown instruction: AUTHOR");
  EXPECT_EQ(errorOf("FRM x"), "unknown instruction: FRM (did you mean FROM?)");
  EXPECT_EQ(errorOf("form x"), "unknown instruction: form (did you mean from?)");
  EXPECT_EQ(errorOf("COPY a"),
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined");
  EXPECT_EQ(errorOf("COPY --chwon=1 a b"), "unknown flag: --chwon (did you mean chown?)");
  EXPECT_EQ(errorOf("COPY --chown=1 --chown=2 a b"), "duplicate flag specified: --chown");
  EXPECT_EQ(errorOf("COPY --chown a b"), "missing a value on flag: --chown");
  EXPECT_EQ(errorOf("COPY --link=maybe a b"), "expecting boolean value for flag --link, not: maybe");
  EXPECT_EQ(errorOf("COPY --link= a b"), "missing a value on flag: --link");
  EXPECT_EQ(errorOf("COPY a <<EOF\nEOF\n"), "COPY cannot accept a heredoc as a destination");
  EXPECT_EQ(errorOf("WORKDIR"), "WORKDIR requires exactly one argument");
  EXPECT_EQ(errorOf("ENV"), "ENV requires at least one argument");
  EXPECT_EQ(errorOf("ENV =a"), "ENV names can not be blank");
  EXPECT_EQ(errorOf("ARG =a"), "ARG names can not be blank");
  EXPECT_EQ(errorOf("SHELL sh -c"), "SHELL requires the arguments to be in JSON form");
  EXPECT_EQ(errorOf("VOLUME [\"\"]"), "VOLUME specified can not be an empty string");
  EXPECT_EQ(errorOf("ONBUILD"), "ONBUILD requires at least one argument");
  EXPECT_EQ(errorOf("ONBUILD ONBUILD RUN x"), "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  EXPECT_EQ(errorOf("ONBUILD FROM x"), "FROM isn't allowed as an ONBUILD trigger");
  EXPECT_EQ(errorOf("HEALTHCHECK CONNECT x"), "Unknown type \"CONNECT\" in HEALTHCHECK (try CMD)");
  EXPECT_EQ(errorOf("HEALTHCHECK NONE x"), "HEALTHCHECK NONE takes no arguments");
  EXPECT_EQ(errorOf("HEALTHCHECK CMD"), "Missing command after HEALTHCHECK CMD");
  EXPECT_EQ(errorOf("HEALTHCHECK --interval=1us CMD x"), "Interval \"interval\" cannot be less than 1ms");
  EXPECT_EQ(errorOf("HEALTHCHECK --retries=-1 CMD x"), "--retries cannot be negative (-1)");
  EXPECT_EQ(errorOf("HEALTHCHECK --interval=5 CMD x"), "time: missing unit in duration \"5\"");
  EXPECT_EQ(errorOf("RUN --network=foo x"), "invalid network mode \"foo\"");
  EXPECT_EQ(errorOf("RUN --security=foo x"), "security \"foo\" is not valid");
  EXPECT_EQ(errorOf("COPY --chmod=99999 a b"),
            "invalid chmod parameter: '99999'. it should be octal string and between 0 and 07777");
  EXPECT_EQ(errorOf("COPY --chmod=u=rwX,go=rX a b"), "");
  EXPECT_EQ(errorOf("COPY http://a/b /c"), "source can't be a URL for COPY");
  EXPECT_EQ(errorOf("ADD --checksum=sha256:00 a b"), "checksum requires HTTP(S) or Git sources");
  EXPECT_EQ(errorOf("STOPSIGNAL SIGWHAT"), "invalid signal: SIGWHAT");
  EXPECT_EQ(errorOf("STOPSIGNAL sigusr1"), "");
}

TEST(Instructions, CopyKnowsItsFlags) {
  const auto copy = readAs<CopyInstruction>(
      "COPY --from=a --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude=x a \"b c\" /d/");
  EXPECT_EQ(copy.from, "a");
  EXPECT_EQ(copy.chown, "1:2");
  EXPECT_TRUE(copy.link && copy.parents && !copy.add);
  EXPECT_THAT(copy.excludes, ElementsAre("*.o", "x"));
  EXPECT_THAT(copy.sources, ElementsAre("a", "\"b", "c\""));
  const auto add = readAs<CopyInstruction>("ADD --keep-git-dir=true --unpack=false --checksum=sha256:1 http://x /y");
  EXPECT_EQ(add.keepGitDir, true);
  EXPECT_EQ(add.unpack, false);
  EXPECT_TRUE(add.add);
}

TEST(Instructions, CopyTakesInlineFiles) {
  const Instruction copy = read("COPY <<A <<-\"B\" src /d/\nx $V\nA\n\t$V\nB\n");
  const auto expanded = expandInstruction(copy, Variables({"V=1"}), '\\');
  const auto* body = expanded.instruction.as<CopyInstruction>();
  ASSERT_EQ(body->inlineFiles.size(), 2u);
  EXPECT_EQ(body->inlineFiles[0].content, "x 1\n");
  EXPECT_EQ(body->inlineFiles[1].content, "$V\n");
  EXPECT_THAT(body->sources, ElementsAre("src"));
  EXPECT_THAT(expanded.used, ElementsAre("V"));
}

TEST(Instructions, HealthcheckTakesAllOptions) {
  const auto health = readAs<HealthcheckInstruction>(
      "HEALTHCHECK --interval=1m30s --timeout=3s --start-period=5s --start-interval=1s --retries=4 CMD curl -f x");
  EXPECT_THAT(health.test, ElementsAre("CMD-SHELL", "curl -f x"));
  EXPECT_EQ(health.interval, 90s);
  EXPECT_EQ(health.timeout, 3s);
  EXPECT_EQ(health.startPeriod, 5s);
  EXPECT_EQ(health.startInterval, 1s);
  EXPECT_EQ(health.retries, 4);
  EXPECT_THAT(readAs<HealthcheckInstruction>("HEALTHCHECK NONE").test, ElementsAre("NONE"));
  EXPECT_THAT(readAs<HealthcheckInstruction>("HEALTHCHECK CMD [\"a\",\"b\"]").test, ElementsAre("CMD", "a", "b"));
}

TEST(Instructions, OnbuildKeepsItsTriggerWithHeredocs) {
  EXPECT_EQ(readAs<OnbuildInstruction>("onbuild   RUN  echo a").trigger, "RUN  echo a");
  const auto trigger = readAs<OnbuildInstruction>("ONBUILD RUN <<E\nx\nE\n").trigger;
  EXPECT_EQ(trigger, "RUN <<E\nx\nE");
  const Instruction run = parseOnbuildTrigger(trigger, {7, 7});
  EXPECT_EQ(run.lines, (LineRange{7, 7}));
  EXPECT_TRUE(run.fromOnbuild);
  EXPECT_EQ(run.as<RunInstruction>()->heredocs.at(0).content, "x\n");
  EXPECT_THROW(parseOnbuildTrigger("RUN a\nRUN b", {1, 1}), DockerfileError);
}

TEST(Instructions, ArgsTakeDescriptionsFromComments) {
  const auto arg = readAs<ArgInstruction>("# who the one to greet\nARG who=x none");
  EXPECT_EQ(arg.args[0].description, "the one to greet");
  EXPECT_EQ(arg.args[0].value, "x");
  EXPECT_FALSE(arg.args[1].value);
}

TEST(Instructions, ExpansionReachesTheRightPlaces) {
  const Variables env({"A=1", "DIR=/d", "PORTS=80 443/udp", "N=NAME"});
  const auto at = [&](std::string_view line) { return expandInstruction(read(line), env, '\\'); };
  EXPECT_EQ(at("ENV $N=$A").instruction.as<EnvInstruction>()->pairs[0].key, "NAME");
  EXPECT_EQ(at("ENV x \"$A\"").instruction.as<EnvInstruction>()->pairs[0].value, "1");
  EXPECT_EQ(at("WORKDIR $DIR/x").instruction.as<WorkdirInstruction>()->path, "/d/x");
  EXPECT_THAT(at("EXPOSE $PORTS 53/udp").instruction.as<ExposeInstruction>()->ports,
              ElementsAre("80", "443/udp", "53/udp"));
  EXPECT_EQ(at("CMD echo $A").instruction.as<CmdInstruction>()->args[0], "echo $A");
  EXPECT_EQ(at("RUN --mount=type=cache,target=$DIR x").instruction.as<RunInstruction>()->mounts[0].target, "/d");
  EXPECT_THAT(at("USER $NOBODY").unset, ElementsAre("NOBODY"));
  EXPECT_EQ(errorOf("WORKDIR ${x"), "failed to process \"${x\": unsupported modifier (\xef\xbf\xbd) in substitution");
}

TEST(RunMounts, AreReadWithEveryKey) {
  const RunMount bind = parseRunMount("target=/a,src=b,from=c,rw");
  EXPECT_EQ(bind.type, MountType::bind);
  EXPECT_EQ(bind.from + bind.source + bind.target, "cb/a");
  EXPECT_FALSE(bind.readOnly);
  const RunMount cache = parseRunMount("type=cache,dst=/c,id=x,sharing=locked,mode=0700,uid=1,gid=2,ro");
  EXPECT_EQ(cache.sharing, CacheSharing::locked);
  EXPECT_EQ(cache.mode, 0700u);
  EXPECT_EQ(cache.uid, 1u);
  EXPECT_EQ(cache.gid, 2u);
  EXPECT_TRUE(cache.readOnly);
  EXPECT_FALSE(parseRunMount("type=cache,target=/c").readOnly);
  EXPECT_EQ(parseRunMount("type=tmpfs,destination=/t,size=64m").sizeBytes, 64 << 20);
  const RunMount secret = parseRunMount("type=secret,id=tok,env=TOKEN,required,\"target=/a,b\"");
  EXPECT_TRUE(secret.required);
  EXPECT_EQ(secret.env, "TOKEN");
  EXPECT_EQ(secret.target, "/a,b");
  EXPECT_EQ(parseRunMount("type=secret,source=tok").id, "tok");
  EXPECT_EQ(parseRunMount("type=secret,target=/etc/passwd").id, "passwd");
  EXPECT_EQ(parseRunMount("type=ssh,required=true").type, MountType::ssh);
}

TEST(RunMounts, AreRefusedInBuildKitsWords) {
  EXPECT_EQ(mountError("type=secrt"), "unsupported mount type \"secrt\" (did you mean secret?)");
  EXPECT_EQ(mountError("type=bind,targt=/x"), "unexpected key 'targt' in 'targt=/x' (did you mean target?)");
  EXPECT_EQ(mountError("foo"), "invalid field 'foo' must be a key=value pair");
  EXPECT_EQ(mountError("type=bind,size=1m"), "unexpected key 'size' for mount type 'bind'");
  EXPECT_EQ(mountError("type=tmpfs,target=/x,size=abc"), "invalid value for size: abc");
  EXPECT_EQ(mountError("type=bind,target=/x,mode=755"), "mode not allowed for \"bind\" type mounts");
  EXPECT_EQ(mountError("type=cache,mode=9"), "invalid value 9 for mode");
  EXPECT_EQ(mountError("type=cache,sharing=all"), "unsupported sharing value \"all\"");
  EXPECT_EQ(mountError("type=tmpfs,sharing=shared"), "invalid cache sharing set for tmpfs mount");
  EXPECT_EQ(mountError("type=secret"), "invalid secret mount. one of source, target required");
  EXPECT_EQ(mountError("type=secret,id=a,src=b"), "both source and id can't be set");
  EXPECT_EQ(mountError("type=secret,id=a,from=b"), "secret mount should not have a from");
  EXPECT_EQ(mountError("type=bind,ro=x"), "invalid value for ro: x");
  EXPECT_EQ(mountError("from=$x,target=/y"), "'from' doesn't support variable expansion, define alias stage instead");
}

TEST(Expose, ReadsPortsAndRanges) {
  EXPECT_THAT(parseExposePorts({"80", "53/UDP", "8000-8002/tcp", "127.0.0.1:1:2"}),
              ElementsAre("80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp", "2/tcp"));
  const auto error = [](const std::string& port) -> std::string {
    try {
      parseExposePorts({port});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error("x"), "invalid containerPort: x");
  EXPECT_EQ(error("70000"), "invalid containerPort: 70000");
  EXPECT_EQ(error("2-1"), "invalid containerPort: 2-1");
  EXPECT_EQ(error("80/foo"), "invalid port: \"80/foo\": invalid proto: foo");
  EXPECT_EQ(error("/tcp"), "invalid port: \"/tcp\": no port specified");
  EXPECT_EQ(error("x:1:2"), "invalid IP address: x");
}

std::string history(std::string_view line, const HistoryContext& context = {}) {
  return historyText(expandInstruction(read(line), Variables({"V=1"}), '\\').instruction, context);
}

TEST(History, IsAsDockerWritesIt) {
  EXPECT_EQ(history("RUN echo hola > /a"), "RUN /bin/sh -c echo hola > /a # buildkit");
  EXPECT_EQ(history("RUN [\"a\", \"b\"]"), "RUN a b # buildkit");
  HistoryContext args;
  args.buildArgs = {{"WHO", "ana"}, {"N", ""}};
  EXPECT_EQ(history("RUN echo $WHO", args), "RUN |2 WHO=ana N= /bin/sh -c echo $WHO # buildkit");
  EXPECT_EQ(history("ARG WHO=x", args), "ARG WHO=ana");
  EXPECT_EQ(history("COPY --from=x --chown=1 a b$V /c"), "COPY --chown=1 a b1 /c # buildkit");
  EXPECT_EQ(history("ADD <<E /c\nE\n"), "ADD <<E /c # buildkit");
  EXPECT_EQ(history("ENV a=$V b=\"c d\""), "ENV a=1 b=c d");
  EXPECT_EQ(history("LABEL a b"), "LABEL a=b");
  EXPECT_EQ(history("CMD python3"), "CMD [\"/bin/sh\" \"-c\" \"python3\"]");
  EXPECT_EQ(history("ENTRYPOINT [\"a\", \"b\"]"), "ENTRYPOINT [\"a\" \"b\"]");
  EXPECT_EQ(history("EXPOSE 80 53/udp"), "EXPOSE map[53/udp:{} 80/tcp:{}]");
  EXPECT_EQ(history("VOLUME /a /b"), "VOLUME [/a /b]");
  EXPECT_EQ(history("SHELL [\"/bin/sh\",\"-ec\"]"), "SHELL [/bin/sh -ec]");
  EXPECT_EQ(history("HEALTHCHECK --interval=5s --retries=3 CMD true"),
            "HEALTHCHECK &{[\"CMD-SHELL\" \"true\"] \"5s\" \"0s\" \"0s\" \"0s\" '\\x03'}");
  EXPECT_EQ(history("STOPSIGNAL 9"), "STOPSIGNAL 9");
  EXPECT_EQ(history("MAINTAINER a b"), "MAINTAINER a b");
  EXPECT_EQ(history("ONBUILD RUN a"), "");
  HistoryContext there;
  there.workdir = resolveWorkdir("/a", "b/../c");
  EXPECT_EQ(history("WORKDIR c", there), "WORKDIR /a/c");
  EXPECT_TRUE(makesLayer(read("WORKDIR c"), there));
  EXPECT_FALSE(makesLayer(read("ENV a=b"), {}));
}

TEST(Display, ShowsStepsAsBuildKitDoes) {
  const Variables env({"V=1"});
  const auto shown = [&](std::string_view line) { return displayText(read(line), env, '\\'); };
  EXPECT_EQ(shown("run echo \"$V\" $W"), "RUN echo \"1\" $W");
  EXPECT_EQ(shown("COPY \"a\" $V $W /d"), "COPY a 1  /d");
  EXPECT_EQ(shown("RUN <<EOF\n\necho a\necho b\nEOF\n"), "RUN <<EOF (echo a...)");
  EXPECT_EQ(shown("RUN echo 'open"), "RUN echo 'open");
}

TEST(RunArgv, PutsHeredocsBack) {
  const std::vector<std::string> shell{"/bin/sh", "-c"};
  const auto argv = [&](std::string_view line) { return runArgv(readAs<RunInstruction>(line), shell); };
  EXPECT_THAT(argv("RUN <<EOF\necho a\nEOF\n"), ElementsAre("/bin/sh", "-c", "echo a\n"));
  EXPECT_THAT(argv("RUN <<-EOF\n\techo a\n\tEOF\n"), ElementsAre("/bin/sh", "-c", "echo a\n"));
  EXPECT_THAT(argv("RUN cat <<A > /x <<B\n1\nA\n2\nB\n"), ElementsAre("/bin/sh", "-c", "cat <<A > /x <<B\n1\nA\n2\nB"));
  const auto script = readAs<RunInstruction>("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n");
  EXPECT_THAT(runArgv(script, shell), ElementsAre("/bin/sh", "-c", "/dev/pipes/EOF"));
  EXPECT_EQ(runScript(script)->content, "#!/usr/bin/env python3\nprint(1)\n");
  EXPECT_THAT(argv("RUN [\"a\", \"b\"]"), ElementsAre("a", "b"));
}

TEST(Excerpt, ShowsTheLinesAround) {
  const std::string source = "FROM busybox\nRUN echo before\nRUN sh -c \"exit 42\"\nRUN echo after";
  EXPECT_EQ(sourceExcerpt("Dockerfile", source, {{3, 3}}),
            "Dockerfile:3\n--------------------\n   1 |     FROM busybox\n   2 |     RUN echo before\n"
            "   3 | >>> RUN sh -c \"exit 42\"\n   4 |     RUN echo after\n--------------------\n");
  EXPECT_EQ(
      sourceExcerpt("D", "a\nb\nc\nd\ne\n", {{2, 3}}),
      "D:2\n--------------------\n   1 |     a\n   2 | >>> b\n   3 | >>> c\n   4 |     d\n--------------------\n");
  EXPECT_EQ(sourceExcerpt("D", "a", {{7, 7}}), "");
  EXPECT_EQ(sourceExcerpt("D", "a", {}), "");
}

}  // namespace
}  // namespace estiba::build
