#include "archive/compression.h"

#include "archive/test_util.h"

namespace estiba::archive {
namespace {

std::string compressed(Compression kind, const std::string& bytes) {
  StringSink out;
  const auto c = compressing(kind, std::nullopt, out);
  c->write(bytes.data(), bytes.size());
  c->finish();
  return out.bytes;
}

std::string plain(const std::string& bytes, Compression* kind = nullptr) {
  return slurp(*decompressing(std::make_unique<StringSource>(bytes), kind));
}

class EachCompression : public ::testing::TestWithParam<Compression> {};

TEST_P(EachCompression, RoundTripsAndIsDetected) {
  const std::string bytes = noise(700'000) + std::string(2'000'000, 'z');
  Compression kind{};
  EXPECT_EQ(plain(compressed(GetParam(), bytes), &kind), bytes);
  EXPECT_EQ(kind, GetParam());
  EXPECT_EQ(plain(compressed(GetParam(), "")), "");
}

TEST_P(EachCompression, GivesTheSameBytesTwice) {
  const std::string bytes = noise(100'000);
  EXPECT_EQ(compressed(GetParam(), bytes), compressed(GetParam(), bytes));
}

TEST_P(EachCompression, ReadsMembersSetBehindOneAnother) {
  const auto kind = GetParam();
  EXPECT_EQ(plain(compressed(kind, "one ") + compressed(kind, "two ") + compressed(kind, "three")), "one two three");
}

TEST_P(EachCompression, NamesItselfWhereDataIsTruncated) {
  if (GetParam() == Compression::none) GTEST_SKIP() << "plain bytes have no end of their own";
  const std::string whole = compressed(GetParam(), noise(300'000));
  for (const size_t cutOff : {whole.size() - 1, whole.size() / 2, size_t{20}}) {
    expectError(Code::invalid, std::string(compressionName(GetParam())) + ": ",
                [&] { plain(whole.substr(0, cutOff)); });
  }
}

TEST_P(EachCompression, NamesItselfWhereDataIsCorrupt) {
  if (GetParam() == Compression::none) GTEST_SKIP() << "nothing to check plain bytes by";
  std::string whole = compressed(GetParam(), std::string(300'000, 'q') + noise(300'000));
  whole[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 0x55);
  expectError(Code::invalid, std::string(compressionName(GetParam())) + ": ", [&] { plain(whole); });
}

INSTANTIATE_TEST_SUITE_P(Kinds, EachCompression,
                         ::testing::Values(Compression::none, Compression::gzip, Compression::bzip2, Compression::xz,
                                           Compression::zstd),
                         [](const auto& each) { return std::string(compressionName(each.param)); });

TEST(Compression, PassesShortAndPlainBytes) {
  EXPECT_EQ(plain(""), "");
  EXPECT_EQ(plain("a"), "a");
  EXPECT_EQ(plain("plain text, longer than any magic number"), "plain text, longer than any magic number");
}

TEST(Compression, SkipsZstdSkippableFramesAndGzipPadding) {
  std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  EXPECT_EQ(plain(skippable + compressed(Compression::zstd, "data")), "data");
  EXPECT_EQ(plain(compressed(Compression::gzip, "data") + std::string(512, '\0')), "data");
}

TEST(Compression, RefusesLevelsThatDoNotExist) {
  StringSink out;
  expectError(Code::invalid, "gzip: level 77", [&] { compressing(Compression::gzip, 77, out); });
  expectError(Code::invalid, "zstd: level 99", [&] { compressing(Compression::zstd, 99, out); });
}

}  // namespace
}  // namespace estiba::archive
