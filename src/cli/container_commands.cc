// start, stop, restart, kill, pause, unpause, rm, rename, wait, diff, commit, container prune.
#include "apitypes/container.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/flag_values.h"
#include "cli/run_flags.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "http/stdio_frames.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

int stopLike(Cli& cli, const Parsed& p, const char* verb) {
  Session& s = session(cli);
  std::string query;
  if (p.given("timeout")) query += fmt::format("t={}&", p.integer("timeout"));
  if (p.given("signal")) query += "signal=" + urlEncode(p.str("signal"));
  return cli.eachArg(p, [&](const std::string& name) {
    s.post(target("/containers/{}/{}?{}", encoded(name), verb, query));
    cli.out() << name << '\n';
  });
}

int simple(Cli& cli, const Parsed& p, const char* verb) {
  Session& s = session(cli);
  return cli.eachArg(p, [&](const std::string& name) {
    s.post(target("/containers/{}/{}", encoded(name), verb));
    cli.out() << name << '\n';
  });
}

int stopCommand(Cli& cli, const Parsed& p) { return stopLike(cli, p, "stop"); }
int restartCommand(Cli& cli, const Parsed& p) { return stopLike(cli, p, "restart"); }
int pauseCommand(Cli& cli, const Parsed& p) { return simple(cli, p, "pause"); }
int unpauseCommand(Cli& cli, const Parsed& p) { return simple(cli, p, "unpause"); }

int killCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  const std::string signal = p.given("signal") ? "?signal=" + urlEncode(p.str("signal")) : "";
  return cli.eachArg(p, [&](const std::string& name) {
    s.post(target("/containers/{}/kill{}", encoded(name), signal));
    cli.out() << name << '\n';
  });
}

int startAttached(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  if (p.args.size() > 1) throw ExitError(1, "you cannot start and attach multiple containers at once");
  const std::string name = p.args[0];
  const auto found = s.get(target("/containers/{}/json", encoded(name)));
  const auto& config = found.at("Config").as_object();
  Joined joined;
  joined.tty = config.at("Tty").as_bool();
  joined.in = p.flag("interactive") && config.at("OpenStdin").as_bool();
  const std::string id(found.at("Id").as_string());
  joined.detachKeys = p.str("detach-keys");
  auto stream = s.hijack(target("/containers/{}/attach?stream=1&stdout=1&stderr=1{}&detachKeys={}", id,
                                joined.in ? "&stdin=1" : "", urlEncode(joined.detachKeys)));
  ContainerEnd end(s, id, found.at("HostConfig").at("AutoRemove").as_bool() ? "removed" : "next-exit");
  s.post(target("/containers/{}/start", id));
  if (joined.tty) {
    joined.resize = [&](unsigned rows, unsigned columns) {
      try {
        s.post(target("/containers/{}/resize?h={}&w={}", id, rows, columns));
      } catch (const ApiError&) {  // it has ended
      }
    };
  }
  return joinStreams(s, std::move(stream), joined) == Left::detached ? 0 : end.code();
}

int startCommand(Cli& cli, const Parsed& p) {
  if (p.given("checkpoint")) fail(Code::not_implemented, "checkpoints are not supported yet");
  if (p.flag("attach") || p.flag("interactive")) return startAttached(cli, p);
  return simple(cli, p, "start");
}

int rmCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  const std::string query = fmt::format("?force={}&v={}&link={}", p.flag("force"), p.flag("volumes"), p.flag("link"));
  return cli.eachArg(p, [&](const std::string& name) {
    try {
      s.del(target("/containers/{}{}", encoded(name), query));
    } catch (const ApiError& e) {
      if (!p.flag("force") || e.status() != 404) throw;
      throw Error(Code::not_found, e.what());
    }
    cli.out() << name << '\n';
  });
}

int renameCommand(Cli& cli, const Parsed& p) {
  if (trim(p.args[0]).empty() || trim(p.args[1]).empty()) fail(Code::invalid, "Error: Neither old nor new names may be empty");
  session(cli).post(target("/containers/{}/rename?name={}", encoded(p.args[0]), urlEncode(p.args[1])));
  return 0;
}

int waitCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  return cli.eachArg(p, [&](const std::string& name) {
    const auto answer = s.post(target("/containers/{}/wait", encoded(name)));
    cli.out() << answer.at("StatusCode").to_number<int64_t>() << '\n';
  });
}

int diffCommand(Cli& cli, const Parsed& p) {
  constexpr std::string_view kLetters = "CAD";
  const auto answer = session(cli).get(target("/containers/{}/changes", encoded(p.args[0])));
  for (const auto& change : answer.as_array()) {
    const auto kind = change.at("Kind").to_number<size_t>();
    cli.out() << kLetters[kind < 3 ? kind : 0] << ' ' << std::string(change.at("Path").as_string()) << '\n';
  }
  return 0;
}

int commitCommand(Cli& cli, const Parsed& p) {
  std::string query = "container=" + urlEncode(p.args[0]);
  if (p.args.size() > 1) {
    // The tag is what follows the last ':' behind the last '/'.
    std::string repo = p.args[1];
    const size_t slash = repo.rfind('/');
    const size_t colon = repo.rfind(':');
    if (colon != std::string::npos && (slash == std::string::npos || colon > slash)) {
      query += "&tag=" + urlEncode(repo.substr(colon + 1));
      repo.resize(colon);
    }
    query += "&repo=" + urlEncode(repo);
  }
  query += "&comment=" + urlEncode(p.str("message")) + "&author=" + urlEncode(p.str("author"));
  query += p.flag("pause") ? "&pause=1" : "&pause=0";
  for (const auto& change : p.list("change")) query += "&changes=" + urlEncode(change);
  const auto answer = session(cli).post("/commit?" + query, json::object());
  cli.out() << std::string(answer.at("Id").as_string()) << '\n';
  return 0;
}

int pruneCommand(Cli& cli, const Parsed& p) {
  if (!p.flag("force") &&
      !cli.confirm("WARNING! This will remove all stopped containers.\nAre you sure you want to continue?")) {
    throw ExitError(1, "");
  }
  const auto answer = session(cli).post(target("/containers/prune?filters={}", filtersParam(p.list("filter"))));
  if (const auto* deleted = answer.at("ContainersDeleted").if_array()) {
    cli.out() << "Deleted Containers:\n";
    for (const auto& id : *deleted) cli.out() << std::string(id.as_string()) << '\n';
    cli.out() << '\n';
  }
  cli.out() << "Total reclaimed space: " << humanSize(answer.at("SpaceReclaimed").to_number<double>()) << '\n';
  return 0;
}

int attachCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  const auto found = s.get(target("/containers/{}/json", encoded(p.args[0])));
  const auto& state = found.at("State").as_object();
  if (!state.at("Running").as_bool()) throw ExitError(1, "cannot attach to a stopped container, start it first");
  if (state.at("Paused").as_bool()) throw ExitError(1, "cannot attach to a paused container, unpause it first");
  const std::string id(found.at("Id").as_string());
  Joined joined;
  joined.tty = found.at("Config").at("Tty").as_bool();
  joined.in = !p.flag("no-stdin") && found.at("Config").at("OpenStdin").as_bool();
  if (joined.tty && joined.in && !s.inIsTerminal()) throw ExitError(1, "the input device is not a TTY");
  std::string query = "stream=1&stdout=1&stderr=1";
  if (joined.in) query += "&stdin=1";
  if (p.given("detach-keys")) query += "&detachKeys=" + urlEncode(p.str("detach-keys"));
  std::optional<SignalForward> forward;
  if (p.flag("sig-proxy") && !joined.tty) {
    forward.emplace([&](int signal) { s.post(target("/containers/{}/kill?signal={}", id, signal)); });
  }
  ContainerEnd end(s, id, "not-running");
  auto stream = s.hijack(target("/containers/{}/attach?{}", id, query));
  joined.detachKeys = p.str("detach-keys");
  if (joined.tty) {
    joined.resize = [&](unsigned rows, unsigned columns) {
      try {
        s.post(target("/containers/{}/resize?h={}&w={}", id, rows, columns));
      } catch (const ApiError&) {  // it has ended
      }
    };
  }
  if (joinStreams(s, std::move(stream), joined) == Left::detached) throw ExitError(1, "read escape sequence");
  return end.code();
}

int execCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  apitypes::ExecConfig config;
  const bool detach = p.flag("detach");
  config.Tty = p.flag("tty");
  config.AttachStdin = p.flag("interactive") && !detach;
  config.AttachStdout = config.AttachStderr = !detach;
  config.User = p.str("user");
  config.Privileged = p.flag("privileged");
  config.WorkingDir = p.str("workdir");
  config.DetachKeys = p.str("detach-keys");
  std::vector<std::string> env;
  for (const auto& file : p.list("env-file")) addEnvironmentFile(env, file);
  for (const auto& item : p.list("env")) addEnvironment(env, item);
  if (!env.empty()) config.Env = env;
  config.Cmd = std::vector<std::string>(p.args.begin() + 1, p.args.end());
  if (config.Tty && config.AttachStdin && !s.inIsTerminal()) throw ExitError(1, "the input device is not a TTY");
  apitypes::ExecStart start;
  start.Detach = detach;
  start.Tty = config.Tty;
  if (config.Tty) {
    if (const auto size = terminalSize(s.streams().outFd)) {
      start.ConsoleSize = config.ConsoleSize = std::vector<uint32_t>{size->rows, size->columns};
    }
  }
  const auto made = s.post(target("/containers/{}/exec", encoded(p.args[0])), toJson(config));
  const std::string id(made.at("Id").as_string());
  if (detach) {
    s.post(target("/exec/{}/start", id), toJson(start));
    return 0;
  }
  Joined joined;
  joined.tty = config.Tty;
  joined.in = config.AttachStdin;
  if (joined.tty) {
    joined.resize = [&](unsigned rows, unsigned columns) {
      try {
        s.post(target("/exec/{}/resize?h={}&w={}", id, rows, columns));
      } catch (const ApiError&) {  // it has ended
      }
    };
  }
  http::Upgraded stream;
  try {
    stream = s.hijack(target("/exec/{}/start", id), toJson(start));
  } catch (const ApiError& e) {
    const bool missing = e.message().find("executable file not found") != std::string::npos ||
                         e.message().find("no such file or directory") != std::string::npos;
    const bool refused = e.message().find("permission denied") != std::string::npos ||
                         e.message().find("is a directory") != std::string::npos;
    throw ExitError(missing ? 127 : refused ? 126 : 1, e.message());
  }
  joined.detachKeys = config.DetachKeys;
  if (joinStreams(s, std::move(stream), joined) == Left::detached) throw ExitError(1, "read escape sequence");
  const auto state = s.get(target("/exec/{}/json", id));
  const auto& code = state.at("ExitCode");
  return code.is_null() ? 0 : static_cast<int>(code.to_number<int64_t>());
}

// A point in time as docker's CLI takes it: RFC 3339 (any part), a duration back from now, seconds since 1970.
std::string timestampOf(const std::string& text) {
  const auto seconds = [](Time time) { return fmt::format("{}.{:09}", time.ns / 1'000'000'000, time.ns % 1'000'000'000); };
  if (const auto back = parseDuration(text)) return seconds({now().ns - back->count()});
  for (const char* rest : {"", "Z", ":00Z", "T00:00:00Z"}) {
    if (const auto time = parseRfc3339(text + rest)) return seconds(*time);
  }
  if (parseUint(text.substr(0, text.find('.')))) return text;
  fail(Code::invalid, "invalid value: failed to parse value as time or duration: {}", quoted(text));
}

int logsCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  const auto found = s.get(target("/containers/{}/json", encoded(p.args[0])));
  std::string query = "stdout=1&stderr=1";
  const auto time = [&](const char* flag) {
    const std::string text = p.str(flag);
    if (text.empty()) return;
    query += fmt::format("&{}={}", flag, urlEncode(timestampOf(text)));
  };
  time("since");
  time("until");
  if (p.flag("follow")) query += "&follow=1";
  if (p.flag("timestamps")) query += "&timestamps=1";
  if (p.flag("details")) query += "&details=1";
  if (p.given("tail")) query += "&tail=" + urlEncode(p.str("tail"));
  http::ClientRequest request;
  request.url = target("/containers/{}/logs?{}", std::string(found.at("Id").as_string()), query);
  auto response = s.send(std::move(request));
  const bool tty = found.at("Config").at("Tty").as_bool();
  http::FrameDemux demux([&](http::StdStream which, std::string_view bytes) {
    writeAll(which == http::StdStream::err ? s.streams().errFd : s.streams().outFd, bytes, "standard output");
  });
  std::string buffer(65536, '\0');
  for (size_t n = 0; (n = response.body().read(buffer.data(), buffer.size())) > 0;) {
    const std::string_view bytes(buffer.data(), n);
    if (tty) writeAll(s.streams().outFd, bytes, "standard output");
    else demux.feed(bytes);
  }
  return 0;
}

}  // namespace

#define ESTIBA_COMMAND(function, ...)          \
  const Command& function() {                  \
    static const Command command{__VA_ARGS__}; \
    return command;                            \
  }

ESTIBA_COMMAND(startCommandSpec, .name = "start", .args = "CONTAINER [CONTAINER...]",
               .summary = "Start one or more stopped containers",
               .flags = {
      boolFlag("attach", 'a', "Attach STDOUT/STDERR and forward signals"),
      stringFlag("checkpoint", 0, "Restore from this checkpoint"),
      stringFlag("checkpoint-dir", 0, "Use a custom checkpoint storage directory"),
      stringFlag("detach-keys", 0, "Override the key sequence for detaching a container"),
      boolFlag("interactive", 'i', "Attach container's STDIN"),
               },
               .arity = atLeast(1), .shortcut = "start", .run = startCommand)
ESTIBA_COMMAND(stopCommandSpec, .name = "stop", .args = "CONTAINER [CONTAINER...]",
               .summary = "Stop one or more running containers",
               .flags = {
      stringFlag("signal", 's', "Signal to send to the container"),
      intFlag("timeout", 't', "Seconds to wait before killing the container"),
                 deprecatedFlag("time", intFlag("timeout", 't', "")),
               },
               .arity = atLeast(1), .shortcut = "stop", .run = stopCommand)
ESTIBA_COMMAND(restartCommandSpec, .name = "restart", .args = "CONTAINER [CONTAINER...]",
               .summary = "Restart one or more containers",
               .flags = {
      stringFlag("signal", 's', "Signal to send to the container"),
      intFlag("timeout", 't', "Seconds to wait before killing the container"),
                 deprecatedFlag("time", intFlag("timeout", 't', "")),
               },
               .arity = atLeast(1), .shortcut = "restart", .run = restartCommand)
ESTIBA_COMMAND(killCommandSpec, .name = "kill", .args = "CONTAINER [CONTAINER...]",
               .summary = "Kill one or more running containers",
               .flags = {
      stringFlag("signal", 's', "Signal to send to the container"),
               },
               .arity = atLeast(1), .shortcut = "kill", .run = killCommand)
ESTIBA_COMMAND(pauseCommandSpec, .name = "pause", .args = "CONTAINER [CONTAINER...]",
               .summary = "Pause all processes within one or more containers", .arity = atLeast(1), .shortcut = "pause",
               .run = pauseCommand)
ESTIBA_COMMAND(unpauseCommandSpec, .name = "unpause", .args = "CONTAINER [CONTAINER...]",
               .summary = "Unpause all processes within one or more containers", .arity = atLeast(1),
               .shortcut = "unpause", .run = unpauseCommand)
