#include "http/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>

#include "http/test_util.h"
#include "sys/process.h"

namespace estiba::http {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using testing::Engine;
using ::testing::HasSubstr;
using testing::Served;
using ::testing::StartsWith;

void echo(Request& q, ResponseWriter& w) {
  w.send(200, {{"X-Method", q.method}}, q.path + "|" + q.query.get("q") + "|" + q.body->readAll());
}

TEST(Server, AnswersSeveralRequestsOnOneConnection) {
  Served s(echo);
  s.send("GET /a%20b?q=1+2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(s.readUntil("/a b|1 2|"), StartsWith("HTTP/1.1 200 OK\r\nX-Method: GET\r\n"));
  s.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(s.readUntil("/b||abc"), HasSubstr("Content-Length: 7\r\n"));
  s.send("POST /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n");
  const std::string last = s.readToEnd();
  EXPECT_THAT(last, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(last, EndsWith("/c||de"));
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Served s(echo);
  s.send(
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabGET /3 "
      "HTTP/1.1\r\nHost: x\r\n\r\n");
  s.endSending();
  const std::string all = s.readToEnd();
  EXPECT_THAT(all, HasSubstr("/1||"));
  EXPECT_THAT(all, HasSubstr("/2||ab"));
  EXPECT_THAT(all, EndsWith("/3||"));
}

TEST(Server, DropsABodyThatTheHandlerLeft) {
  Served s([](Request& q, ResponseWriter& w) { w.send(200, {}, q.path); });
  s.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  s.endSending();
  EXPECT_THAT(s.readToEnd(), EndsWith("/2"));
}

TEST(Server, ClosesWhereTheBodyLeftIsLong) {
  Served s([](Request&, ResponseWriter& w) { w.send(404, {}, "no"); });
  s.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
  std::thread sender([&] {
    const std::string piece(65536, 'x');
    for (int i = 0; i < 16; ++i) {
      if (::send(s.fd().get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;
    }
    s.endSending();
  });
  EXPECT_THAT(s.readToEnd(), EndsWith("no"));
  sender.join();
}

TEST(Server, SaysContinueWhenTheBodyIsRead) {
  Served s(echo);
  s.send("POST /b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(s.readUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  s.send("abc");
  EXPECT_THAT(s.readUntil("/b||abc"), StartsWith("HTTP/1.1 200 OK\r\n"));
  s.send("GET /again HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(s.readUntil("/again||"), HasSubstr("200"));
}

TEST(Server, DoesNotSayContinueWhereTheBodyIsNotWanted) {
  Served s([](Request&, ResponseWriter& w) { w.send(404, {}, "no"); });
  s.send("POST /b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  const std::string reply = s.readUntil("no");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
}

TEST(Server, StreamsChunksAsTheyAreWritten) {
  std::promise<void> go;
  Served s([&](Request&, ResponseWriter& w) {
    w.stream(200, {{"Content-Type", "application/json"}});
    w.write("one\n");
    go.get_future().wait();
    w.write(std::string(5000, 'x'));
  });
  s.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(s.readUntil("one\n\r\n"), HasSubstr("Transfer-Encoding: chunked\r\n\r\n4\r\none\n"));
  go.set_value();
  EXPECT_EQ(s.readUntil("0\r\n\r\n"), "1388\r\n" + std::string(5000, 'x') + "\r\n0\r\n\r\n");
}

TEST(Server, StreamsToHttp10UntilTheConnectionsEnd) {
  Served s([&](Request&, ResponseWriter& w) {
    w.stream(200, {});
    w.write("one");
    w.write("two");
  });
  s.send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(s.readToEnd(), EndsWith("\r\n\r\nonetwo"));
}

TEST(Server, LeavesOutTheBodyOfHead) {
  Served s([](Request& q, ResponseWriter& w) {
    if (q.path == "/s") {
      w.stream(200, {});
      return w.write("abc");
    }
    w.send(200, {}, "abc");
  });
  s.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nHEAD /s HTTP/1.1\r\nHost: x\r\n\r\n");
  s.endSending();
  const std::string all = s.readToEnd();
  EXPECT_THAT(all, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_EQ(all.find("abc"), std::string::npos);
}

TEST(Server, TurnsExceptionsIntoReplies) {
  ServerOptions o;
  o.onError = [](const std::exception& e) { return Response::json(404, json::object{{"message", e.what()}}); };
  Served s(
      [](Request& q, ResponseWriter& w) {
        w.headers().set("Api-Version", "1.48");
        if (q.path == "/x") throw Error(Code::not_found, "no such container: x");
        w.send(204, {}, "");
      },
      o);
  s.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(s.readUntil("}\n"), HasSubstr("Api-Version: 1.48\r\nContent-Type: application/json\r\n"));
  s.send("GET /y HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(s.readUntil("\r\n\r\n").find("Content-Length"), std::string::npos);
}

TEST(Server, BreaksAStreamOffWhereTheHandlerThrows) {
  Served s([](Request&, ResponseWriter& w) {
    w.stream(200, {});
    w.write("abc");
    throw Error(Code::internal, "disk on fire");
  });
  s.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(s.readToEnd(), EndsWith("3\r\nabc\r\n"));
}

TEST(Server, RefusesMalformedRequests) {
  for (const char* text : {"GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                           "GET x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
                           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    Served s(echo);
    s.send(text);
    s.endSending();
    EXPECT_THAT(s.readToEnd(), StartsWith("HTTP/1.1 400 Bad Request\r\n")) << text;
  }
}

TEST(Server, RefusesHeadersWithoutEnd) {
  ServerOptions o;
  o.maxHeaderBytes = 4096;
  Served s(echo, o);
  std::string text = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
  text += std::string(20000, 'a');
  (void)::send(s.fd().get(), text.data(), text.size(), MSG_NOSIGNAL);
  s.endSending();
  EXPECT_THAT(s.readToEnd(), HasSubstr("too large"));
}

TEST(Server, ClosesOnASlowHeaderButNotOnAnIdleConnection) {
  ServerOptions o;
  o.headerTimeout = 50ms;
  Served s(echo, o);
  pollfd p{s.fd().get(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 120), 0);
  s.send("GET / HT");
  EXPECT_EQ(s.readToEnd(), "");
}

TEST(Server, HijacksWithEarlyBytesAndHalfClose) {
  Served s([](Request& q, ResponseWriter& w) {
    EXPECT_EQ(q.body->readAll(), "{}");
    Hijacked h = w.hijack(101, {{"Content-Type", "application/vnd.docker.raw-stream"}});
    std::string in = h.early + readAll(h.fd.get(), "hijacked");
    writeAll(h.fd.get(), "got " + in, "hijacked");
  });
  s.send(
      "POST /attach HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}early ");
  EXPECT_EQ(s.readUntil("\r\n\r\n").substr(0, 23), "HTTP/1.1 101 UPGRADED\r\n");
  s.send("late");
  s.endSending();
  EXPECT_EQ(s.readToEnd(), "got early late");
}

TEST(Server, SeesAClientThatHangsUp) {
  std::promise<bool> before, after;
  std::promise<void> closed;
  Served s([&](Request&, ResponseWriter& w) {
    before.set_value(w.gone());
    const std::stop_token token = w.goneToken();
    pollfd p{w.goneFd(), POLLRDHUP, 0};
    EXPECT_EQ(::poll(&p, 1, 5000), 1);
    closed.get_future().wait();
    for (int i = 0; i < 500 && !token.stop_requested(); ++i) std::this_thread::sleep_for(1ms);
    after.set_value(w.gone() && token.stop_requested());
  });
  s.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(before.get_future().get());
  s.fd().reset();
  closed.set_value();
  EXPECT_TRUE(after.get_future().get());
}

TEST(Server, WritingToAClientThatIsGoneIsCancelled) {
  std::promise<Code> code;
  Served s([&](Request&, ResponseWriter& w) {
    w.stream(200, {});
    pollfd p{w.goneFd(), POLLRDHUP, 0};
    ::poll(&p, 1, 5000);
    code.set_value(testing::codeThrown([&] { w.write("abc"); }));
  });
  s.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  s.readUntil("\r\n\r\n");
  s.fd().reset();
  EXPECT_EQ(code.get_future().get(), Code::cancelled);
}

TEST(Server, StopsIdleConnectionsAndTellsHandlers) {
  Served idle(echo);
  idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.readUntil("/||");
  idle.stop();
  EXPECT_EQ(idle.readToEnd(), "");

  Served busy([&](Request&, ResponseWriter& w) {
    pollfd p{w.goneFd(), POLLRDHUP, 0};
    w.send(200, {}, ::poll(&p, 1, 5000) == 1 ? "stopped" : "late");
  });
  busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(20ms);
  busy.stop();
  EXPECT_THAT(busy.readToEnd(), EndsWith("stopped"));
}

TEST(Server, HandsOverDescriptorsThatCameWithARequest) {
  Served s([](Request& q, ResponseWriter& w) {
    if (q.fds.size() != 1) return w.send(200, {}, std::to_string(q.fds.size()) + " fds;");
    w.send(200, {}, readAll(q.fds[0].get(), "passed") + ";");
  });
  const Fd file = anonymousFile("content", "test");
  sendWithFds(s.fd().get(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n", {file.get()});
  ::lseek(file.get(), 0, SEEK_SET);
  EXPECT_THAT(s.readUntil(";"), EndsWith("content;"));
  s.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(s.readUntil(";"), EndsWith("0 fds;"));
}

TEST(Server, ListensOnUnixSocketsAndTakesOverDeadOnes) {
  char dir[] = "/tmp/estiba-http-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string path = std::string(dir) + "/s.sock";
  { const Fd dead = listenUnix(path, 0660, ::getgid()); }
  Server server(listenUnix(path, 0660, ::getgid()), echo);
  EXPECT_THROW((void)listenUnix(path, 0660, ::getgid()), Error);
  std::jthread runner([&](std::stop_token stop) { server.run(std::move(stop)); });
  ClientOptions o;
  o.dial = [&] { return connectUnix(path); };
  Client client(o);
  std::vector<std::thread> many;
  for (int i = 0; i < 20; ++i) {
    many.emplace_back([&, i] {
      const std::string want = "/" + std::to_string(i) + "||";
      for (int k = 0; k < 10; ++k) EXPECT_EQ(client.request({.url = "/" + std::to_string(i)}).body().readAll(), want);
    });
  }
  for (auto& t : many) t.join();
  const Fd idle = connectUnix(path);
  runner.request_stop();
  runner.join();
  EXPECT_EQ(server.connections(), 0U);
  removeTree(dir);
}

TEST(Server, KeepsAThousandIdleConnections) {
  char dir[] = "/tmp/estiba-http-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string path = std::string(dir) + "/s.sock";
  Server server(listenUnix(path, 0600, ::getgid()), echo);
  std::jthread runner([&](std::stop_token stop) { server.run(std::move(stop)); });
  {
    std::vector<Fd> idle;
    for (int i = 0; i < 1000; ++i) idle.push_back(connectUnix(path));
    for (int i = 0; i < 2000 && server.connections() < 1000; ++i) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(server.connections(), 1000U);
  }
  runner.request_stop();
  runner.join();
  removeTree(dir);
}

}  // namespace
}  // namespace estiba::http
