#include "archive/tar.h"

#include "archive/tar_format.h"
#include "archive/test_util.h"

namespace estiba::archive {
namespace {

struct Read {
  TarEntry entry;
  std::string content;  ///< holes as zeros
};

std::vector<Read> readTar(const std::string& bytes, TarTap* tap = nullptr) {
  StringSource from(bytes);
  TarReader reader(from, tap);
  std::vector<Read> out;
  while (auto entry = reader.next()) {
    Read read{*entry, std::string(static_cast<size_t>(entry->size), '\0')};
    while (const auto chunk = reader.nextChunk()) {
      if (entry->type == TarType::file) {
        read.content.replace(static_cast<size_t>(chunk->offset), chunk->bytes.size(), chunk->bytes);
      }
    }
    out.push_back(std::move(read));
  }
  return out;
}

std::string tarOf(const TarEntry& entry, const std::string& content = "") {
  TarBuilder b;
  if (entry.type == TarType::file) {
    StringSink out;
    TarWriter w(out);
    w.addFile(entry, content);
    w.finish();
    return out.bytes;
  }
  return b.entry(entry).bytes();
}

void fixChecksum(std::string& head, size_t at = 0) {
  head.replace(at + 148, 8, "        ");
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(head[at + i]);
  head.replace(at + 148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

/// A ustar block with a right checksum.
std::string block(const std::string& name, char type, int64_t size,
                  const std::string& magic = std::string("ustar\00000", 8)) {
  TarEntry e;
  e.name = name;
  e.size = size;
  std::string out;
  appendTarHeader(out, e, false);
  out[156] = type;
  out.replace(257, 8, magic);
  fixChecksum(out);
  return out;
}

std::string padded(std::string body) {
  body.append(paddingOf(static_cast<int64_t>(body.size())), '\0');
  return body;
}

TEST(Tar, RoundTripsWhatAnEntryHolds) {
  TarEntry e;
  e.name = "usr/bin/sudo";
  e.mode = 04755;
  e.uid = 7;
  e.gid = 4'000'000'000;
  e.mtimeNs = 1'700'000'000'000'000'000;
  e.uname = "root";
  e.xattrs["security.capability"] = std::string("\1\0\0\2\0\n=\0", 8);
  e.xattrs["user.note"] = "ä";
  const auto got = readTar(tarOf(e, "hello"));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].entry.name, e.name);
  EXPECT_EQ(got[0].entry.mode, e.mode);
  EXPECT_EQ(got[0].entry.gid, e.gid);
  EXPECT_EQ(got[0].entry.mtimeNs, e.mtimeNs);
  EXPECT_EQ(got[0].entry.uname, "root");
  EXPECT_EQ(got[0].entry.xattrs, e.xattrs);
  EXPECT_EQ(got[0].content, "hello");
}

TEST(Tar, RoundTripsNamesOfEveryLength) {
  for (const size_t size : {1U, 99U, 100U, 101U, 155U, 156U, 255U, 256U, 257U, 1000U, 60000U}) {
    TarEntry e;
    for (size_t i = 0; i < size; ++i) e.name += i % 17 == 11 ? '/' : 'n';
    if (e.name.back() == '/') e.name.back() = 'e';
    EXPECT_EQ(readTar(tarOf(e)).at(0).entry.name, e.name) << size;
    e.type = TarType::symlink;
    e.linkName = e.name;
    EXPECT_EQ(readTar(tarOf(e)).at(0).entry.linkName, e.name) << size;
  }
}

TEST(Tar, GivesDirectoriesTheirSlashAndKeepsNonAscii) {
  TarEntry e;
  e.name = "größe";
  e.type = TarType::directory;
  EXPECT_EQ(readTar(tarOf(e)).at(0).entry.name, "größe/");
}

TEST(Tar, CutsTimesToSecondsUnlessAsked) {
  for (const int64_t ns : {1'500'000'000'250'000'000LL, -1'500'000'000LL, -1LL, 1LL}) {
    TarEntry e;
    e.name = "f";
    e.mtimeNs = ns;
    StringSink out;
    TarWriter w(out, {.subSecondTimes = true});
    w.addFile(e, "");
    w.finish();
    EXPECT_EQ(readTar(out.bytes).at(0).entry.mtimeNs, ns);
    EXPECT_EQ(readTar(tarOf(e)).at(0).entry.mtimeNs % 1'000'000'000, 0);
  }
}

TEST(Tar, RefusesToWriteShortOrLongContent) {
  StringSink out;
  TarWriter w(out);
  TarEntry e;
  e.name = "f";
  e.size = 3;
  w.add(e);
  EXPECT_THROW(w.write("four"), Error);
  w.write("ab");
  EXPECT_THROW(w.finish(), Error);
}

TEST(Tar, ReadsAnArchiveWithoutEndBlocksAndAnEmptyOne) {
  std::string bytes = tarOf({.name = "f"}, "x");
  bytes.resize(bytes.size() - 1024);
  EXPECT_EQ(readTar(bytes).size(), 1U);
  EXPECT_EQ(readTar("").size(), 0U);
  EXPECT_EQ(readTar(std::string(10240, '\0')).size(), 0U);
}

TEST(Tar, RefusesTruncatedArchives) {
  const std::string bytes = tarOf({.name = "f"}, std::string(1000, 'x'));
  for (const size_t at : {1U, 511U, 513U, 1000U, 1600U}) {
    expectError(Code::invalid, "tar: unexpected end", [&] { readTar(bytes.substr(0, at)); });
  }
}

TEST(Tar, RefusesAWrongChecksum) {
  std::string bytes = tarOf({.name = "f"}, "x");
  bytes[0] = 'g';
  expectError(Code::invalid, "checksum", [&] { readTar(bytes); });
}

TEST(Tar, RefusesAHeaderBehindAZeroBlock) {
  expectError(Code::invalid, "zero block", [&] { readTar(std::string(512, '\0') + block("f", '0', 0)); });
}

TEST(Tar, ReadsBase256NumbersAndRefusesThoseThatDoNotFit) {
  std::string head = block("f", '0', 0);
  head.replace(124, 12, std::string("\x80\0\0\0\0\0\0\0\0\0\0\3", 12));
  fixChecksum(head);
  EXPECT_EQ(readTar(head + padded("abc")).at(0).content, "abc");
  head.replace(124, 12, std::string(12, '\xff'));
  fixChecksum(head);
  expectError(Code::invalid, "negative size", [&] { readTar(head); });
  head.replace(124, 12, "\x81" + std::string(11, '\xee'));
  fixChecksum(head);
  expectError(Code::invalid, "out of range", [&] { readTar(head); });
  head.replace(124, 12, std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12));
  fixChecksum(head);
  expectError(Code::invalid, "out of range", [&] { readTar(head); });
}

TEST(Tar, ReadsGnuLongNamesAndLinks) {
  const std::string name(300, 'n');
  const std::string link(400, 'l');
  const std::string bytes = block("././@LongLink", 'L', 301) + padded(name + '\0') + block("././@LongLink", 'K', 401) +
                            padded(link + '\0') + block("short", '2', 0);
  const auto got = readTar(bytes);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].entry.name, name);
  EXPECT_EQ(got[0].entry.linkName, link);
}

std::string pax(char type, const std::vector<std::pair<std::string, std::string>>& records) {
  std::string body;
  for (const auto& [key, value] : records) appendPaxRecord(body, key, value);
  return block("pax", type, static_cast<int64_t>(body.size())) + padded(body);
}

TEST(Tar, AppliesGlobalHeadersUntilOverridden) {
  const std::string bytes = pax('g', {{"uid", "77"}, {"comment", "x"}}) + block("a", '0', 0) +
                            pax('x', {{"uid", "5"}}) + block("b", '0', 0) + block("c", '0', 0);
  const auto got = readTar(bytes);
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(got[0].entry.uid, 77U);
  EXPECT_EQ(got[1].entry.uid, 5U);
  EXPECT_EQ(got[2].entry.uid, 77U);
}

TEST(Tar, RefusesGlobalHeadersThatGrow) {
  std::string bytes;
  for (int i = 0; i < 20; ++i) bytes += pax('g', {{"comment", std::string(1000, 'c')}});
  expectError(Code::invalid, "global headers", [&] { readTar(bytes + block("a", '0', 0)); });
}

TEST(Tar, ReadsLibarchiveXattrs) {
  const auto got = readTar(pax('x', {{"LIBARCHIVE.xattr.user.a%3Db", "aGk"}}) + block("a", '0', 0));
  EXPECT_EQ(got.at(0).entry.xattrs.at("user.a=b"), "hi");
}

TEST(Tar, RefusesBrokenPaxHeaders) {
  const auto withBody = [](const std::string& body) {
    return block("pax", 'x', static_cast<int64_t>(body.size())) + padded(body) + block("a", '0', 0);
  };
  for (const char* body : {"5 a=b", "99 a=b\n", "6 a=b\nrest", "5 ab\n", "x a=b\n", "0 a=b\n", "6 =b\n\n", "\n",
                           "99999999999999999999 a=b\n"}) {
    expectError(Code::invalid, "tar: ", [&] { readTar(withBody(body)); });
  }
  expectError(Code::invalid, "NUL in a name", [&] {
    readTar(pax('x', {{"path", std::string("a\0b", 3)}}) + block("a", '0', 0));
  });
  expectError(Code::invalid, "longer than", [&] {
    readTar(pax('x', {{"path", std::string(70000, 'p')}}) + block("a", '0', 0));
  });
  expectError(Code::invalid, "'size'", [&] { readTar(pax('x', {{"size", "-1"}}) + block("a", '0', 0)); });
  expectError(Code::invalid, "out of range", [&] { readTar(pax('x', {{"uid", "4294967295"}}) + block("a", '0', 0)); });
  expectError(Code::invalid, "extended header is larger", [&] { readTar(block("pax", 'x', 2 << 20)); });
}

TEST(Tar, ReadsPaxSparseFormats00And01) {
  const std::string data = "aaaabb";
  const std::string v00 = pax('x', {{"GNU.sparse.size", "100"},
                                    {"GNU.sparse.numblocks", "2"},
                                    {"GNU.sparse.offset", "10"},
                                    {"GNU.sparse.numbytes", "4"},
                                    {"GNU.sparse.offset", "50"},
                                    {"GNU.sparse.numbytes", "2"}}) +
                          block("s", '0', 6) + padded(data);
  const std::string v01 =
      pax('x', {{"GNU.sparse.size", "100"}, {"GNU.sparse.map", "10,4,50,2"}, {"GNU.sparse.name", "real"}}) +
      block("s", '0', 6) + padded(data);
  std::string want(100, '\0');
  want.replace(10, 4, "aaaa").replace(50, 2, "bb");
  EXPECT_EQ(readTar(v00).at(0).content, want);
  EXPECT_EQ(readTar(v01).at(0).content, want);
  EXPECT_EQ(readTar(v01).at(0).entry.name, "real");
  EXPECT_TRUE(readTar(v01).at(0).entry.sparse);
}

TEST(Tar, RefusesSparseMapsThatDoNotFit) {
  for (const char* map :
       {"10,4,12,2", "10,4,99,2", "10,4", "10,4,50,9223372036854775807", "10,4,50", "-1,4,50,2", "a,b"}) {
    expectError(Code::invalid, "tar: ", [&] {
      readTar(pax('x', {{"GNU.sparse.size", "100"}, {"GNU.sparse.map", map}}) + block("s", '0', 6) + padded("aaaabb"));
    });
  }
}

/// Everything that is not content, and the content, make the stream.
class Recorder : public TarTap {
 public:
  void meta(std::string_view bytes) override { all += bytes; }
  std::string all;
};

TEST(Tar, TellsTheTapEveryByteThatIsNotContent) {
  const std::string bytes = TarBuilder().dir("d").file("d/f", noise(700)).link("l", "d").bytes() + noise(9000);
  Recorder tap;
  StringSource from(bytes);
  TarReader reader(from, &tap);
  while (reader.next()) {
    while (const auto chunk = reader.nextChunk()) tap.all += chunk->bytes;
  }
  EXPECT_EQ(reader.drain(), 9000);
  EXPECT_EQ(tap.all, bytes);
}

class ToolTar : public ::testing::TestWithParam<const char*> {};

TEST_P(ToolTar, IsReadAsWritten) {
  TempDir dir;
  dir.make("in/sub");
  writeFile(dir / "in/plain", "plain content\n", 0640);
  writeFile(dir / ("in/" + std::string(200, 'x')), "long", 0644);
  writeFile(dir / "in/sub/größe", "utf8");
  ASSERT_EQ(::symlink("plain", (dir / "in/link").c_str()), 0);
  ASSERT_EQ(::link((dir / "in/plain").c_str(), (dir / "in/hard").c_str()), 0);
  ASSERT_EQ(::mkfifo((dir / "in/fifo").c_str(), 0600), 0);
  shell(dir.path(),
        "dd if=/dev/urandom of=in/sparse bs=4096 count=3 seek=50 2>/dev/null; "
        "for i in 1 3 5 7 9 11 13 15 17 19 21 23 25 27 29 31 33; do "
        "dd if=/dev/urandom of=in/sparse bs=4096 count=1 conv=notrunc seek=$((i*7)) 2>/dev/null; done; "
        "truncate -s 3000000 in/sparse");
  shell(dir.path(), std::string(GetParam()));
  std::map<std::string, Read> got;
  for (auto& r : readTar(readFile(dir / "out.tar"))) got.emplace(r.entry.name, std::move(r));
  EXPECT_EQ(got.at("in/plain").content.size() + got.at("in/hard").content.size(), 14U);  // one is the other's link
  EXPECT_EQ(got.at("in/" + std::string(200, 'x')).content, "long");
  EXPECT_EQ(got.at("in/sub/größe").content, "utf8");
  EXPECT_EQ(got.at("in/link").entry.linkName, "plain");
  EXPECT_EQ(got.at("in/fifo").entry.type, TarType::fifo);
  EXPECT_EQ(got.at("in/sub/").entry.type, TarType::directory);
  EXPECT_EQ(got.at("in/sparse").content, readFile(dir / "in/sparse"));
}

INSTANTIATE_TEST_SUITE_P(
    Commands, ToolTar,
    ::testing::Values("tar -cf out.tar --format=gnu in", "tar -cf out.tar -S --format=gnu in",
                      "tar -cf out.tar --format=posix in", "tar -cf out.tar -S --format=posix --sparse-version=0.0 in",
                      "tar -cf out.tar -S --format=posix --sparse-version=0.1 in",
                      "tar -cf out.tar -S --format=posix --sparse-version=1.0 in",
                      "python3 -c \"import tarfile; t=tarfile.open('out.tar','w',format=tarfile.PAX_FORMAT); "
                      "t.add('in'); t.close()\"",
                      "python3 -c \"import tarfile; t=tarfile.open('out.tar','w',format=tarfile.GNU_FORMAT); "
                      "t.add('in'); t.close()\""));

TEST(Tar, IsReadByGnuTar) {
  TempDir dir;
  TarBuilder b;
  b.dir("d").file("d/f", "content", 0600).link("d/l", "f").hardlink("d/h", "d/f").file(std::string(150, 'n'), "long");
  b.file("d/ünicode", "u");
  writeFile(dir / "a.tar", b.bytes());
  dir.make("out");
  shell(dir / "out", "tar xf ../a.tar");
  EXPECT_EQ(readFile(dir / "out/d/h"), "content");
  EXPECT_EQ(readLink(dir / "out/d/l"), "f");
  EXPECT_EQ(readFile(dir / ("out/" + std::string(150, 'n'))), "long");
  EXPECT_EQ(readFile(dir / "out/d/ünicode"), "u");
}

}  // namespace
}  // namespace estiba::archive
