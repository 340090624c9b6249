#pragma once
// TLS by OpenSSL 3: who we trust and who we are. TLS 1.2 and newer.

#include <memory>
#include <string>

namespace estiba::http {

/// For connections that we make.
struct TlsOptions {
  bool verify = true;      ///< chain and host name; false: any certificate (insecure registries)
  std::string caFile;      ///< PEM; empty: the system's roots
  std::string caDir;       ///< additional PEM files *.crt (as in /etc/docker/certs.d/HOST); empty: none
  std::string certFile;    ///< PEM, with keyFile: our client certificate
  std::string keyFile;     ///< PEM
  std::string serverName;  ///< name to verify and to send (SNI); empty: the host we connect to
  bool operator==(const TlsOptions&) const = default;
};

/// For connections that we accept.
struct TlsServerOptions {
  std::string certFile;  ///< PEM chain
  std::string keyFile;   ///< PEM
  std::string clientCa;  ///< PEM; with it a client certificate is demanded and verified
};

struct SslContext;  // the library's own types stay out of headers

class TlsClientContext {
 public:
  /// Reads the files once. Throws Error(invalid) that names the file.
  explicit TlsClientContext(const TlsOptions& options);
  ~TlsClientContext();
  TlsClientContext(TlsClientContext&&) noexcept;
  const TlsOptions& options() const noexcept { return options_; }
  SslContext* native() const noexcept { return context_.get(); }

 private:
  TlsOptions options_;
  std::unique_ptr<SslContext> context_;
};

class TlsServerContext {
 public:
  explicit TlsServerContext(const TlsServerOptions& options);
  ~TlsServerContext();
  TlsServerContext(TlsServerContext&&) noexcept;
  SslContext* native() const noexcept { return context_.get(); }

 private:
  std::unique_ptr<SslContext> context_;
};

}  // namespace estiba::http
