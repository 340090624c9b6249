#include "http/message.h"

#include <gtest/gtest.h>

#include "http/parser.h"
#include "http/url.h"

namespace estiba::http {
namespace {

TEST(Headers, AreFoundWithoutCaseAndKeepTheirOrder) {
  Headers h{{"Content-Type", "a"}, {"X-One", "1"}};
  h.add("x-one", "2");
  EXPECT_EQ(h.get("CONTENT-TYPE"), "a");
  EXPECT_EQ(h.get("x-one"), "1");
  h.set("X-ONE", "3");
  EXPECT_EQ(h.size(), 2U);
  EXPECT_EQ(h.get("X-One"), "3");
  std::string text;
  h.appendTo(text);
  EXPECT_EQ(text, "Content-Type: a\r\nX-One: 3\r\n");
}

TEST(Headers, FindTokensInLists) {
  const Headers h{{"Connection", "keep-alive, Upgrade"}, {"Connection", "x"}};
  EXPECT_TRUE(h.hasToken("connection", "upgrade"));
  EXPECT_TRUE(h.hasToken("connection", "X"));
  EXPECT_FALSE(h.hasToken("connection", "up"));
}

TEST(Headers, RefuseToBeSplitByTheirValues) {
  std::string out;
  EXPECT_THROW((Headers{{"A", "b\r\nEvil: 1"}}).appendTo(out), Error);
  EXPECT_THROW((Headers{{"A b", "c"}}).appendTo(out), Error);
}

TEST(Query, IsDecodedInOrder) {
  const Query q = Query::parse("t=a%2Fb&t=c+d&&flag&n=-1&off=False&filters=%7B%22a%22%3A%5B%22b%3Dc%22%5D%7D");
  EXPECT_EQ(q.all("t"), (std::vector<std::string>{"a/b", "c d"}));
  EXPECT_TRUE(q.has("flag"));
  EXPECT_FALSE(q.flag("flag"));
  EXPECT_FALSE(q.flag("off", true));
  EXPECT_TRUE(q.flag("missing", true));
  EXPECT_EQ(q.integer("n"), -1);
  EXPECT_EQ(q.integer("missing"), std::nullopt);
  EXPECT_THROW((void)q.integer("t"), Error);
  EXPECT_EQ(q.get("filters"), R"({"a":["b=c"]})");
  EXPECT_EQ(Query::parse(q.str()).all("t"), q.all("t"));
}

MessageHead parseRequest(const std::string& text, size_t limit = 8192) {
  MessageParser p(MessageParser::Kind::request, limit);
  size_t used = 0;
  while (!p.headDone()) {
    const size_t n = p.feedHead(std::string_view(text).substr(used));
    if (n == 0) break;
    used += n;
  }
  EXPECT_TRUE(p.headDone()) << text;
  return p.head();
}

TEST(Parser, ReadsARequestInAnyPieces) {
  const std::string text =
      "POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: "
      "v\r\n\r\nGET";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    MessageParser p(MessageParser::Kind::request, 8192);
    std::string held, body;
    for (size_t at = 0; at < text.size() && !p.done(); at += piece) {
      held += text.substr(at, piece);
      if (!p.headDone()) held.erase(0, p.feedHead(held));
      char out[2];
      while (p.headDone() && !p.done()) {
        const auto step = p.feedBody(held, out, sizeof out);
        body.append(out, step.produced);
        held.erase(0, step.consumed);
        if (step.consumed == 0 && step.produced == 0) break;
      }
    }
    EXPECT_TRUE(p.done()) << piece;
    EXPECT_EQ(body, "abcde") << piece;
    EXPECT_EQ(p.head().method, "POST");
    EXPECT_EQ(p.head().target, "/a?b");
    EXPECT_TRUE(std::string("GET").starts_with(held)) << held;
  }
}

TEST(Parser, RefusesWhatIsMalformed) {
  for (const char* text : {
           "GET / HTTP/2.0\r\n\r\n",
           "GET /\r\n\r\n",
           "GE T / HTTP/1.1\r\n\r\n",
           "\x16\x03\x01\x02",
           "GET / HTTP/1.1\r\nA b: c\r\n\r\n",
           "GET / HTTP/1.1\r\n: c\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
           "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
           "GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
       }) {
    MessageParser p(MessageParser::Kind::request, 8192);
    EXPECT_THROW(
        {
          std::string_view rest(text);
          for (int i = 0; i < 10 && !p.headDone(); ++i) rest.remove_prefix(p.feedHead(rest));
        },
        Error)
        << text;
  }
}

TEST(Parser, ThrowsForEverOnceItHasThrown) {
  MessageParser p(MessageParser::Kind::request, 8192);
  const std::string_view head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string_view rest = head;
  while (!p.headDone()) rest.remove_prefix(p.feedHead(rest));
  char out[16];
  EXPECT_EQ(p.feedBody("1\r\na", out, sizeof out).produced, 1U);
  for (int i = 0; i < 3; ++i) EXPECT_THROW(p.feedBody("\r\n0 x\r\n\r\n", out, sizeof out), Error);
  EXPECT_FALSE(p.done());
}

TEST(Parser, LimitsTheWholeHeader) {
  std::string text = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 400; ++i) text += "X: 012345678901234567890123456789\r\n";
  EXPECT_THROW(parseRequest(text + "\r\n"), Error);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 1001; ++i) many += "X: 1\r\n";
  EXPECT_THROW(parseRequest(many + "\r\n", 1 << 20), Error);
}

