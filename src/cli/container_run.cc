// run and create.
#include <signal.h>
#include <unistd.h>


#include "base/text.h"
#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/run_flags.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// docker's reading of a failed start: 127 the command is not there, 126 it cannot be executed, 125 all else.
int startFailureCode(const std::string& message) {
  if (contains(message, "executable file not found") || contains(message, "no such file or directory")) return 127;
  if (contains(message, "permission denied") || contains(message, "is a directory")) return 126;
  return 125;
}

void writeCidFile(const std::string& path, const std::string& id) {
  if (!path.empty()) writeFile(path, id, 0666);
}

void checkCidFile(const std::string& path) {
  if (!path.empty() && exists(path)) {
    fail(Code::conflict, "container ID file found, make sure the other container isn't running or delete {}", path);
  }
}

std::string create(Session& s, const Parsed& p, const apitypes::ContainerCreateRequest& request) {
  checkCidFile(p.str("cidfile"));
  std::string query;
  if (p.given("name")) query = "?name=" + urlEncode(p.str("name"));
  if (p.given("platform")) query += (query.empty() ? "?" : "&") + std::string("platform=") + urlEncode(p.str("platform"));
  const auto answer = fromJson<apitypes::ContainerCreateResponse>(s.post("/containers/create" + query, toJson(request)));
  for (const auto& warning : answer.Warnings) s.err() << "WARNING: " << warning << '\n';
  writeCidFile(p.str("cidfile"), answer.Id);
  return answer.Id;
}

int runCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  auto request = createRequest(p);
  const bool detach = p.flag("detach");
  const auto attached = p.list("attach");
  if (detach && !attached.empty()) throw ExitError(125, "docker: conflicting options: cannot specify both --attach and --detach");
  const auto wants = [&](std::string_view stream) {
    if (detach) return false;
    if (attached.empty()) return stream != "stdin" || request.OpenStdin;
    return std::find(attached.begin(), attached.end(), stream) != attached.end();
  };
  request.AttachStdin = wants("stdin") && request.OpenStdin;
  request.AttachStdout = wants("stdout");
  request.AttachStderr = wants("stderr");
  request.StdinOnce = request.OpenStdin && !detach;
  if (request.Tty && request.AttachStdin && !s.inIsTerminal()) {
    throw ExitError(1, "the input device is not a TTY");
  }
  if (request.Tty) {
    if (const auto size = terminalSize(s.streams().outFd)) request.HostConfig.ConsoleSize = {size->rows, size->columns};
  }
  // From here on a signal is for the container: it must not reach us before there is one.
  const bool proxy = p.flag("sig-proxy") && !request.Tty && !detach;
  std::string id;
  std::optional<SignalForward> forward;
  std::mutex idMutex;
  if (proxy) {
    forward.emplace([&](int signal) {
      std::lock_guard lock(idMutex);
      if (id.empty()) ::_exit(128 + signal);  // nothing was made yet
      s.post(target("/containers/{}/kill?signal={}", id, signal));
    });
  }
  {
    const std::string made = create(s, p, request);
    std::lock_guard lock(idMutex);
    id = made;
  }
  if (detach) {
    try {
      s.post(target("/containers/{}/start", id));
    } catch (const ApiError& e) {
      throw ExitError(startFailureCode(e.message()), e.what());
    }
    s.out() << id << '\n';
    return 0;
  }
  std::optional<http::Upgraded> stream;
  if (request.AttachStdin || request.AttachStdout || request.AttachStderr) {
    std::string query = "stream=1";
    if (request.AttachStdin) query += "&stdin=1";
    if (request.AttachStdout) query += "&stdout=1";
    if (request.AttachStderr) query += "&stderr=1";
    if (p.given("detach-keys")) query += "&detachKeys=" + urlEncode(p.str("detach-keys"));
    stream = s.hijack(target("/containers/{}/attach?{}", id, query));
  }
  ContainerEnd end(s, id, request.HostConfig.AutoRemove ? "removed" : "next-exit");
  try {
    s.post(target("/containers/{}/start", id));
  } catch (const ApiError& e) {
    throw ExitError(startFailureCode(e.message()), e.what());
  }
  if (stream) {
    Joined joined;
    joined.tty = request.Tty;
    joined.in = request.AttachStdin;
    joined.out = request.AttachStdout;
    joined.err = request.AttachStderr;
    if (request.Tty) {
      joined.resize = [&](unsigned rows, unsigned columns) {
        try {
          s.post(target("/containers/{}/resize?h={}&w={}", id, rows, columns));
        } catch (const ApiError&) {  // it has ended meanwhile
        }
      };
    }
    joined.detachKeys = p.str("detach-keys");
    if (joinStreams(s, std::move(*stream), joined) == Left::detached) return 0;
  }
  return end.code();
}

int createCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  auto request = createRequest(p);
  request.AttachStdout = request.AttachStderr = true;
  request.AttachStdin = request.OpenStdin;
  request.StdinOnce = request.OpenStdin;
  s.out() << create(s, p, request) << '\n';
  return 0;
}

std::vector<Flag> runFlags() {
  auto flags = containerFlags();
  flags.push_back(boolFlag("detach", 'd', "Run container in background and print container ID"));
  flags.push_back(stringFlag("detach-keys", 0, "Override the key sequence for detaching a container"));
  flags.push_back(boolFlag("sig-proxy", 0, "Proxy received signals to the process", true));
  return flags;
}

}  // namespace

const Command& runCommandSpec() {
  static const Command command{.name = "run",
                               .args = "IMAGE [COMMAND] [ARG...]",
                               .summary = "Create and run a new container from an image",
                               .flags = runFlags(),
                               .arity = atLeast(1),
                               .interspersed = false,
                               .errorExit = 125,
                               .shortcut = "run",
                               .shortcutGroup = HelpGroup::common,
                               .run = runCommand};
  return command;
}

const Command& createCommandSpec() {
  static const Command command{.name = "create",
                               .args = "IMAGE [COMMAND] [ARG...]",
                               .summary = "Create a new container",
                               .flags = containerFlags(),
                               .arity = atLeast(1),
                               .interspersed = false,
                               .errorExit = 125,
                               .shortcut = "create",
                               .run = createCommand};
  return command;
}

}  // namespace estiba::cli
