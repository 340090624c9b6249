#include "http/tls.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "http/test_util.h"

namespace estiba::http {
namespace {

using testing::codeThrown;
using ::testing::HasSubstr;

struct Identity {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  ~Identity() {
    EVP_PKEY_free(key);
    X509_free(cert);
  }
};

void addExtension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value);
  X509_add_ext(cert, e, -1);
  X509_EXTENSION_free(e);
}

void sign(Identity& who, const char* name, Identity& issuer, const char* altNames) {
  static long serial = 1;
  X509_set_version(who.cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(who.cert), serial++);
  X509_gmtime_adj(X509_getm_notBefore(who.cert), -60);
  X509_gmtime_adj(X509_getm_notAfter(who.cert), 3600);
  X509_set_pubkey(who.cert, who.key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(who.cert), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(who.cert, X509_get_subject_name(issuer.cert));
  if (altNames != nullptr) {
    addExtension(who.cert, issuer.cert, NID_subject_alt_name, altNames);
  } else {
    addExtension(who.cert, issuer.cert, NID_basic_constraints, "critical,CA:TRUE");
  }
  X509_sign(who.cert, issuer.key, EVP_sha256());
}

class Tls : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(dir_), nullptr);
    Identity ca, server, client;
    sign(ca, "test CA", ca, nullptr);
    sign(server, "server", ca, "DNS:localhost,IP:127.0.0.1");
    sign(client, "client", ca, "DNS:client");
    save(ca, "ca");
    save(server, "server");
    save(client, "client");
  }
  void TearDown() override {
    runner_ = {};
    removeTree(dir_);
  }
  void save(const Identity& who, const std::string& name) {
    FILE* cert = std::fopen((path(name) + ".pem").c_str(), "w");
    PEM_write_X509(cert, who.cert);
    std::fclose(cert);
    FILE* key = std::fopen((path(name) + "-key.pem").c_str(), "w");
    PEM_write_PrivateKey(key, who.key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(key);
  }
  std::string path(const std::string& name) const { return std::string(dir_) + "/" + name; }

  void serve(Handler handler, bool mutual) {
    ServerOptions o;
    o.tls = std::make_shared<TlsServerContext>(TlsServerOptions{
        .certFile = path("server.pem"), .keyFile = path("server-key.pem"), .clientCa = mutual ? path("ca.pem") : ""});
    Fd listener = listenTcp("127.0.0.1", 0);
    port_ = std::to_string(boundPort(listener));
    server_ = std::make_unique<Server>(std::move(listener), std::move(handler), std::move(o));
    runner_ = std::jthread([this](std::stop_token stop) { server_->run(std::move(stop)); });
  }
  ClientOptions trusting() const {
    ClientOptions o;
    o.tls.caFile = path("ca.pem");
    return o;
  }

  char dir_[32] = "/tmp/estiba-tls-XXXXXX";
  std::unique_ptr<Server> server_;
  std::jthread runner_;
  std::string port_;
};

TEST_F(Tls, VerifiesChainAndName) {
  serve([](Request& q, ResponseWriter& w) { w.send(200, {}, q.body->readAll(64U << 20)); }, false);
  Client client(trusting());
  const std::string big(1'000'000, 'x');
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(
        client.request({.method = "POST", .url = "https://localhost:" + port_ + "/", .body = big}).body().readAll(),
        big);
  }
  EXPECT_EQ(server_->connections(), 1U);
  EXPECT_EQ(client.request({.url = "https://127.0.0.1:" + port_ + "/"}).status, 200);

  try {
    Client().request({.url = "https://localhost:" + port_ + "/"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unavailable);
    EXPECT_THAT(e.what(), HasSubstr("certificate"));
  }
  ClientOptions wrongName = trusting();
  wrongName.tls.serverName = "other.example";
  EXPECT_EQ(codeThrown([&] { Client(wrongName).request({.url = "https://localhost:" + port_ + "/"}); }),
            Code::unavailable);
  ClientOptions insecure;
  insecure.tls.verify = false;
  EXPECT_EQ(Client(insecure).request({.url = "https://localhost:" + port_ + "/"}).status, 200);
}

TEST_F(Tls, DemandsAClientsCertificate) {
  serve([](Request&, ResponseWriter& w) { w.send(200, {}, "in"); }, true);
  EXPECT_THROW(Client(trusting()).request({.url = "https://localhost:" + port_ + "/"}), Error);
  ClientOptions o = trusting();
  o.tls.certFile = path("client.pem");
  o.tls.keyFile = path("client-key.pem");
  EXPECT_EQ(Client(o).request({.url = "https://localhost:" + port_ + "/"}).body().readAll(), "in");
}

TEST_F(Tls, UpgradesToADescriptorWithHalfClose) {
  serve(
      [](Request&, ResponseWriter& w) {
        Hijacked h = w.hijack(101, {});
        writeAll(h.fd.get(), "got " + std::to_string((h.early + readAll(h.fd.get(), "h")).size()), "h");
      },
      false);
  Client client(trusting());
  Upgraded up = client.upgrade({.method = "POST", .url = "https://localhost:" + port_ + "/"}, "tcp",
                               [](ClientResponse&) { FAIL(); });
  writeAll(up.fd.get(), std::string(2'000'000, 'y'), "up");
  ::shutdown(up.fd.get(), SHUT_WR);
  EXPECT_EQ(up.early + readAll(up.fd.get(), "up"), "got 2000000");
}

TEST_F(Tls, NamesTheFileThatIsWrong) {
  writeFile(path("bad.pem"), "nonsense");
  ClientOptions o;
  o.tls.caFile = path("bad.pem");
  serve([](Request&, ResponseWriter& w) { w.send(200, {}, ""); }, false);
  try {
    Client(o).request({.url = "https://localhost:" + port_ + "/"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(path("bad.pem")));
  }
}

TEST_F(Tls, SurvivesAPeerThatSpeaksPlainHttp) {
  serve([](Request&, ResponseWriter& w) { w.send(200, {}, ""); }, false);
  EXPECT_THROW(Client().request({.url = "http://localhost:" + port_ + "/"}), Error);
  EXPECT_EQ(Client(trusting()).request({.url = "https://localhost:" + port_ + "/"}).status, 200);
}

}  // namespace
}  // namespace estiba::http
