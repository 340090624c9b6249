#include "base/detach_keys.h"
#include "monitor/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "base/text.h"
#include "monitor/log_reader.h"
#include "sys/file.h"

namespace estiba::monitor {
namespace {

class LogTest : public ::testing::Test {
 protected:
  LogTest() { config_.path = dir_ + "/c-json.log"; }
  ~LogTest() override { removeTree(dir_); }

  std::vector<std::string> lines() const {
    auto all = split(readFile(config_.path), '\n');
    all.pop_back();
    return all;
  }
  std::vector<std::string> read(LogReadOptions options = {}) const {
    std::vector<std::string> out;
    LogReader reader(config_.path, options);
    while (auto entry = reader.next()) out.push_back(entry->line);
    return out;
  }

  char template_[32] = "/tmp/estiba-log-XXXXXX";
  std::string dir_ = ::mkdtemp(template_);
  LogConfig config_;
  const Time time_ = *parseRfc3339("2024-05-01T10:00:00.1234Z");
};

TEST_F(LogTest, WritesDockersLine) {
  JsonFileLog log(config_);
  log.write(StreamId::out, "hola\n", time_);
  log.write(StreamId::err, "a\tb \"q\" \\ <&> \r\x01\n", time_);
  EXPECT_EQ(readFile(config_.path),
            "{\"log\":\"hola\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-01T10:00:00.1234Z\"}\n"
            "{\"log\":\"a\\u0009b \\\"q\\\" \\\\ \\u003c\\u0026\\u003e \\r\\u0001\\n\",\"stream\":\"stderr\","
            "\"time\":\"2024-05-01T10:00:00.1234Z\"}\n");
}

TEST_F(LogTest, KeepsUtf8AndReplacesWhatIsNot) {
  std::string out;
  appendJsonEscaped(out, "\xC3\xB1 \xE2\x82\xAC \xF0\x9F\x98\x80 \xFF \xC0\x80 \xED\xA0\x80 \xE2\x80\xA8 \xE2\x82");
  EXPECT_EQ(out,
            "\xC3\xB1 \xE2\x82\xAC \xF0\x9F\x98\x80 \\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd \\u2028 "
            "\\ufffd\\ufffd");
}

TEST_F(LogTest, EscapesEveryByteWhereverItStands) {
  for (int c = 0; c < 256; ++c) {
    for (size_t at = 0; at < 40; at += 3) {
      std::string text(40, 'x');
      text[at] = static_cast<char>(c);
      std::string out;
      appendJsonEscaped(out, text);
      const auto back = parseJson("\"" + out + "\"", "test");
      if (c < 0x80) {
        EXPECT_EQ(std::string(back.as_string()), text) << c;
      } else {
        EXPECT_NE(out.find("\\ufffd"), std::string::npos);
      }
    }
  }
}

TEST_F(LogTest, JoinsPiecesOfALineAndEndsAStreamWithoutNewline) {
  JsonFileLog log(config_);
  log.write(StreamId::out, "ho", time_);
  log.write(StreamId::err, "other\n", time_);
  EXPECT_EQ(log.unfinished(StreamId::out), "ho");
  log.write(StreamId::out, "la\nprompt$ ", time_);
  log.finish(StreamId::out, time_);
  EXPECT_EQ(read(), (std::vector<std::string>{"other\n", "hola\n", "prompt$ "}));
}

TEST_F(LogTest, SplitsLongLinesAt16KiBWithoutNewlineAndWithTheFirstPartsTime) {
  JsonFileLog log(config_);
  const std::string line(40000, 'z');
  log.write(StreamId::out, line.substr(0, 20000), time_);
  log.write(StreamId::out, line.substr(20000) + "\nnext\n", Time{time_.ns + 1000000});
  EXPECT_EQ(read(), (std::vector<std::string>{std::string(16384, 'z'), std::string(16384, 'z'),
                                              std::string(40000 - 32768, 'z') + "\n", "next\n"}));
  LogReader reader(config_.path, {});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(reader.next()->time, time_);
  EXPECT_EQ(reader.next()->time.ns, time_.ns + 1000000);
}

TEST_F(LogTest, ALineOfExactly16KiBIsAPartAndAnEmptyLine) {
  JsonFileLog log(config_);
  log.write(StreamId::out, std::string(16384, 'a') + "\n", time_);
  EXPECT_EQ(read(), (std::vector<std::string>{std::string(16384, 'a'), "\n"}));
}

TEST_F(LogTest, RotatesAndDropsTheOldest) {
  config_.maxSize = 1000;
  config_.maxFile = 3;
  JsonFileLog log(config_);
  for (int i = 0; i < 100; ++i) log.write(StreamId::out, fmt::format("line {}\n", i), time_);
  EXPECT_TRUE(exists(config_.path + ".1"));
  EXPECT_TRUE(exists(config_.path + ".2"));
  EXPECT_FALSE(exists(config_.path + ".3"));
  const auto all = read();
  ASSERT_GT(all.size(), 20U);
  EXPECT_LT(all.size(), 60U);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], fmt::format("line {}\n", 100 - all.size() + i));
}

