#include "http/json_stream.h"

namespace estiba::http {

void JsonStreamWriter::write(const json::value& message) {
  sink_(dumpJson(message) + end_);
}

struct JsonStreamReader::Impl {
  Impl(BodyReader& b, size_t l) : body(b), limit(l), parser({}, options()) {}
  static json::parse_options options() {
    json::parse_options o;
    o.max_depth = 64;
    return o;
  }
  bool refill();
  std::optional<json::value> take();

  BodyReader& body;
  size_t limit;
  json::stream_parser parser;
  char buffer[16384];
  size_t begin = 0, end = 0;
  size_t used = 0;  // bytes of the message that is being read
};

bool JsonStreamReader::Impl::refill() {
  begin = 0;
  end = body.read(buffer, sizeof buffer);
  return end != 0;
}

std::optional<json::value> JsonStreamReader::Impl::take() {
  json::value value = parser.release();
  parser.reset();
  used = 0;
  return value;
}

JsonStreamReader::JsonStreamReader(BodyReader& body, size_t messageLimit)
    : impl_(std::make_unique<Impl>(body, messageLimit)) {}
JsonStreamReader::~JsonStreamReader() = default;

std::optional<json::value> JsonStreamReader::next() {
  Impl& s = *impl_;
  for (;;) {
    while (s.used == 0 && s.begin < s.end && std::string_view(" \t\r\n").find(s.buffer[s.begin]) != std::string::npos) {
      ++s.begin;
    }
    if (s.begin == s.end) {
      if (s.refill()) continue;
      if (s.used == 0) return std::nullopt;
      boost::system::error_code ec;
      s.parser.finish(ec);  // a number may end with the stream
      if (ec) fail(Code::invalid, "unexpected end of JSON input");
      return s.take();
    }
    boost::system::error_code ec;
    const size_t n = s.parser.write_some(s.buffer + s.begin, s.end - s.begin, ec);
    s.begin += n;
    s.used += n;
    if (ec) fail(Code::invalid, "invalid JSON in a stream of messages: {}", ec.message());
    if (s.used > s.limit) fail(Code::invalid, "a JSON message is larger than {} bytes", s.limit);
    if (s.parser.done()) return s.take();
  }
}

}  // namespace estiba::http
