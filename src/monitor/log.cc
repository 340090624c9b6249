#include "monitor/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/error.h"

namespace estiba::monitor {

namespace {

constexpr size_t kBuffer = 512 * 1024;  // enough for a write(2) to be cheap; only what is used of it is touched

bool isPlain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

// The length of the well-formed UTF-8 sequence at the start (RFC 3629: no overlong forms, no surrogates); 0: none.
size_t utf8Length(std::string_view t) {
  const auto at = [&](size_t i) { return i < t.size() ? static_cast<unsigned char>(t[i]) : 0; };
  const auto tail = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const unsigned a = at(0), b = at(1);
  if (a >= 0xC2 && a <= 0xDF) return tail(1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    const unsigned low = a == 0xE0 ? 0xA0 : 0x80, high = a == 0xED ? 0x9F : 0xBF;
    return b >= low && b <= high && tail(2) ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    const unsigned low = a == 0xF0 ? 0x90 : 0x80, high = a == 0xF4 ? 0x8F : 0xBF;
    return b >= low && b <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

char* put(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// Writes the escape of what stands at the start of `text` and drops it from there.
char* putEscape(char* out, std::string_view& text) {
  constexpr char kHex[] = "0123456789abcdef";
  const auto c = static_cast<unsigned char>(text[0]);
  size_t used = 1;
  if (c >= 0x80) {
    used = utf8Length(text);
    if (used == 0) {
      out = put(out, "\\ufffd");
      used = 1;
    } else if (text.starts_with("\xE2\x80\xA8")) {  // Go escapes what JavaScript cannot take
      out = put(out, "\\u2028");
    } else if (text.starts_with("\xE2\x80\xA9")) {
      out = put(out, "\\u2029");
    } else {
      out = put(out, text.substr(0, used));
    }
  } else if (c == '"' || c == '\\') {
    *out++ = '\\';
    *out++ = static_cast<char>(c);
  } else if (c == '\n' || c == '\r') {
    *out++ = '\\';
    *out++ = c == '\n' ? 'n' : 'r';
  } else {
    out = put(out, "\\u00");
    *out++ = kHex[c >> 4];
    *out++ = kHex[c & 15];
  }
  text.remove_prefix(used);
  return out;
}

// The longest an escaped text gets, with room to store past its end.
constexpr size_t escapedRoom(size_t size) {
  return 6 * size + 16;
}

// The log sees every byte that a container writes: 16 at a time are looked at and copied.
char* putEscaped(char* out, std::string_view text) {
  while (!text.empty()) {
#if defined(__SSE2__)
    const __m128i space = _mm_set1_epi8(0x20);
    while (text.size() >= 16) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data()));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), v);
      __m128i special = _mm_cmplt_epi8(v, space);  // signed: control characters and everything from 0x80
      for (const char c : {'"', '\\', '<', '>', '&'}) {
        special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8(c)));
      }
      const int mask = _mm_movemask_epi8(special);
      const size_t plain = mask == 0 ? 16 : static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
      out += plain;
      text.remove_prefix(plain);
      if (mask != 0) break;
    }
#endif
    while (!text.empty() && isPlain(static_cast<unsigned char>(text[0]))) {
      *out++ = text[0];
      text.remove_prefix(1);
    }
    while (!text.empty() && !isPlain(static_cast<unsigned char>(text[0]))) out = putEscape(out, text);
  }
  return out;
}

}  // namespace

void appendJsonEscaped(std::string& out, std::string_view bytes) {
  const size_t before = out.size();
  out.resize(before + escapedRoom(bytes.size()));
  out.resize(static_cast<size_t>(putEscaped(out.data() + before, bytes) - out.data()));
}

JsonFileLog::JsonFileLog(const LogConfig& config) : config_(config) {
  if (!config_.attrs.empty()) attrs_ = "\"attrs\":" + dumpJsonOf(config_.attrs) + ",";
  openFile(O_APPEND);
}

void JsonFileLog::openFile(int flags) {
  file_ = Fd(sys([&] { return ::open(config_.path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0640); },
                 "open log '{}'", config_.path));
  struct stat st {};
  sys([&] { return ::fstat(file_.get(), &st); }, "stat log '{}'", config_.path);
  size_ = static_cast<uint64_t>(st.st_size);
}

