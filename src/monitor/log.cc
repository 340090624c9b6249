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

constexpr size_t kFlushAt = 256 * 1024;  // enough for one write to be cheap, little enough to stay in the cache

bool isPlain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

// How many bytes from the start need no escape. The log sees every byte a container writes: 16 at a time.
size_t plainPrefix(std::string_view text) {
  size_t i = 0;
#if defined(__SSE2__)
  const __m128i space = _mm_set1_epi8(0x20);
  for (; i + 16 <= text.size(); i += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    __m128i special = _mm_cmplt_epi8(v, space);  // signed: control characters and everything from 0x80
    for (const char c : {'"', '\\', '<', '>', '&'})
      special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8(c)));
    if (const int mask = _mm_movemask_epi8(special)) return i + static_cast<size_t>(__builtin_ctz(mask));
  }
#endif
  while (i < text.size() && isPlain(static_cast<unsigned char>(text[i]))) ++i;
  return i;
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

// Escapes what stands at the start; returns how many bytes that was.
size_t appendEscape(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  const auto c = static_cast<unsigned char>(text[0]);
  if (c >= 0x80) {
    const size_t n = utf8Length(text);
    if (n == 0) return out += "\\ufffd", 1;
    if (text.starts_with("\xE2\x80\xA8")) return out += "\\u2028", n;  // Go escapes what JavaScript cannot take
    if (text.starts_with("\xE2\x80\xA9")) return out += "\\u2029", n;
    return out.append(text.substr(0, n)), n;
  }
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    default:
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
  return 1;
}

}  // namespace

void appendJsonEscaped(std::string& out, std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t plain = plainPrefix(bytes);
    out.append(bytes.substr(0, plain));
    bytes.remove_prefix(plain);
    while (!bytes.empty() && !isPlain(static_cast<unsigned char>(bytes[0]))) {
      bytes.remove_prefix(appendEscape(out, bytes));
    }
  }
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

void JsonFileLog::emit(StreamId stream, std::string_view text, bool newline, Time time, Pending& pending) {
  const Time stamped = pending.firstPart.ns != 0 ? pending.firstPart : time;
  pending.firstPart = newline ? Time{} : stamped;
  if (stampOf_ != stamped) {
    stamp_ = rfc3339Nano(stamped);
    stampOf_ = stamped;
  }
  if (config_.maxSize > 0 && size_ + out_.size() >= static_cast<uint64_t>(config_.maxSize)) rotate();
  if (out_.size() >= kFlushAt) flush();
  out_ += "{\"log\":\"";
  appendJsonEscaped(out_, text);
  if (newline) out_ += "\\n";
  out_ += stream == StreamId::err ? "\",\"stream\":\"stderr\"," : "\",\"stream\":\"stdout\",";
  out_ += attrs_;
  out_ += "\"time\":\"";
  out_ += stamp_;
  out_ += "\"}\n";
  ++outLines_;
}

void JsonFileLog::flush() {
  std::string_view rest = out_;
  while (!rest.empty() && file_) {
    const ssize_t n = ::write(file_.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    rest.remove_prefix(static_cast<size_t>(n));
  }
  if (rest.empty()) {
    size_ += out_.size();
  } else {
    lost_ += outLines_;
    // A half line would spoil the next one: back to where the file was whole.
    if (file_ && rest.size() != out_.size() && ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) file_.reset();
  }
  out_.clear();
  outLines_ = 0;
}

void JsonFileLog::rotate() {
  flush();
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
  out_.shrink_to_fit();
  for (Pending& pending : pending_) {
    if (pending.text.empty()) pending.text.shrink_to_fit();
  }
}

}  // namespace estiba::monitor
