#include "http/tls.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "http/stream.h"
#include "http/tls_bridge.h"
#include "sys/file.h"

namespace estiba::http {

struct SslContext {
  SSL_CTX* ctx = nullptr;
  ~SslContext() { SSL_CTX_free(ctx); }
};

namespace {

std::string sslReason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return reason != nullptr ? reason : "unknown error";
}

std::unique_ptr<SslContext> newContext(const SSL_METHOD* method) {
  // No openssl.cnf: what we speak does not depend on the host's file, and its modules are not loaded.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  auto context = std::make_unique<SslContext>();
  context->ctx = SSL_CTX_new(method);
  if (context->ctx == nullptr) fail(Code::internal, "start TLS: {}", sslReason());
  SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION);
  SSL_CTX_set_mode(context->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
  return context;
}

bool isHashDir(const char* path) {
  // c_rehash's names: eight hex digits and ".0"
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path), &::closedir);
  if (!dir) return false;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() == 10 && name.ends_with(".0") && isHex(name.substr(0, 8))) return true;
  }
  return false;
}

// A directory of hashed names costs nothing until a name is looked up in it; a bundle of 140 roots costs milliseconds.
void trustSystem(SSL_CTX* ctx) {
  if (const char* file = std::getenv("SSL_CERT_FILE")) {
    if (SSL_CTX_load_verify_file(ctx, file) == 1) return;
  }
  const char* named = std::getenv("SSL_CERT_DIR");
  const char* dir = named != nullptr ? named : "/etc/ssl/certs";
  if (isHashDir(dir) && SSL_CTX_load_verify_dir(ctx, dir) == 1) return;
  constexpr std::array kBundles = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                   "/etc/ssl/ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                                   "/etc/ssl/cert.pem"};
  for (const char* bundle : kBundles) {
    if (SSL_CTX_load_verify_file(ctx, bundle) == 1) break;
  }
  ERR_clear_error();
}

void loadIdentity(SSL_CTX* ctx, const std::string& certFile, const std::string& keyFile) {
  if (SSL_CTX_use_certificate_chain_file(ctx, certFile.c_str()) != 1) {
    fail(Code::invalid, "load certificate '{}': {}", certFile, sslReason());
  }
  if (SSL_CTX_use_PrivateKey_file(ctx, keyFile.c_str(), SSL_FILETYPE_PEM) != 1) {
    fail(Code::invalid, "load key '{}': {}", keyFile, sslReason());
  }
}

void trustFile(SSL_CTX* ctx, const std::string& file) {
  if (SSL_CTX_load_verify_file(ctx, file.c_str()) != 1) {
    fail(Code::invalid, "load CA certificates '{}': {}", file, sslReason());
  }
}

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL: a vanished peer would kill the process.
int bioWrite(BIO* bio, const char* data, int size) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::send(fd, data, static_cast<size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int bioRead(BIO* bio, char* data, int size) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::recv(fd, data, static_cast<size_t>(size), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(n);
}

long bioCtrl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

BIO* socketBio(int fd) {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write(method, bioWrite);
    BIO_meth_set_read(method, bioRead);
    BIO_meth_set_ctrl(method, bioCtrl);
    return method;
  }();
  BIO* bio = BIO_new(kMethod);
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslFree>;

SslPtr newSession(SSL_CTX* ctx, int fd) {
  SslPtr ssl(SSL_new(ctx));
  if (!ssl) fail(Code::internal, "start TLS: {}", sslReason());
  BIO* bio = socketBio(fd);
  SSL_set_bio(ssl.get(), bio, bio);
  return ssl;
}

class TlsStream final : public Stream {
 public:
  TlsStream(Fd socket, SslPtr ssl) : fd_(std::move(socket)), ssl_(std::move(ssl)) {}
  ~TlsStream() override {
    if (ssl_ && handshaken_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  void handshake(bool client, const std::string& who, milliseconds timeout) {
    const auto end = monotonic() + timeout;
    for (;;) {
      ERR_clear_error();
      const int r = client ? SSL_connect(ssl_.get()) : SSL_accept(ssl_.get());
      if (r == 1) {
        handshaken_ = true;
        return;
      }
      const int error = SSL_get_error(ssl_.get(), r);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) handshakeFailed(who, error);
      auto left = milliseconds(0);
      if (timeout.count() > 0) {
        left = std::chrono::ceil<milliseconds>(end - monotonic());
        if (left.count() <= 0) fail(Code::deadline, "TLS handshake with {}: timeout", who);
      }
      waitWanted(error, left, "TLS handshake timeout");
    }
  }

  size_t read(char* data, size_t size, milliseconds timeout) override {
    for (;;) {
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 30)));
      if (n > 0) return static_cast<size_t>(n);
      const int error = SSL_get_error(ssl_.get(), n);
      if (error == SSL_ERROR_ZERO_RETURN) return 0;
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) broken(error);
      waitWanted(error, timeout, "timeout while waiting for the peer");
    }
  }

  void write(std::string_view first, std::string_view second, std::span<const int> passFds) override {
    if (!passFds.empty()) fail(Code::invalid, "a descriptor cannot be passed over TLS");
    // One record for a header and its small body.
    if (!second.empty() && first.size() + second.size() <= 16384) {
      std::string both(first);
      writeAll(both.append(second));
    } else {
      writeAll(first);
      writeAll(second);
    }
  }

  bool writeUnlessAnswered(std::string_view bytes) override {
    writeAll(bytes);
    return true;
  }

  bool readable() const override {
    // Session tickets may wait in the socket: only what decrypts to bytes, or an end, counts.
    char byte = 0;
    ERR_clear_error();
    const int n = SSL_peek(ssl_.get(), &byte, 1);
    return n > 0 || SSL_get_error(ssl_.get(), n) != SSL_ERROR_WANT_READ;
  }

  Fd release() override {
    handshaken_ = false;
    return bridgeTls(std::move(fd_), ssl_.release());
  }
  int fd() const noexcept override { return fd_.get(); }

 private:
  void writeAll(std::string_view bytes) {
    while (!bytes.empty()) {
      ERR_clear_error();
      const int n = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(std::min<size_t>(bytes.size(), 1 << 30)));
      if (n > 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
        continue;
      }
      const int error = SSL_get_error(ssl_.get(), n);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        handshaken_ = false;
        fail(Code::cancelled, "the peer closed the connection");
      }
      waitWanted(error, milliseconds(0), "timeout while writing");
    }
  }

  void waitWanted(int error, milliseconds timeout, const char* late) const {
    if (!waitFor(fd_.get(), error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, timeout)) fail(Code::deadline, "{}", late);
  }

  [[noreturn]] void broken(int error) {
    handshaken_ = false;  // nothing may be sent any more, not even a close_notify
    if (error == SSL_ERROR_SYSCALL) fail(Code::unavailable, "the connection was reset by its peer");
    fail(Code::unavailable, "TLS connection: {}", sslReason());
  }

  [[noreturn]] void handshakeFailed(const std::string& who, int error) const {
    if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
      ERR_clear_error();
      fail(Code::unavailable, "TLS handshake with {}: certificate: {}", who, X509_verify_cert_error_string(verdict));
    }
    if (error == SSL_ERROR_SYSCALL && ERR_peek_last_error() == 0) {
      fail(Code::unavailable, "TLS handshake with {}: the peer closed the connection", who);
    }
    fail(Code::unavailable, "TLS handshake with {}: {}", who, sslReason());
  }

  Fd fd_;
  SslPtr ssl_;
  bool handshaken_ = false;
};

