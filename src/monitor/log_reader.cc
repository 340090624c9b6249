#include "monitor/log_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sys/file.h"

namespace estiba::monitor {

namespace {

constexpr size_t kBlock = 64 * 1024;
constexpr int kMaxRotated = 1000;
constexpr size_t kMaxLine = 1 << 20;  // our own are 100 KiB at most; what is longer is damaged

struct LogFile {
  Fd fd;
  uint64_t offset = 0;
  ino_t inode = 0;
};

std::optional<LogFile> openLog(const std::string& path) {
  auto fd = tryOpen(path, O_RDONLY);
  if (!fd) return std::nullopt;
  struct stat st {};
  sys([&] { return ::fstat(fd->get(), &st); }, "stat log '{}'", path);
  return LogFile{std::move(*fd), 0, st.st_ino};
}

ino_t inodeOf(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

// Every file of the log, oldest first. nullopt: a rotation was under way, what was seen is not one moment's.
std::optional<std::vector<LogFile>> tryListFiles(const std::string& path) {
  std::vector<LogFile> files;
  auto newest = openLog(path);
  const ino_t inode = newest ? newest->inode : 0;
  if (newest) files.push_back(std::move(*newest));
  for (int i = 1, missing = 0; i <= kMaxRotated && missing < 2; ++i) {
    auto file = openLog(fmt::format("{}.{}", path, i));
    if (!file) {
      ++missing;
    } else if (missing > 0) {
      return std::nullopt;  // renamed from the oldest on: there is a gap meanwhile
    } else {
      files.push_back(std::move(*file));
    }
  }
  if (inodeOf(path) != inode) return std::nullopt;
  std::reverse(files.begin(), files.end());
  return files;
}

std::vector<LogFile> listFiles(const std::string& path) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (auto files = tryListFiles(path)) return std::move(*files);
    ::poll(nullptr, 0, 1);  // a rotation is a few renames
  }
  std::vector<LogFile> only;  // one that was broken off, with a gap left behind
  if (auto newest = openLog(path)) only.push_back(std::move(*newest));
  return only;
}

uint64_t sizeOf(const LogFile& file) {
  struct stat st {};
  return ::fstat(file.fd.get(), &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
}

// Moves `file` to where its last `wanted` lines start; returns how many of them it has.
uint64_t seekTail(LogFile& file, uint64_t wanted) {
  uint64_t end = sizeOf(file), found = 0;
  bool atEnd = true;
  std::string block(kBlock, '\0');
  while (end > 0) {
    const size_t length = std::min<uint64_t>(kBlock, end);
    const ssize_t n = ::pread(file.fd.get(), block.data(), length, static_cast<off_t>(end - length));
    if (n != static_cast<ssize_t>(length)) break;
    for (size_t i = length; i-- > 0;) {
      if (block[i] != '\n') continue;
      if (!std::exchange(atEnd, false) && found == wanted) return file.offset = end - length + i + 1, wanted;
      ++found;
    }
    end -= length;
  }
  file.offset = 0;
  return found;
}

// The text of a JSON string that starts after its opening quote; nullopt where the fast way does not know it.
std::optional<std::string> takeString(std::string_view& in) {
  std::string out;
  for (;;) {
    const size_t stop = in.find_first_of("\"\\");
    if (stop == std::string_view::npos) return std::nullopt;
    out.append(in.substr(0, stop));
    in.remove_prefix(stop + 1);
    if (in.data()[-1] == '"') return out;
    if (in.empty()) return std::nullopt;
    const char c = in[0];
    in.remove_prefix(1);
    if (c == 'n') {
      out += '\n';
    } else if (c == 'r') {
      out += '\r';
    } else if (c == '"' || c == '\\') {
      out += c;
    } else if (c == 'u' && in.size() >= 4 && in.starts_with("00") && in[2] < '8') {
      const auto digit = [](char d) { return d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10; };
      out += static_cast<char>(digit(in[2]) * 16 + digit(in[3]));
      in.remove_prefix(4);
    } else if (c == 'u' && in.starts_with("fffd")) {
      out += "\xEF\xBF\xBD";
      in.remove_prefix(4);
    } else {
      return std::nullopt;
    }
  }
}

bool take(std::string_view& in, std::string_view expected) {
  if (!in.starts_with(expected)) return false;
  in.remove_prefix(expected.size());
  return true;
}

// {"log":"…","stream":"…","time":"…"} and nothing else: nearly every line.
std::optional<LogEntry> parseFast(std::string_view in) {
  LogEntry entry;
  if (!take(in, "{\"log\":\"")) return std::nullopt;
  auto text = takeString(in);
  if (!text || !take(in, ",\"stream\":\"")) return std::nullopt;
  auto stream = takeString(in);
  if (!stream || !take(in, ",\"time\":\"")) return std::nullopt;
  const auto stamp = takeString(in);
  if (!stamp || in != "}") return std::nullopt;
  const auto time = parseRfc3339(*stamp);
  if (!time) return std::nullopt;
  return LogEntry{*time, std::move(*stream), std::move(*text), {}};
}

struct RawEntry {
  std::string log, stream, time;
  std::map<std::string, std::string> attrs;
};
BOOST_DESCRIBE_STRUCT(RawEntry, (), (log, stream, time, attrs))

}  // namespace

std::optional<LogEntry> parseLogLine(std::string_view line) {
  if (auto entry = parseFast(line)) return entry;
  try {
    auto raw = parseJsonAs<RawEntry>(line, "log line");
    const auto time = parseRfc3339(raw.time);
    if (!time) return std::nullopt;
    return LogEntry{*time, std::move(raw.stream), std::move(raw.log), std::move(raw.attrs)};
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string formatLogEntry(const LogEntry& entry, bool timestamps, bool details) {
  std::string out;
  if (timestamps) out += rfc3339NanoPadded(entry.time) + " ";
  if (details) {
    std::string list;
    for (const auto& [key, value] : entry.attrs) list += (list.empty() ? "" : ",") + key + "=" + value;
    out += list + " ";
  }
  return out + entry.line;
}

struct LogReader::Impl {
  std::string path;
  LogReadOptions options;
  Fd inotify;
  std::vector<LogFile> files;  // oldest first; the last one is read to its end, then followed
  size_t current = 0;
  std::string buffer;
  size_t used = 0;  // of buffer, already handed out
  bool done = false;

  void applyTail();
  bool fill();
  bool advance();
  void appendNewer();
  std::optional<std::string_view> nextLine();
};

LogReader::LogReader(std::string path, LogReadOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
  impl_->options = options;
  if (options.follow) {  // before the first look: nothing that comes later is missed
    impl_->inotify = Fd(sys([] { return ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }, "create inotify"));
    const std::string dir = impl_->path.substr(0, impl_->path.rfind('/'));
    sys([&] { return ::inotify_add_watch(impl_->inotify.get(), dir.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO); },
        "watch '{}'", dir);
  }
  impl_->files = listFiles(impl_->path);
  if (options.tail) impl_->applyTail();
}

LogReader::~LogReader() = default;
LogReader::LogReader(LogReader&&) noexcept = default;

void LogReader::Impl::applyTail() {
  uint64_t wanted = *options.tail;
  size_t i = files.size();
  if (wanted == 0) {
    if (i > 0) files.back().offset = sizeOf(files.back());
    current = i > 0 ? i - 1 : 0;
    return;
  }
  while (i > 0 && wanted > 0) wanted -= seekTail(files[--i], wanted);
  current = i;
}

bool LogReader::Impl::fill() {
  if (current >= files.size()) return false;
  LogFile& file = files[current];
  if (sizeOf(file) < file.offset) {  // truncated: a log of one file
    file.offset = 0;
    buffer.clear();
    used = 0;
  }
  buffer.erase(0, std::exchange(used, 0));
  if (buffer.size() > kMaxLine) buffer.clear();
  const size_t kept = buffer.size();
  buffer.resize(kept + kBlock);
  const ssize_t n =
      sys([&] { return ::pread(file.fd.get(), buffer.data() + kept, kBlock, static_cast<off_t>(file.offset)); },
          "read log '{}'", path);
  buffer.resize(kept + static_cast<size_t>(n));
  file.offset += static_cast<uint64_t>(n);
  return n > 0;
}

// Files that appeared after the newest that we know.
void LogReader::Impl::appendNewer() {
  if (!files.empty() && inodeOf(path) == files.back().inode) return;
  auto all = listFiles(path);
  auto first = all.begin();
  if (!files.empty()) {
    const auto known =
        std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.inode == files.back().inode; });
    if (known != all.end()) first = known + 1;  // else ours was dropped: all that are there came later
  }
  std::move(first, all.end(), std::back_inserter(files));
}

bool LogReader::Impl::advance() {
  if (current + 1 >= files.size()) {
    const size_t before = files.size();
    appendNewer();
    if (files.size() == before) return false;
    if (before == 0) return true;
    if (fill()) return true;  // it was written to between our last read and its rotation
  }
  files[current].fd.reset();
  ++current;
  buffer.clear();
  used = 0;
  return true;
}

std::optional<std::string_view> LogReader::Impl::nextLine() {
  for (;;) {
    const size_t end = buffer.find('\n', used);
    if (end != std::string::npos) {
      const std::string_view line = std::string_view(buffer).substr(used, end - used);
      used = end + 1;
      return line;
    }
    if (!fill() && !advance()) return std::nullopt;
  }
}

std::optional<LogEntry> LogReader::next() {
  const LogReadOptions& o = impl_->options;
  while (!impl_->done) {
    const auto line = impl_->nextLine();
    if (!line) return std::nullopt;
    auto entry = parseLogLine(*line);
    if (!entry || (o.since && entry->time < *o.since)) continue;
    if (o.until && entry->time > *o.until) {
      impl_->done = true;
      return std::nullopt;
    }
    if (entry->stream == "stderr" ? o.stderr_ : o.stdout_) return entry;
  }
  return std::nullopt;
}

bool LogReader::waitForMore(const std::stop_token& stop, int endFd) {
  if (impl_->done || !impl_->options.follow || stop.stop_requested()) return false;
  const Fd wake(sys([] { return ::eventfd(0, EFD_CLOEXEC); }, "create eventfd"));
  const std::stop_callback callback(stop, [&] { ::eventfd_write(wake.get(), 1); });
  pollfd polls[] = {{impl_->inotify.get(), POLLIN, 0}, {wake.get(), POLLIN, 0}, {endFd, POLLIN, 0}};
  int timeout = -1;
  if (impl_->options.until) {
    const int64_t left = (impl_->options.until->ns - now().ns) / 1'000'000 + 1;
    if (left <= 0) return false;
    timeout = static_cast<int>(std::min<int64_t>(left, 1 << 30));
  }
  const int ready = sys([&] { return ::poll(polls, 3, timeout); }, "wait for log '{}'", impl_->path);
  if (ready == 0 || polls[1].revents != 0 || polls[2].revents != 0) return false;
  char events[4096];
  while (::read(impl_->inotify.get(), events, sizeof events) > 0) {
  }
  return true;
}

void LogReader::run(const std::function<bool(const LogEntry&)>& sink, const std::stop_token& stop, int endFd) {
  const auto drain = [&] {
    while (auto entry = next()) {
      if (stop.stop_requested() || !sink(*entry)) return false;
    }
    return true;
  };
  while (drain()) {
    if (waitForMore(stop, endFd)) continue;
    if (impl_->options.follow) drain();  // what was written between our last read and the end
    return;
  }
}

}  // namespace estiba::monitor