TEST_F(LogTest, RotatesWithinOneWriteAndTruncatesAFileThatIsAlone) {
  config_.maxSize = 1000;
  config_.maxFile = 1;
  JsonFileLog log(config_);
  std::string many;
  for (int i = 0; i < 100; ++i) many += fmt::format("line {}\n", i);
  log.write(StreamId::out, many, time_);
  EXPECT_FALSE(exists(config_.path + ".1"));
  struct stat st {};
  ASSERT_EQ(::stat(config_.path.c_str(), &st), 0);
  EXPECT_LT(st.st_size, 1200);
  EXPECT_EQ(read().back(), "line 99\n");
}

TEST_F(LogTest, AppendsToWhatAnEarlierRunLeft) {
  JsonFileLog(config_).write(StreamId::out, "one\n", time_);
  JsonFileLog(config_).write(StreamId::out, "two\n", time_);
  EXPECT_EQ(read(), (std::vector<std::string>{"one\n", "two\n"}));
}

TEST_F(LogTest, AFullDiskLosesLinesOnly) {
  config_.path = "/dev/full";
  JsonFileLog log(config_);
  log.write(StreamId::out, "one\ntwo\n", time_);
  EXPECT_EQ(log.lostLines(), 2U);
}

TEST_F(LogTest, WritesAttributes) {
  config_.attrs = {{"k", "v"}};
  JsonFileLog(config_).write(StreamId::out, "x\n", time_);
  EXPECT_EQ(lines().at(0), R"({"log":"x\n","stream":"stdout","attrs":{"k":"v"},"time":"2024-05-01T10:00:00.1234Z"})");
  LogReader reader(config_.path, {});
  const auto entry = reader.next();
  ASSERT_TRUE(entry);
  EXPECT_EQ(formatLogEntry(*entry, true, true), "2024-05-01T10:00:00.123400000Z k=v x\n");
}

TEST_F(LogTest, TailCountsEntriesOverRotatedFiles) {
  config_.maxSize = 500;
  JsonFileLog log(config_);
  for (int i = 0; i < 20; ++i) log.write(StreamId::out, fmt::format("{}\n", i), time_);
  for (uint64_t n = 0; n <= 20; ++n) {
    const auto got = read({.tail = n});
    ASSERT_EQ(got.size(), n);
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(got[i], fmt::format("{}\n", 20 - n + i));
  }
  EXPECT_EQ(read({.tail = 1000}).size(), 20U);
}

