#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/text.h"

namespace estiba {

struct Inner {
  std::string Name;
  std::optional<int> Count;
};
BOOST_DESCRIBE_STRUCT(Inner, (), (Name, Count))
struct Outer {
  Inner Item;
  std::vector<std::string> Args;
  Nullable<std::vector<std::string>> Cmd;
  std::map<std::string, Empty> Ports;
};
BOOST_DESCRIBE_STRUCT(Outer, (), (Item, Args, Cmd, Ports))

TEST(Json, WritesStructsByMemberName) {
  Outer o;
  o.Item.Name = "a";
  o.Ports["80/tcp"] = {};
  EXPECT_EQ(dumpJsonOf(o), R"({"Item":{"Name":"a"},"Args":[],"Cmd":null,"Ports":{"80/tcp":{}}})");
}
TEST(Json, ReadsKeysWithoutCaseAndIgnoresUnknownOnes) {
  const auto o = parseJsonAs<Outer>(R"({"item":{"name":"x","count":3,"zzz":1},"Cmd":["a"]})", "outer");
  EXPECT_EQ(o.Item.Name, "x");
  EXPECT_EQ(o.Item.Count, 3);
  EXPECT_EQ(o.Cmd->at(0), "a");
}
TEST(Json, NamesThePathOfAWrongType) {
  try {
    parseJsonAs<Outer>(R"({"Item":{"Name":7}})", "outer");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::invalid);
    EXPECT_NE(std::string(e.what()).find("Item.Name"), std::string::npos) << e.what();
  }
}
TEST(Json, RefusesTrailingBytesAndDeepNesting) {
  EXPECT_THROW(parseJson("{} x", "t"), Error);
  EXPECT_THROW(parseJson(std::string(1000, '['), "t"), Error);
  EXPECT_THROW(parseJson("[0E500]", "t"), Error);
  EXPECT_THROW(parseJson("1e999", "t"), Error);
}
TEST(Text, HumanSizesAreDockers) {
  EXPECT_EQ(humanSize(0), "0B");
  EXPECT_EQ(humanSize(5242880, 3), "5.24MB");
  EXPECT_EQ(humanSize(999), "999B");
  EXPECT_EQ(bytesSize(1536), "1.5KiB");
  EXPECT_EQ(parseRamSize("64m"), 64 << 20);
  EXPECT_EQ(parseRamSize("1.5GiB"), 1610612736);
  EXPECT_EQ(parseRamSize("x"), std::nullopt);
}
TEST(Text, Base64RoundTrips) {
  for (const std::string s : {"", "a", "ab", "abc", "\xff\x00z"}) EXPECT_EQ(base64Decode(base64Encode(s)), s);
  EXPECT_EQ(base64Decode("a"), std::nullopt);
}
TEST(Clock, Rfc3339RoundTrips) {
  const Time t{1714557600'500000000};
  EXPECT_EQ(rfc3339Nano(t), "2024-05-01T10:00:00.5Z");
  EXPECT_EQ(parseRfc3339(rfc3339Nano(t)), t);
  EXPECT_EQ(parseRfc3339("2024-05-01T12:00:00+02:00"), Time{1714557600'000000000});
  EXPECT_EQ(parseRfc3339("junk"), std::nullopt);
}
TEST(Clock, DurationsAreGos) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parseDuration("1m30s"), 90s);
  EXPECT_EQ(parseDuration("1.5h"), 90min);
  EXPECT_EQ(parseDuration("5"), std::nullopt);
  EXPECT_EQ(formatDuration(90s), "1m30s");
  EXPECT_EQ(formatDuration(1500ms), "1.5s");
}
TEST(Sha256, KnownAnswer) {
  EXPECT_EQ(sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace estiba