void expectPeer(SSL* ssl, const std::string& name, bool verify) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str());
  const bool numeric = address != nullptr;
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  if (!numeric) SSL_set_tlsext_host_name(ssl, name.c_str());
  if (!verify) return;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set =
      numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) : SSL_set1_host(ssl, name.c_str());
  if (set != 1) fail(Code::invalid, "invalid host name '{}'", name);
}

}  // namespace

TlsClientContext::TlsClientContext(const TlsOptions& options)
    : options_(options), context_(newContext(TLS_client_method())) {
  SSL_CTX* ctx = context_->ctx;
  SSL_CTX_set_verify(ctx, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options.verify) {
    options.caFile.empty() ? trustSystem(ctx) : trustFile(ctx, options.caFile);
    for (const auto& name : options.caDir.empty() ? std::vector<std::string>{} : listDir(options.caDir)) {
      if (endsWith(name, ".crt")) trustFile(ctx, options.caDir + "/" + name);
    }
  }
  if (!options.certFile.empty()) loadIdentity(ctx, options.certFile, options.keyFile);
}
TlsClientContext::~TlsClientContext() = default;
TlsClientContext::TlsClientContext(TlsClientContext&&) noexcept = default;

TlsServerContext::TlsServerContext(const TlsServerOptions& options) : context_(newContext(TLS_server_method())) {
  SSL_CTX* ctx = context_->ctx;
  loadIdentity(ctx, options.certFile, options.keyFile);
  if (!options.clientCa.empty()) {
    trustFile(ctx, options.clientCa);
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(options.clientCa.c_str()));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
}
TlsServerContext::~TlsServerContext() = default;
TlsServerContext::TlsServerContext(TlsServerContext&&) noexcept = default;

std::unique_ptr<Stream> tlsClientStream(Fd socket, const TlsClientContext& context, const std::string& host,
                                        milliseconds timeout) {
  const TlsOptions& options = context.options();
  SslPtr ssl = newSession(context.native()->ctx, socket.get());
  expectPeer(ssl.get(), options.serverName.empty() ? host : options.serverName, options.verify);
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(ssl));
  stream->handshake(true, host, timeout);
  return stream;
}

std::unique_ptr<Stream> tlsServerStream(Fd socket, const TlsServerContext& context, milliseconds timeout) {
  SslPtr ssl = newSession(context.native()->ctx, socket.get());
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(ssl));
  stream->handshake(false, "a client", timeout);
  return stream;
}

}  // namespace estiba::http
