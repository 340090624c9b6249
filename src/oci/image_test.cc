#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/sha256.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace estiba::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

template <class F>
std::string errorOf(F&& run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Digest, TakesSha256AndNothingThatCouldBeAPath) {
  EXPECT_EQ(Digest::parse(kDigest).hex(), kHex);
  EXPECT_EQ(Digest::parse(kDigest).shortHex(), "aaaaaaaaaaaa");
  for (const std::string& bad :
       {std::string(), std::string("sha256:"), "sha256:" + std::string(63, 'a'), "sha256:" + std::string(64, 'A'),
        "sha256:../../../etc/passwd" + std::string(45, 'a'), kHex, "sha256:" + std::string(65, 'a'), "SHA256:" + kHex,
        "sha256:" + std::string(63, 'a') + "/"}) {
    EXPECT_FALSE(Digest::tryParse(bad)) << bad;
    EXPECT_THROW(Digest::parse(bad), Error) << bad;
  }
  EXPECT_THAT(errorOf([] { Digest::parse("sha512:" + std::string(128, 'a')); }), HasSubstr("unsupported digest"));
}

TEST(Digest, ChainIdFollowsTheSpecification) {
  const Digest a = Digest::of("a"), b = Digest::of("b"), c = Digest::of("c");
  EXPECT_EQ(chainId(std::vector<Digest>{}), Digest());
  EXPECT_EQ(chainId({a}), a);
  const Digest ab = Digest::of(a.str() + " " + b.str());
  EXPECT_EQ(chainId({a, b}), ab);
  EXPECT_EQ(chainId({a, b, c}), Digest::of(ab.str() + " " + c.str()));
  EXPECT_THAT(chainIds({a, b}), ElementsAre(a, ab));
}

struct NameCase {
  std::string in, full, familiar;
};
class ReferenceNames : public ::testing::TestWithParam<NameCase> {};

TEST_P(ReferenceNames, NormaliseAndShorten) {
  const Reference r = Reference::parse(GetParam().in);
  EXPECT_EQ(r.str(), GetParam().full);
  EXPECT_EQ(r.familiar(), GetParam().familiar);
  EXPECT_EQ(Reference::parse(r.str()), r) << "the normalised form reads as itself";
}

