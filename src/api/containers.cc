// /containers: Engine API, tag Container.
#include <charconv>

#include "api/params.h"
#include "api/router.h"
#include "base/json.h"
#include "base/text.h"
#include "http/stdio_frames.h"
#include "monitor/log_reader.h"

namespace estiba::api {

namespace {

using engine::Changed;

void sendChanged(Call& call, Changed changed) {
  call.response.send(http::Response::empty(changed == Changed::yes ? 204 : 304));
}

// POST /containers/create?name=
void create(Call& call) {
  const auto platform = call.request.query.get("platform");
  if (!platform.empty() && platform != "linux/amd64" && platform != "linux") {
    fail(Code::not_implemented, "platform {} is not supported on this machine: it runs linux/amd64", platform);
  }
  auto body = call.body<apitypes::ContainerCreateRequest>();
  call.response.sendJson(201, toJson(call.engine.containers.create(call.request.query.get("name"), std::move(body))));
}

// GET /containers/json
void list(Call& call) {
  engine::ListOptions options;
  options.all = call.request.query.flag("all");
  options.size = call.request.query.flag("size");
  options.limit = call.request.query.integer("limit").value_or(0);
  options.filters = filtersOf(call.request.query);
  call.response.sendJson(200, toJson(call.engine.containers.list(options)));
}

// GET /containers/{id}/json
void inspect(Call& call) {
  call.response.sendJson(200,
                         toJson(call.engine.containers.inspect(call.param("id"), call.request.query.flag("size"))));
}

// POST /containers/{id}/start
void start(Call& call) { sendChanged(call, call.engine.lifecycle.start(call.param("id"))); }

// POST /containers/{id}/stop?t=&signal=
void stop(Call& call) {
  const auto& query = call.request.query;
  sendChanged(call, call.engine.lifecycle.stop(call.param("id"), query.integer("t"), query.get("signal")));
}

void restart(Call& call) {
  const auto& query = call.request.query;
  call.engine.lifecycle.restart(call.param("id"), query.integer("t"), query.get("signal"));
  call.response.send(http::Response::empty(204));
}

void kill(Call& call) {
  call.engine.lifecycle.kill(call.param("id"), call.request.query.get("signal"));
  call.response.send(http::Response::empty(204));
}

void pause(Call& call) {
  call.engine.lifecycle.pause(call.param("id"));
  call.response.send(http::Response::empty(204));
}

void unpause(Call& call) {
  call.engine.lifecycle.unpause(call.param("id"));
  call.response.send(http::Response::empty(204));
}

void rename(Call& call) {
  call.engine.containers.rename(call.param("id"), call.request.query.get("name"));
  call.response.send(http::Response::empty(204));
}

// DELETE /containers/{id}?force=&v=
void remove(Call& call) {
  const auto& query = call.request.query;
  if (query.flag("link")) fail(Code::not_implemented, "removing links (--link) is not supported yet");
  call.engine.lifecycle.remove(call.param("id"), {query.flag("force"), query.flag("v")});
  call.response.send(http::Response::empty(204));
}

// POST /containers/{id}/wait?condition=: the header goes out before the end, so that clients know they are waiting.
void wait(Call& call) {
  const std::string condition = call.request.query.get("condition", "not-running");
  engine::WaitFor what = engine::WaitFor::not_running;
  if (condition == "next-exit") what = engine::WaitFor::next_exit;
  else if (condition == "removed") what = engine::WaitFor::removed;
  else if (!condition.empty() && condition != "not-running") fail(Code::invalid, "invalid condition: {}", quoted(condition));
  const auto result = call.engine.lifecycle.wait(call.param("id"), what, call.response.goneFd(), [&] {
    call.response.stream(200, {{"Content-Type", "application/json"}});
    call.response.write("");
  });
  call.response.write(dumpJsonOf(result) + "\n");
}

// POST /containers/{id}/attach
void attach(Call& call) {
  const auto& query = call.request.query;
  engine::AttachOptions options;
  options.stream = query.flag("stream");
  options.stdinOpen = query.flag("stdin");
  options.stdoutOpen = query.flag("stdout");
  options.stderrOpen = query.flag("stderr");
  options.logs = query.flag("logs");
  options.detachKeys = query.get("detachKeys");
  const auto record = call.engine.context.records.get(call.param("id"));
  std::optional<http::Hijacked> client;
  // The connection is ours from the moment that the header is out; what fails after that can only close it.
  Fd stream = call.engine.lifecycle.attach(record.id, options, call.response.goneFd(),
                                           [&] { client = hijackStream(call, record.body.config.Tty); });
  pumpHijacked(std::move(*client), std::move(stream));
}

// POST /containers/{id}/resize?h=&w=
void resize(Call& call) {
  const auto& query = call.request.query;
  call.engine.lifecycle.resize(call.param("id"), static_cast<int>(query.integer("h").value_or(0)),
                               static_cast<int>(query.integer("w").value_or(0)));
  call.response.send(http::Response::empty(200));
}

std::optional<Time> timeParam(const http::Query& query, const char* name) {
  const std::string text = query.get(name);
  if (text.empty() || text == "0") return std::nullopt;
  if (const auto time = parseRfc3339(text)) return time;
  const auto [seconds, fraction] = cut(text, '.');  // "1714557600.500000000"
  const auto whole = parseInt(seconds);
  if (!whole) fail(Code::invalid, "invalid value for {}: {}", name, quoted(text));
  int64_t nanos = 0;
  if (fraction) {
    const std::string padded = (*fraction + "000000000").substr(0, 9);
    nanos = static_cast<int64_t>(parseUint(padded).value_or(0));
  }
  return Time{*whole * 1'000'000'000 + nanos};
}

// GET /containers/{id}/logs
void logs(Call& call) {
  const auto& query = call.request.query;
  const auto record = call.engine.context.records.get(call.param("id"));
  if (record.body.host.LogConfig.Type == "none") {
    fail(Code::not_implemented, "configured logging driver does not support reading");
  }
  monitor::LogReadOptions options;
  options.stdout_ = query.flag("stdout");
  options.stderr_ = query.flag("stderr");
  if (!options.stdout_ && !options.stderr_) fail(Code::invalid, "Bad parameters: you must choose at least one stream");
  options.follow = query.flag("follow") && record.isUp();
  options.since = timeParam(query, "since");
  options.until = timeParam(query, "until");
  if (const std::string tail = query.get("tail"); !tail.empty() && tail != "all") {
    const auto count = parseInt(tail);
    if (count && *count >= 0) options.tail = static_cast<uint64_t>(*count);
  }
  const bool timestamps = query.flag("timestamps");
  const bool details = query.flag("details");
  const bool tty = record.body.config.Tty;
  call.response.stream(200, {{"Content-Type", tty ? "application/vnd.docker.raw-stream"
                                                  : "application/vnd.docker.multiplexed-stream"}});
  monitor::LogReader reader(call.engine.context.layout.logPath(record.id), options);
  std::stop_token gone;
  Fd ended;
  if (options.follow) {
    gone = call.response.goneToken();
    ended = call.engine.lifecycle.endFd(record);
  }
  std::string frames;
  reader.run(
      [&](const monitor::LogEntry& entry) {
        const std::string text = monitor::formatLogEntry(entry, timestamps, details);
        if (tty) {
          frames += text;
        } else {
          http::appendFrame(frames, entry.stream == "stderr" ? http::StdStream::err : http::StdStream::out, text);
        }
        if (options.follow || frames.size() > (64U << 10)) {
          call.response.write(frames);
          frames.clear();
        }
        return true;
      },
      gone, ended ? ended.get() : -1);
  if (!frames.empty()) call.response.write(frames);
}

// GET /containers/{id}/changes
void changes(Call& call) {
  const auto found = call.engine.containers.changes(call.param("id"));
  call.response.sendJson(200, toJson(found));
}

// POST /containers/prune
void prune(Call& call) {
  call.response.sendJson(200, toJson(call.engine.containers.prune(filtersOf(call.request.query))));
}

// POST /commit
void commit(Call& call) {
  const auto& query = call.request.query;
  engine::CommitOptions options;
  options.container = query.get("container");
  options.repo = query.get("repo");
  options.tag = query.get("tag");
  options.comment = query.get("comment");
  options.author = query.get("author");
  options.pause = query.flag("pause", true);
  for (const auto& change : query.all("changes")) {
    for (const auto& line : split(change, '\n')) {
      if (!trim(line).empty()) options.changes.push_back(line);
    }
  }
  apitypes::IdResponse out;
  out.Id = engine::commitContainer(call.engine.context, call.engine.lifecycle, options);
  call.response.sendJson(201, toJson(out));
}

constexpr Route kRoutes[] = {
    {"POST", "/containers/create", create},
    {"POST", "/containers/prune", prune},
    {"GET", "/containers/json", list},
    {"GET", "/containers/{id}/json", inspect},
    {"GET", "/containers/{id}/logs", logs},
    {"GET", "/containers/{id}/changes", changes},
    {"POST", "/containers/{id}/start", start},
    {"POST", "/containers/{id}/stop", stop},
    {"POST", "/containers/{id}/restart", restart},
    {"POST", "/containers/{id}/kill", kill},
    {"POST", "/containers/{id}/pause", pause},
    {"POST", "/containers/{id}/unpause", unpause},
    {"POST", "/containers/{id}/rename", rename},
    {"POST", "/containers/{id}/wait", wait},
    {"POST", "/containers/{id}/attach", attach},
    {"POST", "/containers/{id}/resize", resize},
    {"DELETE", "/containers/{id}", remove},
    {"POST", "/commit", commit},
};

}  // namespace

std::span<const Route> containerRoutes() { return kRoutes; }

}  // namespace estiba::api
