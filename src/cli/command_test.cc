#include "cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/flag_values.h"
#include "cli/golden_test.h"

namespace estiba::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

int echo(Cli& cli, const Parsed& parsed) {
  cli.out() << join(parsed.args, ",") << '\n';
  return 0;
}

const Flag kTimeout = intFlag("timeout", 't', "Seconds to wait before killing the container");

const Command kStop{
    .name = "stop",
    .args = "CONTAINER [CONTAINER...]",
    .summary = "Stop one or more running containers",
    .flags = {stringFlag("signal", 's', "Signal to send to the container"), kTimeout, deprecatedFlag("time", kTimeout)},
    .arity = atLeast(1),
    .shortcut = "stop",
    .run = echo};
const Command kPs{
    .name = "ls",
    .args = "",
    .summary = "List containers",
    .flags = {boolFlag("all", 'a', "Show all containers (default shows just running)"),
              filterFlag('f', "Filter output based on conditions provided"),
              stringFlag("format", 0,
                         "Format output using a custom template:\n"
                         "'table':            Print output in table format with column headers (default)\n"
                         "'table TEMPLATE':   Print output in table format using the given Go template\n"
                         "'json':             Print in JSON format\n"
                         "'TEMPLATE':         Print output using the given Go template.\n"
                         "Refer to https://docs.docker.com/go/formatting/ for more information about formatting "
                         "output with templates"),
              intFlag("last", 'n', "Show n last created containers (includes all states)", "-1"),
              boolFlag("latest", 'l', "Show the latest created container (includes all states)"),
              boolFlag("no-trunc", 0, "Don't truncate output"), boolFlag("quiet", 'q', "Only display container IDs"),
              boolFlag("size", 's', "Display total file sizes")},
    .aliases = {"list", "ps"},
    .shortcut = "ps",
    .run = echo};
const Command kRun{.name = "run",
                   .args = "IMAGE [COMMAND] [ARG...]",
                   .summary = "Create and run a new container from an image",
                   .flags = {boolFlag("interactive", 'i', "Keep STDIN open even if not attached"),
                             boolFlag("tty", 't', "Allocate a pseudo-TTY"),
                             boolFlag("rm", 0, "Remove it"),
                             listFlag("volume", 'v', "Bind mount a volume"),
                             stringFlag("name", 0, "Assign a name to the container"),
                             stringFlag("hostname", 'h', "Container host name"),
                             stringFlag("pull", 0, "Pull image", "missing"),
                             listFlag("env", 'e', "Set environment variables").checked(checkEnv),
                             bytesFlag("memory", 'm', "Memory limit"),
                             swapBytesFlag("memory-swap", 0, "Swap limit"),
                             decimalFlag("cpus", 0, "Number of CPUs"),
                             customFlag("ulimit", 0, "ulimit", "Ulimit options", checkUlimit, "[]"),
                             customFlag("mount", 0, "mount", "Attach a filesystem mount", checkMount),
                             customFlag("gpus", 0, "gpu-request", "GPU devices", checkGpus),
                             customFlag("network", 0, "network", "Connect to a network", checkNetwork),
                             listFlag("device-read-bps", 0, "Limit").checked(checkThrottleBps),
                             listFlag("device-read-iops", 0, "Limit").checked(checkThrottleIops),
                             listFlag("blkio-weight-device", 0, "Weight").checked(checkWeightDevice),
                             uint16Flag("blkio-weight", 0, "Block IO"),
                             durationFlag("health-interval", 0, "Time"),
                             mapFlag("sysctl", 0, "Sysctl options").checked(checkSysctl),
                             listFlag("label", 'l', "Labels").checked(checkLabel),
                             listFlag("attach", 'a', "Attach").checked(checkAttach),
                             listFlag("add-host", 0, "Hosts").checked(checkExtraHost),
                             listFlag("link", 0, "Link").checked(checkLink),
                             listFlag("dns", 0, "DNS").checked(checkIpAddress),
                             listFlag("dns-search", 0, "DNS").checked(checkDnsSearch),
                             intFlag("cpu-count", 0, "CPU count (Windows only)").refused("it is for Windows")},
                   .arity = atLeast(1),
                   .interspersed = false,
                   .errorExit = 125,
                   .shortcut = "run",
                   .run = [](Cli& cli, const Parsed& parsed) {
                     if (parsed.args[0] == "missing") fail(Code::not_found, "No such image: missing");
                     if (parsed.args[0] == "silent") throw ExitError(42, "");
                     return echo(cli, parsed);
                   }};