INSTANTIATE_TEST_SUITE_P(
    Docker, ReferenceNames,
    ::testing::Values(NameCase{"busybox", "docker.io/library/busybox", "busybox"},
                      NameCase{"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
                      NameCase{"library/busybox", "docker.io/library/busybox", "busybox"},
                      NameCase{"acc/x:1.0", "docker.io/acc/x:1.0", "acc/x:1.0"},
                      NameCase{"docker.io/a", "docker.io/library/a", "a"},
                      NameCase{"index.docker.io/a/b", "docker.io/a/b", "a/b"},
                      NameCase{"docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"},
                      NameCase{"localhost/a", "localhost/a", "localhost/a"},
                      NameCase{"localhost:5000/a:x", "localhost:5000/a:x", "localhost:5000/a:x"},
                      NameCase{"127.0.0.1:5001/osskr/debian:1.01", "127.0.0.1:5001/osskr/debian:1.01",
                               "127.0.0.1:5001/osskr/debian:1.01"},
                      NameCase{"[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"},
                      NameCase{"gcr.io/p/q-r__s.t:T_1-x.y", "gcr.io/p/q-r__s.t:T_1-x.y", "gcr.io/p/q-r__s.t:T_1-x.y"},
                      NameCase{"Foo/bar", "Foo/bar", "Foo/bar"},  // upper case: it can only be a registry
                      NameCase{"a---b", "docker.io/library/a---b", "a---b"},
                      NameCase{"a@" + kDigest, "docker.io/library/a@" + kDigest, "a@" + kDigest},
                      NameCase{"a:1@" + kDigest, "docker.io/library/a:1@" + kDigest, "a:1@" + kDigest},
                      NameCase{"foo.com/a:" + std::string(128, 't'), "foo.com/a:" + std::string(128, 't'),
                               "foo.com/a:" + std::string(128, 't')}));

TEST(Reference, RefusesInDockersWords) {
  for (const std::string& bad : {std::string(),       std::string(":1"),           std::string("a:"),
                                 std::string("a::b"), std::string("a/"),           std::string("/a"),
                                 std::string("a//b"), std::string("a b"),          std::string("-a"),
                                 std::string("a-"),   std::string("a___b"),        std::string("a..b"),
                                 std::string("a._b"), std::string("a@sha256:abc"), std::string("a@"),
                                 std::string("é"),    std::string("foo.com:x/a"),  std::string("[::1/a"),
                                 std::string("../a"), std::string("a/../b"),       "a:" + std::string(129, 't'),
                                 std::string("a:.x"), std::string("a:-x"),         std::string("a@b@c")}) {
    EXPECT_EQ(errorOf([&] { Reference::parse(bad); }), "invalid reference format") << bad;
  }
  EXPECT_EQ(errorOf([] { Reference::parse("Acc/BAD"); }),
            "invalid reference format: repository name (BAD) must be lowercase");
  EXPECT_EQ(errorOf([] { Reference::parse("Busybox"); }),
            "invalid reference format: repository name (library/Busybox) must be lowercase");
  EXPECT_EQ(errorOf([] { Reference::parse(kHex); }),
            "invalid repository name (" + kHex + "), cannot specify 64-byte hexadecimal strings");
  EXPECT_EQ(errorOf([] { Reference::parse("a@sha512:" + std::string(128, 'a')); }), "unsupported digest algorithm");
  EXPECT_EQ(errorOf([] { Reference::parse("a@sha256:" + std::string(40, 'a')); }), "invalid checksum digest length");
  EXPECT_THAT(errorOf([] { Reference::parse("x/" + std::string(256, 'a')); }), HasSubstr("not be more than 255"));
}

TEST(Reference, DefaultTagOnlyWhereNothingIsSaid) {
  EXPECT_EQ(Reference::parse("a").withDefaultTag().familiar(), "a:latest");
  EXPECT_EQ(Reference::parse("a:1").withDefaultTag().familiar(), "a:1");
  EXPECT_EQ(Reference::parse("a@" + kDigest).withDefaultTag().familiar(), "a@" + kDigest);
  EXPECT_EQ(Reference::parse("a:1@" + kDigest).nameOnly().familiar(), "a");
  EXPECT_THROW(Reference::parse("a").withTag("b c"), Error);
}

TEST(Platform, IsNormalised) {
  EXPECT_EQ(Platform::parse("linux/amd64").str(), "linux/amd64");
  EXPECT_EQ(Platform::parse("linux/x86_64").str(), "linux/amd64");
  EXPECT_EQ(Platform::parse("linux/arm64/v8").str(), "linux/arm64");
  EXPECT_EQ(Platform::parse("Linux/ARM").str(), "linux/arm/v7");
  EXPECT_EQ(Platform::parse("armhf").str(), "linux/arm/v7");
  EXPECT_EQ(Platform::parse("linux"), Platform::host());
  for (const char* bad : {"", "a/b/c/d", "linux/", "nonsense", "linux/a b"}) EXPECT_THROW(Platform::parse(bad), Error);
}

TEST(Platform, MatchesWhatTheMachineRuns) {
  const auto rank = [](const char* want, const char* have) {
    return matchRank(Platform::parse(want), Platform::parse(have));
  };
  EXPECT_EQ(rank("linux/amd64", "linux/amd64"), 0);
  EXPECT_EQ(rank("linux/arm/v7", "linux/arm/v6"), 1);
  EXPECT_EQ(rank("linux/arm/v6", "linux/arm/v7"), std::nullopt);
  EXPECT_EQ(rank("linux/amd64", "linux/arm64"), std::nullopt);
  EXPECT_EQ(rank("linux/amd64", "windows/amd64"), std::nullopt);
  EXPECT_EQ(rank("linux/amd64", "linux/amd64/v3"), std::nullopt);
}

std::string manifestJson(const std::string& extra = "") {
  return R"({"schemaVersion":2,"config":{"mediaType":"x","digest":")" + kDigest +
         R"(","size":7},"layers":[{"digest":")" + kDigest + R"(","size":9}])" + extra + "}";
}