ESTIBA_COMMAND(containerRmCommandSpec, .name = "rm", .args = "CONTAINER [CONTAINER...]",
               .summary = "Remove one or more containers",
               .flags = {
      boolFlag("force", 'f', "Force the removal of a running container (uses SIGKILL)"),
      boolFlag("link", 'l', "Remove the specified link"),
      boolFlag("volumes", 'v', "Remove anonymous volumes associated with the container"),
               },
               .arity = atLeast(1), .aliases = {"remove"}, .shortcut = "rm", .run = rmCommand)
ESTIBA_COMMAND(renameCommandSpec, .name = "rename", .args = "CONTAINER NEW_NAME", .summary = "Rename a container",
               .arity = exactly(2), .shortcut = "rename", .run = renameCommand)
ESTIBA_COMMAND(waitCommandSpec, .name = "wait", .args = "CONTAINER [CONTAINER...]",
               .summary = "Block until one or more containers stop, then print their exit codes", .arity = atLeast(1),
               .shortcut = "wait", .run = waitCommand)
ESTIBA_COMMAND(diffCommandSpec, .name = "diff", .args = "CONTAINER",
               .summary = "Inspect changes to files or directories on a container's filesystem", .arity = exactly(1),
               .shortcut = "diff", .run = diffCommand)
ESTIBA_COMMAND(commitCommandSpec, .name = "commit", .args = "CONTAINER [REPOSITORY[:TAG]]",
               .summary = "Create a new image from a container's changes",
               .flags = {
      stringFlag("author", 'a', "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"),
      listFlag("change", 'c', "Apply Dockerfile instruction to the created image"),
      stringFlag("message", 'm', "Commit message"),
      boolFlag("pause", 'p', "Pause container during commit", true),
               },
               .arity = between(1, 2), .shortcut = "commit", .run = commitCommand)
ESTIBA_COMMAND(attachCommandSpec, .name = "attach", .args = "CONTAINER",
               .summary = "Attach local standard input, output, and error streams to a running container",
               .flags = {
      stringFlag("detach-keys", 0, "Override the key sequence for detaching a container"),
      boolFlag("no-stdin", 0, "Do not attach STDIN"),
      boolFlag("sig-proxy", 0, "Proxy all received signals to the process", true),
               },
               .arity = exactly(1), .shortcut = "attach", .run = attachCommand)
ESTIBA_COMMAND(execCommandSpec, .name = "exec", .args = "CONTAINER COMMAND [ARG...]",
               .summary = "Execute a command in a running container",
               .flags = {
      boolFlag("detach", 'd', "Detached mode: run command in the background"),
      stringFlag("detach-keys", 0, "Override the key sequence for detaching a container"),
      listFlag("env", 'e', "Set environment variables"),
      listFlag("env-file", 0, "Read in a file of environment variables"),
      boolFlag("interactive", 'i', "Keep STDIN open even if not attached"),
      boolFlag("privileged", 0, "Give extended privileges to the command"),
      boolFlag("tty", 't', "Allocate a pseudo-TTY"),
      stringFlag("user", 'u', "Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
      stringFlag("workdir", 'w', "Working directory inside the container"),
               },
               .arity = atLeast(2), .interspersed = false, .shortcut = "exec", .shortcutGroup = HelpGroup::common,
               .run = execCommand)
ESTIBA_COMMAND(logsCommandSpec, .name = "logs", .args = "CONTAINER", .summary = "Fetch the logs of a container",
               .flags = {
      boolFlag("details", 0, "Show extra details provided to logs"),
      boolFlag("follow", 'f', "Follow log output"),
      stringFlag("since", 0, "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"),
      stringFlag("tail", 'n', "Number of lines to show from the end of the logs", "all"),
      boolFlag("timestamps", 't', "Show timestamps"),
      stringFlag("until", 0, "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"),
               },
               .arity = exactly(1), .shortcut = "logs", .run = logsCommand)
ESTIBA_COMMAND(containerPruneCommandSpec, .name = "prune", .summary = "Remove all stopped containers",
               .flags = {
      filterFlag(0, "Provide filter values (e.g. \"until=<timestamp>\")"),
      boolFlag("force", 'f', "Do not prompt for confirmation"),
               },
               .run = pruneCommand)

}  // namespace estiba::cli