const Command kCp{.name = "cp",
                  .args = "CONTAINER:SRC_PATH DEST_PATH|-\nSRC_PATH|- CONTAINER:DEST_PATH",
                  .summary = "Copy files/folders between a container and the local filesystem",
                  .flags = {boolFlag("archive", 'a', "Archive mode (copy all uid/gid information)")},
                  .arity = exactly(2),
                  .shortcut = "cp",
                  .run = echo};
const Command kCommit{.name = "commit",
                      .args = "CONTAINER [REPOSITORY[:TAG]]",
                      .summary = "Create a new image from a container's changes",
                      .arity = between(1, 2),
                      .shortcut = "commit",
                      .run = echo};
const Command kLogin{
    .name = "login", .args = "[SERVER]", .summary = "Authenticate to a registry", .arity = atMost(1), .run = echo};
const Command kContainer{
    .name = "container", .summary = "Manage containers", .children = {&kStop, &kPs, &kRun, &kCp, &kCommit}};

const Tree& tree() {
  static const Tree kTree{
      .summary = "A container engine",
      .globals = {boolFlag("debug", 'D', "Enable debug mode"), listFlag("host", 'H', "Daemon socket to connect to"),
                  stringFlag("log-level", 'l', R"(Set the logging level ("debug", "info", "warn", "error", "fatal"))",
                             "info"),
                  boolFlag("version", 'v', "Print version information and quit")},
      .children = {&kContainer, &kLogin},
      .common = {"run", "ps", "login"},
      .footer = {},
      .versionLine = "Docker version 28"};
  return kTree;
}

struct Outcome {
  int code;
  std::string out, err;
};

Outcome call(std::vector<std::string> args) {
  args.insert(args.begin(), "docker");
  std::ostringstream out, err;
  Cli cli("docker", {&out, &err, -1, -1, -1});
  const int code = runCli(tree(), cli, args, [](const Parsed&) {});
  return {code, out.str(), err.str()};
}

/// All of one command line's outcome, as text.
std::string transcript(const std::vector<std::string>& args) {
  const Outcome o = call(args);
  std::string out = "$ docker " + join(args, " ") + "\n" + o.out;
  if (!o.err.empty()) out += "--- stderr\n" + o.err;
  return out + "--- exit " + std::to_string(o.code) + "\n\n";
}

TEST(Command, AnswersMistakesInDockersWords) {
  std::string got;
  for (const auto& line : std::vector<std::vector<std::string>>{{"run", "--no-such-flag"},
                                                                {"run", "-x", "a"},
                                                                {"run", "-ix", "a"},
                                                                {"run", "--name"},
                                                                {"run", "-v"},
                                                                {"run"},
                                                                {"run", "--rm=maybe", "a"},
                                                                {"run", "-i=maybe", "a"},
                                                                {"run", "---", "a"},
                                                                {"run", "--=x", "a"},
                                                                {"stop", "--time", "x", "a"},
                                                                {"stop", "-t", "x", "a"},
                                                                {"stop", "-tx", "a"},
                                                                {"stop", "--time", "5", "a"},
                                                                {"stop"},
                                                                {"container", "stop"},
                                                                {"cp", "a"},
                                                                {"commit"},
                                                                {"ps", "x"},
                                                                {"login", "a", "b"},
                                                                {"ps", "--filter", "x"},
                                                                {"ps", "-n", "99999999999999999999"},
                                                                {"--nosuch"},
                                                                {"-x"},
                                                                {"-H"},
                                                                {"nosuch"},
                                                                {"container", "nosuch"},
                                                                {"container", "--nosuch"},
                                                                {"container", "-D", "ls"},
                                                                {"help", "nosuch"},
                                                                {"ps", "-H", "x"},
                                                                {"ps", "--help=x"},
                                                                {"run", "missing"},
                                                                {"run", "silent"},
                                                                {"--version"}}) {
    got += transcript(line);
  }
  expectGolden("mistakes.txt", got);
}

