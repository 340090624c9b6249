#include "archive/stream.h"

#include "archive/test_util.h"

namespace estiba::archive {
namespace {

class FailingSource : public Source {
 public:
  size_t read(void* to, size_t) override {
    if (++calls_ > 2) fail(Code::unavailable, "the peer hung up");
    static_cast<char*>(to)[0] = 'x';
    return 1;
  }

 private:
  int calls_ = 0;
};

TEST(Stream, HashingCountsAndHashesBothWays) {
  StringSource from("abc");
  HashingSource hashed(from);
  StringSink to;
  HashingSink out(&to);
  EXPECT_EQ(pump(hashed, out), 3);
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(hashed.finishHex(), abc);
  EXPECT_EQ(out.finishHex(), abc);
  EXPECT_EQ(hashed.bytes(), 3);
  EXPECT_EQ(to.bytes, "abc");
}

TEST(Stream, LimitedSourceRefusesTheByteTooMuch) {
  StringSource fits("12345");
  LimitedSource five(fits, 5, "manifest");
  EXPECT_EQ(slurp(five), "12345");
  StringSource tooLong("123456");
  LimitedSource limited(tooLong, 5, "manifest");
  expectError(Code::invalid, "manifest: larger than 5 bytes", [&] { slurp(limited); });
}

TEST(Stream, ReadAheadGivesTheSameBytes) {
  const std::string bytes = noise(3'000'000);
  ReadAheadSource ahead(std::make_unique<StringSource>(bytes), 1000, 3);
  EXPECT_EQ(slurp(ahead), bytes);
  char one;
  EXPECT_EQ(ahead.read(&one, 1), 0U);
}

TEST(Stream, ReadAheadPassesFailuresOnAfterTheBytesBeforeThem) {
  ReadAheadSource ahead(std::make_unique<FailingSource>());
  char buffer[8];
  EXPECT_EQ(readFully(ahead, buffer, 2), 2U);
  expectError(Code::unavailable, "hung up", [&] { ahead.read(buffer, 1); });
}

TEST(Stream, ReadAheadCanBeDroppedInTheMiddle) {
  const std::string bytes = noise(1'000'000);
  ReadAheadSource ahead(std::make_unique<StringSource>(bytes), 1000, 2);
  char one;
  EXPECT_EQ(ahead.read(&one, 1), 1U);
}

TEST(Stream, TeeWritesToBothAndFilesRoundTrip) {
  TempDir dir;
  StringSink copy;
  {
    FdSink file(openFile(dir / "f", O_WRONLY | O_CREAT, 0600));
    TeeSink both(file, copy);
    both.write("hello");
  }
  FdSource back(openFile(dir / "f", O_RDONLY));
  EXPECT_EQ(slurp(back), "hello");
  EXPECT_EQ(copy.bytes, "hello");
}

}  // namespace
}  // namespace estiba::archive
