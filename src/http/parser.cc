#include "http/parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <cstring>

namespace estiba::http {
namespace beast = boost::beast::http;
using boost::beast::string_view;
using boost::system::error_code;

struct MessageParser::Impl {
  virtual ~Impl() = default;
  virtual size_t put(std::string_view bytes, error_code& ec) = 0;
  virtual void putEof(error_code& ec) = 0;
  virtual bool headerDone() const = 0;
  virtual bool done() const = 0;
  virtual bool keepAlive() const = 0;
  virtual bool chunked() const = 0;
  virtual std::optional<uint64_t> contentLength() const = 0;

  MessageHead head;
  char* out = nullptr;  // where feedBody's bytes go
  size_t room = 0;
  size_t produced = 0;
};

namespace {

std::string_view std_(string_view text) {
  return {text.data(), text.size()};
}

template <bool isRequest>
class Parser final : public beast::basic_parser<isRequest>, public MessageParser::Impl {
  using Base = beast::basic_parser<isRequest>;

 public:
  Parser(size_t headerLimit, bool toHead) {
    Base::header_limit(static_cast<uint32_t>(headerLimit));
    Base::body_limit(boost::none);  // bodies are streamed: their readers have limits
    Base::eager(false);
    if (toHead) Base::skip(true);
  }
  size_t put(std::string_view bytes, error_code& ec) override {
    return Base::put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  }
  void putEof(error_code& ec) override { Base::put_eof(ec); }
  bool headerDone() const override { return Base::is_header_done(); }
  bool done() const override { return Base::is_done(); }
  bool keepAlive() const override { return Base::keep_alive(); }
  bool chunked() const override { return Base::chunked(); }
  std::optional<uint64_t> contentLength() const override {
    const auto length = Base::content_length();
    return length ? std::optional<uint64_t>(*length) : std::nullopt;
  }

 private:
  void on_request_impl(beast::verb, string_view method, string_view target, int version, error_code&) override {
    head.method = std_(method);
    head.target = std_(target);
    head.minorVersion = version % 10;
  }
  void on_response_impl(int code, string_view reason, int version, error_code&) override {
    head.status = code;
    head.reason = std_(reason);
    head.minorVersion = version % 10;
  }
  void on_field_impl(beast::field, string_view name, string_view value, error_code&) override {
    if (head.headers.size() < 1000) return head.headers.add(std_(name), std_(value));
    fail(Code::invalid, "malformed HTTP message: too many header fields");
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<uint64_t> const&, error_code&) override {}
  size_t on_body_impl(string_view body, error_code&) override { return take(body); }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view body, error_code&) override { return take(body); }
  void on_finish_impl(error_code&) override {}

  size_t take(string_view body) {
    const size_t n = std::min(room - produced, body.size());
    if (n != 0) std::memcpy(out + produced, body.data(), n);
    produced += n;
    return n;
  }
};

}  // namespace

MessageParser::MessageParser(Kind kind, size_t headerLimit) : headLeft_(headerLimit) {
  if (kind == Kind::request) {
    impl_ = std::make_unique<Parser<true>>(headerLimit, false);
  } else {
    impl_ = std::make_unique<Parser<false>>(headerLimit, kind == Kind::responseToHead);
  }
}
MessageParser::~MessageParser() = default;

void MessageParser::check(const error_code& ec) {
  if (!ec || ec == beast::error::need_more) return;
  failed_ = true;
  if (ec == beast::error::header_limit) fail(Code::invalid, "malformed HTTP message: the header is too large");
  fail(Code::invalid, "malformed HTTP message: {}", ec.message());
}

size_t MessageParser::feedHead(std::string_view bytes) {
  if (failed_) check(beast::error::stale_parser);
  error_code ec;
  const size_t used = impl_->put(bytes, ec);
  check(ec);
  if (used > headLeft_) check(beast::error::header_limit);  // Beast's own limit is for what it has not consumed yet
  headLeft_ -= used;
  return used;
}

MessageParser::Step MessageParser::feedBody(std::string_view bytes, char* out, size_t size) {
  if (failed_) check(beast::error::stale_parser);  // Beast asserts where it is asked again after an error
  impl_->out = out;
  impl_->room = size;
  impl_->produced = 0;
  size_t used = 0;
  while (used < bytes.size() && impl_->produced < size && !impl_->done()) {
    error_code ec;
    const size_t produced = impl_->produced;
    const size_t n = impl_->put(bytes.substr(used), ec);
    used += n;
    check(ec);
    if (ec || (n == 0 && impl_->produced == produced)) break;
  }
  return {used, impl_->produced};
}

void MessageParser::endOfInput() {
  error_code ec;
  impl_->putEof(ec);
  if (ec) fail(Code::unavailable, "the connection ended in the middle of a message");
}

bool MessageParser::headDone() const {
  return impl_->headerDone();
}
MessageHead& MessageParser::head() {
  return impl_->head;
}
bool MessageParser::done() const {
  return impl_->done();
}
bool MessageParser::keepAlive() const {
  return impl_->keepAlive();
}
bool MessageParser::chunked() const {
  return impl_->chunked();
}
std::optional<uint64_t> MessageParser::contentLength() const {
  return impl_->contentLength();
}

}  // namespace estiba::http