TEST(Command, RefusesBadValuesInDockersWords) {
  const std::vector<std::pair<std::string, std::string>> values{
      {"cpus", "x"},
      {"cpus", "1.23456789012"},
      {"cpus", ""},
      {"memory", "x"},
      {"memory", "-5"},
      {"memory", "1.5.5g"},
      {"memory", "5q"},
      {"memory", ""},
      {"memory", " 5"},
      {"ulimit", "x"},
      {"ulimit", "nofile=x"},
      {"ulimit", "nofile=1:2:3"},
      {"ulimit", "nofile=5:2"},
      {"ulimit", "foo=5"},
      {"ulimit", "nofile="},
      {"sysctl", "x"},
      {"sysctl", "a.b=c"},
      {"blkio-weight", "99999"},
      {"blkio-weight", "x"},
      {"health-interval", "x"},
      {"health-interval", "5"},
      {"mount", "x"},
      {"mount", ""},
      {"mount", "type=bind"},
      {"mount", "type=bind,foo"},
      {"mount", "target=/x,source=y,bar=x"},
      {"mount", "type=bind,\"x"},
      {"mount", "type=volume,source=rel,readonly=x,target=/x"},
      {"mount", "type=tmpfs,target=/x,tmpfs-size=y"},
      {"mount", "type=tmpfs,target=/x,tmpfs-mode=9"},
      {"mount", "type=bind,source=/x,target=/x,volume-opt=a=b"},
      {"mount", "type=volume,target=/x,bind-propagation=shared"},
      {"mount", "type=volume,target=/x,tmpfs-size=1"},
      {"mount", "type=bind,src=/x,target=/x,bind-recursive=foo"},
      {"mount", "type=volume,target=/x,volume-nocopy=x"},
      {"network", "name=foo,bar=baz"},
      {"gpus", "x=y"},
      {"gpus", "x"},
      {"gpus", "count=x"},
      {"device-read-bps", "x"},
      {"device-read-bps", "x:5"},
      {"device-read-bps", "/dev/x:y"},
      {"device-read-bps", "/dev/x:-5"},
      {"device-read-iops", "/dev/x:y"},
      {"blkio-weight-device", "x"},
      {"blkio-weight-device", "/dev/x:y"},
      {"blkio-weight-device", "/dev/x:5"},
      {"env", "=x"},
      {"env", ""},
      {"label", "=x"},
      {"label", ""},
      {"attach", "foo"},
      {"add-host", "x"},
      {"add-host", "x:y"},
      {"link", "a:b:c:d"},
      {"dns", "x"},
      {"dns-search", "a b"}};
  std::string got;
  for (const auto& [flag, value] : values) {
    const Outcome o = call({"run", "--" + flag, value, "a"});
    EXPECT_EQ(o.code, 125) << flag << "=" << value;
    got += split(o.err, '\n')[0] + "\n";
  }
  expectGolden("values.txt", got);
}

TEST(Command, PrintsHelpAsDockerDoes) {
  expectGolden("help/ps.txt", call({"ps", "--help"}).out);
  expectGolden("help/cp.txt", call({"cp", "--help"}).out);
  expectGolden("help/group.txt", call({"container", "--help"}).out);
  expectGolden("help/top.txt", call({"--help"}).out);
}

TEST(Command, ShowsHelpForAGroupAloneOnStandardError) {
  const Outcome o = call({"container"});
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(o.err, call({"help", "container"}).out);
  EXPECT_THAT(call({"ps", "-ah"}).out, StartsWith("Flag shorthand -h has been deprecated, use --help\nUsage:"));
}

TEST(Command, AnswersToEveryName) {
  for (const auto& line :
       std::vector<std::vector<std::string>>{{"ps"}, {"container", "ls"}, {"container", "list"}, {"container", "ps"}}) {
    EXPECT_EQ(call(line).code, 0);
  }
  EXPECT_THAT(call({"container", "list", "x"}).err, StartsWith("docker: 'docker container ls' accepts no arguments"));
}

TEST(Command, RefusesByNameWhatItCannotHonour) {
  const Outcome o = call({"run", "--cpu-count", "2", "a"});
  EXPECT_EQ(o.code, 125);
  EXPECT_THAT(o.err, StartsWith("docker: flag --cpu-count is not supported: it is for Windows"));
}

Parsed parse(const std::vector<std::string>& args, bool interspersed = true) {
  return parseArgs(args, kRun.flags, interspersed);
}

TEST(Args, StopAtTheFirstPositionalWhereToldSo) {
  const Parsed p = parse({"-it", "--name=x", "image", "sh", "-c", "--name"}, false);
  EXPECT_THAT(p.args, ElementsAre("image", "sh", "-c", "--name"));
  EXPECT_TRUE(p.flag("interactive"));
  EXPECT_TRUE(p.flag("tty"));
  EXPECT_EQ(p.str("name"), "x");
  EXPECT_EQ(p.argsAtDash, std::nullopt);
}

TEST(Args, MixFlagsAndPositionalsOtherwise) {
  const Parsed p = parse({"a", "-i", "b", "--", "-t"});
  EXPECT_THAT(p.args, ElementsAre("a", "b", "-t"));
  EXPECT_FALSE(p.flag("tty"));
  EXPECT_EQ(p.argsAtDash, 2u);
}