void JsonFileLog::write(StreamId stream, std::string_view bytes, Time time) {
  Pending& pending = pending_[stream == StreamId::err ? 1 : 0];
  while (!bytes.empty()) {
    const size_t room = std::min(bytes.size(), kLogPart - pending.text.size());
    const auto* newline = static_cast<const char*>(std::memchr(bytes.data(), '\n', room));
    if (newline == nullptr && pending.text.size() + room < kLogPart) {
      pending.text.append(bytes);
      break;
    }
    const size_t length = newline != nullptr ? static_cast<size_t>(newline - bytes.data()) : room;
    std::string_view text = bytes.substr(0, length);
    if (!pending.text.empty()) text = pending.text.append(text);
    emit(stream, text, newline != nullptr, time, pending);
    pending.text.clear();
    bytes.remove_prefix(length + (newline != nullptr ? 1 : 0));
  }
  flush();
}

void JsonFileLog::finish(StreamId stream, Time time) {
  Pending& pending = pending_[stream == StreamId::err ? 1 : 0];
  if (!pending.text.empty()) emit(stream, pending.text, false, time, pending);
  pending = {};
  flush();
}

void JsonFileLog::stamp(Time time) {
  if (stampOf_ == time) return;
  stampOf_ = time;
  const std::string end = fmt::format("\",{}\"time\":\"{}\"}}\n", attrs_, rfc3339Nano(time));
  tails_[0] = "\",\"stream\":\"stdout" + end;
  tails_[1] = "\",\"stream\":\"stderr" + end;
}

void JsonFileLog::emit(StreamId stream, std::string_view text, bool newline, Time time, Pending& pending) {
  constexpr std::string_view kHead = "{\"log\":\"", kNewline = "\\n";
  const Time stamped = pending.firstPart.ns != 0 ? pending.firstPart : time;
  pending.firstPart = newline ? Time{} : stamped;
  stamp(stamped);
  const std::string& tail = tails_[stream == StreamId::err ? 1 : 0];
  if (config_.maxSize > 0 && size_ + used_ >= static_cast<uint64_t>(config_.maxSize)) rotate();
  const size_t room = kHead.size() + escapedRoom(text.size()) + kNewline.size() + tail.size();
  if (used_ > 0 && used_ + room > kBuffer) flush();
  if (!out_ || room > kBuffer) out_ = std::make_unique_for_overwrite<char[]>(std::max(room, kBuffer));
  char* end = put(out_.get() + used_, kHead);
  end = putEscaped(end, text);
  if (newline) end = put(end, kNewline);
  end = put(end, tail);
  used_ = static_cast<size_t>(end - out_.get());
  ++outLines_;
}

void JsonFileLog::flush() {
  size_t written = 0;
  while (written < used_ && file_) {
    const ssize_t n = ::write(file_.get(), out_.get() + written, used_ - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    written += static_cast<size_t>(n);
  }
  if (written == used_) {
    size_ += used_;
  } else {
    lost_ += outLines_;
    // A half line would spoil the next one: back to where the file was whole.
    if (file_ && written > 0 && ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) file_.reset();
  }
  used_ = 0;
  outLines_ = 0;
}

void JsonFileLog::rotate() {
  flush();
  // Unlinked first: a rename over a file makes ext4 write the renamed one to the disk, of what may be gone in a moment.
  if (config_.maxFile > 1) ::unlink(fmt::format("{}.{}", config_.path, config_.maxFile - 1).c_str());
  for (int i = config_.maxFile - 1; i >= 1; --i) {
    const std::string from = i == 1 ? config_.path : fmt::format("{}.{}", config_.path, i - 1);
    ::rename(from.c_str(), fmt::format("{}.{}", config_.path, i).c_str());  // missing ones are fine
  }
  try {
    openFile(O_APPEND | O_TRUNC);  // the old name is gone, or it is the only file there is to be
  } catch (const SysError&) {      // no descriptor, no space: go on in the old file rather than lose all
    size_ = 0;
  }
}

void JsonFileLog::trim() {
  out_.reset();
  for (Pending& pending : pending_) {
    if (pending.text.empty()) pending.text.shrink_to_fit();
  }
}

}  // namespace estiba::monitor