TEST(Manifest, IsOneOrTheOther) {
  const auto parsed = parseManifest(manifestJson(), media::kManifest);
  ASSERT_TRUE(std::holds_alternative<Manifest>(parsed));
  EXPECT_EQ(std::get<Manifest>(parsed).config.size, 7);
  const std::string index = R"({"schemaVersion":2,"manifests":[{"digest":")" + kDigest +
                            R"(","size":1,"platform":{"os":"linux","architecture":"amd64"}}]})";
  EXPECT_TRUE(std::holds_alternative<Index>(parseManifest(index, "")));
  // CVE-2021-41190
  EXPECT_THAT(errorOf([] { parseManifest(manifestJson(R"(,"manifests":[])"), ""); }), HasSubstr("both"));
  EXPECT_THROW(parseManifest(manifestJson(), media::kIndex), Error);
  EXPECT_THROW(parseManifest(manifestJson(R"(,"mediaType":"application/vnd.oci.image.index.v1+json")"), ""), Error);
  EXPECT_THROW(parseManifest(R"({"schemaVersion":2})", ""), Error);
  EXPECT_THROW(parseManifest(R"({"schemaVersion":2,"config":{"digest":"sha256:../x"},"layers":[]})", ""), Error);
  EXPECT_THROW(
      parseManifest(R"({"schemaVersion":2,"config":{"digest":")" + kDigest + R"(","size":-1},"layers":[]})", ""),
      Error);
  EXPECT_THAT(errorOf([] { parseManifest(R"({"schemaVersion":1,"fsLayers":[]})", ""); }), HasSubstr("schema 1"));
}

TEST(Manifest, SelectsThePlatformThatFitsBest) {
  Index index;
  const auto add = [&](const char* platform, const char* content) {
    index.manifests.push_back({.digest = Digest::of(content), .platform = Platform::parse(platform)});
  };
  add("linux/arm/v5", "v5");
  add("linux/arm/v7", "v7");
  add("linux/amd64", "amd64");
  index.manifests.push_back(
      {.digest = Digest::of("att"), .platform = Platform{.architecture = "unknown", .os = "unknown"}});
  EXPECT_EQ(selectPlatform(index, Platform::parse("linux/amd64"))->digest, Digest::of("amd64"));
  EXPECT_EQ(selectPlatform(index, Platform::parse("linux/arm/v7"))->digest, Digest::of("v7"));
  EXPECT_EQ(selectPlatform(index, Platform::parse("linux/arm/v6"))->digest, Digest::of("v5"));
  EXPECT_EQ(selectPlatform(index, Platform::parse("linux/s390x")), nullptr);
}

TEST(ImageConfig, ComesOutAsItWentIn) {
  const std::string text =
      R"({"architecture":"amd64","author":"Ana","config":{"ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Cmd":["sh"],)"
      R"("Labels":{"k":"v"},"ArgsEscaped":true,"Healthcheck":{"Test":["CMD","x"],"Interval":5000000000},)"
      R"("OnBuild":["RUN y"]},"created":"2024-05-01T10:00:00.5Z","history":[)"
      R"({"created":"2024-05-01T10:00:00Z","created_by":"ADD x","comment":"c"},{"created_by":"CMD","empty_layer":true}],)"
      R"("os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
      kDigest + R"("]}})";
  const ImageConfig config = ImageConfig::parse(text);
  EXPECT_EQ(config.config.Healthcheck->Interval, 5'000'000'000);
  EXPECT_TRUE(config.history[1].emptyLayer);
  EXPECT_EQ(config.bytes(), text);
  EXPECT_EQ(ImageConfig::parse(config.bytes()), config);
}

TEST(ImageConfig, KeepsDockersOwnMembers) {
  const std::string text = R"({"architecture":"amd64","comment":"m","config":{"Hostname":"h","Cmd":null},)"
                           R"("container":"0123","container_config":{"Hostname":"h"},"docker_version":"26.1",)"
                           R"("os":"linux","parent":")" +
                           kDigest + R"(","rootfs":{"type":"layers","diff_ids":[]},"variant":"v7"})";
  const ImageConfig config = ImageConfig::parse(text);
  EXPECT_EQ(config.comment, "m");
  EXPECT_EQ(config.parent, kDigest);
  EXPECT_EQ(config.containerConfig.at("Hostname").as_string(), "h");
  EXPECT_EQ(config.platform.variant, "v7");
}

TEST(ImageConfig, RefusesWhatIsNone) {
  for (const std::string& bad :
       {std::string("[]"), std::string("{}"), std::string("{"), std::string(R"({"rootfs":{"type":"x"}})"),
        std::string(R"({"rootfs":{"type":"layers","diff_ids":["../x"]}})"),
        std::string(R"({"rootfs":{"type":"layers","diff_ids":[""]}})"),
        std::string(R"({"rootfs":{"type":"layers"},"created":"yesterday"})"),
        std::string(R"({"rootfs":{"type":"layers"},"history":[{"created_by":"x"}]})"),
        std::string(R"({"rootfs":{"type":"layers"},"config":{"Env":"A=b"}})")}) {
    EXPECT_THAT(errorOf([&] { ImageConfig::parse(bad); }), HasSubstr("image config")) << bad;
  }
}

}  // namespace
}  // namespace estiba::oci