TEST(Args, TakeValuesInEveryForm) {
  const Parsed p = parse({"-va:b", "-v", "c:d", "-v=e:f", "--volume=g:h", "--volume", "-", "-itm5m", "-"});
  EXPECT_THAT(p.list("volume"), ElementsAre("a:b", "c:d", "e:f", "g:h", "-"));
  EXPECT_EQ(p.integer("memory"), 5 << 20);
  EXPECT_THAT(p.args, ElementsAre("-"));
  EXPECT_EQ(parse({"--memory-swap", "-1"}).integer("memory-swap"), -1);
  EXPECT_EQ(parse({"--cpus", "1.5"}).integer("cpus"), 1500000000);
  EXPECT_EQ(parse({"--health-interval", "1m30s"}).duration("health-interval"), std::chrono::seconds(90));
}

TEST(Args, KnowWhatWasGiven) {
  const Parsed p = parse({"--rm=false", "--env", "A=1", "-e", "B=2"});
  EXPECT_TRUE(p.given("rm"));
  EXPECT_FALSE(p.flag("rm"));
  EXPECT_FALSE(p.given("tty"));
  EXPECT_EQ(p.str("pull"), "missing");
  EXPECT_EQ(p.optString("pull"), std::nullopt);
  EXPECT_EQ(p.optInt("memory"), std::nullopt);
  EXPECT_EQ(p.map("env").at("B"), "2");
  EXPECT_THROW(p.flag("nonsense"), Error);
}

TEST(Args, ReadGoIntegers) {
  EXPECT_EQ(parseGoInt("0x10"), 16);
  EXPECT_EQ(parseGoInt("-0b11"), -3);
  EXPECT_EQ(parseGoInt("017"), 15);
  EXPECT_EQ(parseGoInt("1_000"), 1000);
  EXPECT_EQ(parseGoInt("-9223372036854775808"), INT64_MIN);
  EXPECT_THROW(parseGoInt("9223372036854775808"), Error);
  EXPECT_THROW(parseGoInt("1__0"), Error);
  EXPECT_THROW(parseGoInt(""), Error);
  EXPECT_THROW(parseGoInt("-"), Error);
}

TEST(FlagValues, ReadMounts) {
  const auto mount = parseMount("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave");
  EXPECT_EQ(mount.Type, "bind");
  EXPECT_EQ(mount.Source, "/a");
  EXPECT_EQ(mount.ReadOnly, true);
  EXPECT_EQ(mount.BindOptions->Propagation, "rslave");
  const auto volume = parseMount("target=/b,volume-opt=type=nfs,\"volume-opt=o=addr=1.2.3.4,rw\",volume-label=a=b");
  EXPECT_EQ(volume.Type, "volume");
  EXPECT_EQ(volume.VolumeOptions->DriverConfig->Options->at("o"), "addr=1.2.3.4,rw");
  EXPECT_EQ(volume.VolumeOptions->Labels->at("a"), "b");
  EXPECT_EQ(parseMount("type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1777").TmpfsOptions->Mode, 01777u);
}

TEST(FlagValues, ReadUlimitsAndDevices) {
  EXPECT_EQ(parseUlimit("nofile=10:20").Hard, 20);
  EXPECT_EQ(parseUlimit("core=-1").Soft, -1);
  EXPECT_EQ(parseUlimit("core=-1").Hard, -1);
  EXPECT_EQ(parseThrottleBps("/dev/sda:1mb").Rate, 1048576u);
  EXPECT_EQ(parseWeightDevice("/dev/sda:500").Weight, 500);
  EXPECT_EQ(parseGpus("all").Count, -1);
  EXPECT_THAT(*parseGpus("\"device=0,1\",capabilities=compute").DeviceIDs, ElementsAre("0", "1"));
}

TEST(FlagValues, ReadNetworks) {
  EXPECT_EQ(parseNetworkAttachment("bridge").target, "bridge");
  const auto n = parseNetworkAttachment("name=x,alias=a,alias=b,ip=1.2.3.4,driver-opt=k=v,gw-priority=2");
  EXPECT_EQ(n.target, "x");
  EXPECT_THAT(n.aliases, ElementsAre("a", "b"));
  EXPECT_EQ(n.ipv4, "1.2.3.4");
  EXPECT_EQ(n.gwPriority, 2);
}

TEST(FlagValues, RewriteHosts) {
  std::string host = "db=[::1]";
  checkExtraHost(host);
  EXPECT_EQ(host, "db:::1");
  std::string gateway = "x:host-gateway";
  checkExtraHost(gateway);
  EXPECT_EQ(gateway, "x:host-gateway");
}

}  // namespace
}  // namespace estiba::cli