TEST_F(LogTest, TailReadsFarBackInALargeFile) {
  config_.maxSize = 0;
  JsonFileLog log(config_);
  for (int i = 0; i < 5000; ++i) log.write(StreamId::out, fmt::format("{} {}\n", i, std::string(100, 'p')), time_);
  const auto got = read({.tail = 3333});
  ASSERT_EQ(got.size(), 3333U);
  EXPECT_TRUE(got[0].starts_with("1667 "));
}

TEST_F(LogTest, SinceUntilAndStreamsFilter) {
  JsonFileLog log(config_);
  for (int i = 0; i < 10; ++i) {
    log.write(i % 2 == 0 ? StreamId::out : StreamId::err, fmt::format("{}\n", i), Time{time_.ns + i});
  }
  EXPECT_EQ(read({.since = Time{time_.ns + 7}}).size(), 3U);
  EXPECT_EQ(read({.until = Time{time_.ns + 3}}), (std::vector<std::string>{"0\n", "1\n", "2\n", "3\n"}));
  EXPECT_EQ(read({.stdout_ = false}).size(), 5U);
  EXPECT_EQ(read({.tail = 4, .since = Time{time_.ns + 8}}).size(), 2U);
}

TEST_F(LogTest, DamagedLinesAreSkippedAndUnfinishedOnesWaitedFor) {
  writeFile(config_.path,
            "garbage\n{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-01T10:00:00Z\"}\n{\"log\":\"b");
  EXPECT_EQ(read(), std::vector<std::string>{"a\n"});
  EXPECT_TRUE(LogReader(dir_ + "/none", {}).next() == std::nullopt);
}

TEST_F(LogTest, FollowsAcrossRotationToTheEnd) {
  config_.maxSize = 2000;
  config_.maxFile = 20;
  auto [readEnd, writeEnd] = makePipe();
  std::thread writer([&, end = std::move(writeEnd)]() mutable {
    JsonFileLog log(config_);
    for (int i = 0; i < 200; ++i) {
      log.write(StreamId::out, fmt::format("{}\n", i), now());
      if (i % 20 == 0) ::usleep(2000);
    }
    end.reset();
  });
  LogReader reader(config_.path, {.follow = true});
  std::vector<std::string> got;
  reader.run([&](const LogEntry& e) { return got.push_back(e.line), true; }, {}, readEnd.get());
  writer.join();
  ASSERT_EQ(got.size(), 200U);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], fmt::format("{}\n", i));
}

TEST_F(LogTest, FollowStopsWhenAsked) {
  JsonFileLog(config_).write(StreamId::out, "x\n", time_);
  LogReader reader(config_.path, {.follow = true});
  std::stop_source stop;
  std::thread later([&] { ::usleep(20000), stop.request_stop(); });
  int seen = 0;
  reader.run([&](const LogEntry&) { return ++seen, true; }, stop.get_token());
  later.join();
  EXPECT_EQ(seen, 1);
}

TEST(DetachKeys, ParsesDockersWords) {
  EXPECT_EQ(parseDetachKeys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(parseDetachKeys("a,ctrl-@,ctrl-]"), std::string("a\0\x1d", 3));
  for (const char* bad : {"", "ctrl-", "ctrl-!", "ab", "ctrl-p,", "ctrl-P"}) {
    EXPECT_THROW(parseDetachKeys(bad), Error) << bad;
  }
}

TEST(DetachKeys, PassesEverythingButTheSequence) {
  DetachMatcher m("\x10\x11");
  EXPECT_EQ(m.feed("abc\x10").pass, "abc");
  EXPECT_EQ(m.feed("d").pass,
            "\x10"
            "d");
  EXPECT_EQ(m.feed("\x10\x10").pass, "\x10");
  const auto found = m.feed("\x11zz");
  EXPECT_TRUE(found.detached);
  EXPECT_EQ(found.pass, "");
  DetachMatcher one("q");
  EXPECT_EQ(one.feed("ab").pass, "ab");
  EXPECT_TRUE(one.feed("xqy").detached);
}

}  // namespace
}  // namespace estiba::monitor