TEST(Url, TakesEverythingApart) {
  const Url u = Url::parse("https://us%40er:p%3Aw@Registry.Example:5000/v2/a%2Fb?n=1#f");
  EXPECT_EQ(u.scheme, "https");
  EXPECT_EQ(u.user, "us@er");
  EXPECT_EQ(u.password, "p:w");
  EXPECT_EQ(u.host, "registry.example");
  EXPECT_EQ(u.port, 5000);
  EXPECT_EQ(u.target(), "/v2/a%2Fb?n=1");
  EXPECT_EQ(u.hostPort(), "registry.example:5000");
  EXPECT_EQ(u.str(), "https://registry.example:5000/v2/a%2Fb?n=1#f");
  const Url six = Url::parse("http://[::1]:80");
  EXPECT_EQ(six.host, "::1");
  EXPECT_EQ(six.hostPort(), "[::1]:80");
  EXPECT_EQ(six.target(), "/");
  EXPECT_EQ(Url::parse("unix:///run/x.sock").path, "/run/x.sock");
}

TEST(Url, RefusesWhatIsNone) {
  for (const char* text : {"", "example.com", "http://", "http://a:b", "http://a:0", "http://a:70000", "http://[::1",
                           "http://a b/", "1http://a", "http://a/\r\nX: y"}) {
    EXPECT_THROW((void)Url::parse(text), Error) << text;
  }
  try {
    (void)Url::parse("http://u:secret@h:x/");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).find("secret"), std::string::npos) << e.what();
  }
}

TEST(Url, ResolvesReferences) {
  const Url base = Url::parse("https://r.example/v2/a/blobs/x?q=1");
  EXPECT_EQ(base.resolve("https://cdn.example/y?z").str(), "https://cdn.example/y?z");
  EXPECT_EQ(base.resolve("//cdn.example/y").str(), "https://cdn.example/y");
  EXPECT_EQ(base.resolve("/up/1?s=2").str(), "https://r.example/up/1?s=2");
  EXPECT_EQ(base.resolve("y").str(), "https://r.example/v2/a/blobs/y");
  EXPECT_EQ(base.resolve("../y").str(), "https://r.example/v2/a/y");
  EXPECT_EQ(base.resolve("?p=2").str(), "https://r.example/v2/a/blobs/x?p=2");
}

TEST(Proxy, IsChosenAsTheEnvironmentSays) {
  const auto proxy = [](const char* url, const char* no) {
    const auto p = proxyFor(Url::parse(url), "http://u:p@plain:3128", "secure:3129", no);
    return p ? p->hostPort() : "";
  };
  EXPECT_EQ(proxy("http://a.example/", ""), "plain:3128");
  EXPECT_EQ(proxy("https://a.example/", ""), "secure:3129");
  EXPECT_EQ(proxy("https://localhost:5000/", ""), "");
  EXPECT_EQ(proxy("https://127.0.0.9/", ""), "");
  EXPECT_EQ(proxy("https://[::1]/", ""), "");
  EXPECT_EQ(proxy("https://a.example/", "*"), "");
  EXPECT_EQ(proxy("https://a.example/", "b, example"), "");
  EXPECT_EQ(proxy("https://example/", ".example"), "secure:3129");
  EXPECT_EQ(proxy("https://a.example/", ".example"), "");
  EXPECT_EQ(proxy("https://notexample/", "example"), "secure:3129");
  EXPECT_EQ(proxy("https://10.1.2.3/", "10.0.0.0/8"), "");
  EXPECT_EQ(proxy("https://11.1.2.3/", "10.0.0.0/8"), "secure:3129");
  EXPECT_EQ(proxy("https://a.example/", "a.example:443"), "");
  EXPECT_EQ(proxy("https://a.example:444/", "a.example:443"), "secure:3129");
}

}  // namespace
}  // namespace estiba::http
