#include <gmock/gmock.h>

#include "http/json_stream.h"
#include "http/pump.h"
#include "http/stdio_frames.h"
#include "http/test_util.h"

namespace estiba::http {
namespace {

using namespace std::chrono_literals;
using testing::codeThrown;

class Pieces final : public BodyReader {
 public:
  Pieces(std::string text, size_t piece) : text_(std::move(text)), piece_(piece) {}
  size_t read(char* data, size_t size) override {
    const size_t n = text_.copy(data, std::min(size, piece_), at_);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  size_t piece_, at_ = 0;
};

TEST(Frames, AreTakenApartInAnyPieces) {
  std::string wire;
  appendFrame(wire, StdStream::out, "hello");
  appendFrame(wire, StdStream::err, "");
  appendFrame(wire, StdStream::err, "oops");
  EXPECT_EQ(wire.substr(0, 8), std::string("\x01\0\0\0\0\0\0\x05", 8));
  for (size_t piece = 1; piece <= wire.size(); ++piece) {
    std::string out, err;
    FrameDemux demux([&](StdStream s, std::string_view bytes) { (s == StdStream::out ? out : err) += bytes; });
    for (size_t at = 0; at < wire.size(); at += piece) demux.feed(std::string_view(wire).substr(at, piece));
    EXPECT_TRUE(demux.atBoundary());
    EXPECT_EQ(out, "hello");
    EXPECT_EQ(err, "oops");
  }
}

TEST(Frames, RefuseAHeaderThatIsNone) {
  FrameDemux demux([](StdStream, std::string_view) {});
  EXPECT_EQ(codeThrown([&] { demux.feed("plain text"); }), Code::invalid);
}

TEST(Frames, AreWrittenWhole) {
  auto [a, b] = socketPair();
  const std::string payload(1'000'000, 'x');
  std::thread writer([&] {
    writeFrame(a.get(), StdStream::err, payload);
    a.reset();
  });
  std::string wire;
  appendFrame(wire, StdStream::err, payload);
  EXPECT_EQ(readAll(b.get(), "b"), wire);
  writer.join();
}

TEST(JsonStream, ReadsMessagesInAnyPieces) {
  const std::string text = "{\"a\":1}\r\n{\"b\":\"}{\"}{\"c\":[1,2]}\n\n  {\"d\":null}";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    Pieces body(text, piece);
    JsonStreamReader reader(body);
    std::string all;
    while (auto m = reader.next()) all += dumpJson(*m);
    EXPECT_EQ(all, R"({"a":1}{"b":"}{"}{"c":[1,2]}{"d":null})") << piece;
  }
}

TEST(JsonStream, RefusesWhatIsNoneTooLongOrCutShort) {
  const auto read = [](const std::string& text) {
    Pieces body(text, 7);
    JsonStreamReader reader(body, 100);
    while (reader.next()) {
    }
  };
  EXPECT_EQ(codeThrown([&] { read("{\"a\":1} nonsense"); }), Code::invalid);
  EXPECT_EQ(codeThrown([&] { read("{\"a\":"); }), Code::invalid);
  EXPECT_EQ(codeThrown([&] { read("{\"a\":\"" + std::string(200, 'x') + "\"}"); }), Code::invalid);
  EXPECT_EQ(codeThrown([&] { read(std::string(90, '[')); }), Code::invalid);
  EXPECT_NO_THROW(read(""));
  EXPECT_NO_THROW(read(" \n"));
}

TEST(JsonStream, WritesEachMessageAsOnePiece) {
  std::vector<std::string> pieces;
  JsonStreamWriter writer([&](std::string_view bytes) { pieces.emplace_back(bytes); });
  writer.write(json::object{{"status", "Pulling"}});
  EXPECT_EQ(pieces, (std::vector<std::string>{"{\"status\":\"Pulling\"}\r\n"}));
}

TEST(Pump, MovesBothWaysWithHalfClose) {
  auto [left, leftInner] = socketPair();
  auto [right, rightInner] = socketPair();
  PumpTotals totals;
  std::thread pumping([&] {
    totals = pump(leftInner.get(), rightInner.get(), "first ", "");
    leftInner.reset();
  });
  std::thread back([&, r = right.get()] {
    const std::string got = readAll(r, "right");
    writeAll(r, "seen " + std::to_string(got.size()), "right");
    ::shutdown(r, SHUT_WR);
  });
  writeAll(left.get(), std::string(1'000'000, 'a'), "left");
  ::shutdown(left.get(), SHUT_WR);
  EXPECT_EQ(readAll(left.get(), "left"), "seen 1000006");
  pumping.join();
  back.join();
  EXPECT_EQ(totals.leftToRight, 1000006U);
  EXPECT_EQ(totals.rightToLeft, 12U);
}

TEST(Pump, DoesNotStallWhereBothSidesWriteFirst) {
  auto [left, leftInner] = socketPair();
  auto [right, rightInner] = socketPair();
  std::thread pumping([&] { pump(leftInner.get(), rightInner.get()); });
  const std::string big(4'000'000, 'b');
  const auto side = [&](int fd, std::string& got) {
    std::thread writer([&] {
      writeAll(fd, big, "side");
      ::shutdown(fd, SHUT_WR);
    });
    got = readAll(fd, "side");
    writer.join();
  };
  std::string a, b;
  std::thread one([&] { side(left.get(), a); });
  std::thread two([&] { side(right.get(), b); });
  one.join();
  two.join();
  pumping.join();
  EXPECT_EQ(a.size(), big.size());
  EXPECT_EQ(b.size(), big.size());
}

TEST(Pump, EndsWhereItsPeerIsGoneOrIsStopped) {
  {
    auto [left, leftInner] = socketPair();
    auto [right, rightInner] = socketPair();
    std::thread pumping([&, r = std::move(rightInner)] { pump(leftInner.get(), r.get()); });
    right.reset();  // left stays silent: nothing but the hang-up tells
    pumping.join();
  }
  auto [left, leftInner] = socketPair();
  auto [right, rightInner] = socketPair();
  std::jthread pumping([&](std::stop_token stop) { pump(leftInner.get(), rightInner.get(), {}, {}, stop); });
  std::this_thread::sleep_for(5ms);
  pumping.request_stop();
  pumping.join();
}

TEST(Pump, CopiesAStreamOutOfAPipeAndOutOfAFile) {
  auto [reader, writer] = makePipe();
  auto [a, b] = socketPair();
  std::thread feeding([&, w = std::move(writer)]() mutable {
    writeAll(w.get(), std::string(300'000, 'z'), "pipe");
    w.reset();
  });
  std::thread copying([&] {
    EXPECT_EQ(copyStream(reader.get(), a.get()), 300'000U);
    const Fd file = anonymousFile("file", "test");
    EXPECT_EQ(copyStream(file.get(), a.get()), 4U);
    a.reset();
  });
  EXPECT_EQ(readAll(b.get(), "b"), std::string(300'000, 'z') + "file");
  feeding.join();
  copying.join();
}

}  // namespace
}  // namespace estiba::http
