#include "monitor/execs.h"

#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "base/error.h"
#include "runtime/stage_error.h"
#include "sys/file.h"
#include "sys/ns.h"

namespace estiba::monitor {

namespace {

constexpr size_t kMaxReport = 64 * 1024;

// In the starting child: never returns.
[[noreturn]] void startAndReport(Launcher& launcher, const oci::Process& process, const std::array<int, 3>& stdio,
                                 int report) noexcept {
  try {
    Message message;
    std::vector<int> passed;
    runtime::ExecProcess started;
    try {
      started = launcher.exec(process, stdio);
      message.ok = OkAnswer{.pid = started.pid};
      if (started.console) passed.push_back(started.console.get());
    } catch (const std::exception& error) {
      message.failed = failureOf(error, "exec");
    }
    sendWithFds(report, dumpJsonOf(message), passed);
  } catch (...) {  // the monitor sees the end of the stream
  }
  ::_exit(0);
}

}  // namespace

Failed failureOf(const std::exception& error, const char* stage) {
  Failed out{.stage = stage, .message = error.what()};
  if (const auto* staged = dynamic_cast<const runtime::StageError*>(&error)) {
    out.stage = staged->stage();
    out.errorNumber = staged->err();
    out.detail = staged->detail();
    out.exitCode = staged->exitCode();
  } else if (const auto* system = dynamic_cast<const SysError*>(&error)) {
    out.errorNumber = system->err();
  }
  return out;
}

Execs::~Execs() {
  if (sweep_ != 0) loop_.cancel(sweep_);
  for (Exec& exec : running_) {
    if (exec.report) loop_.remove(exec.report.get());
  }
}

Execs::Exec* Execs::find(const std::string& id) {
  for (Exec& exec : running_) {
    if (exec.id == id) return &exec;
  }
  return nullptr;
}

const Execs::Exec* Execs::find(const std::string& id) const {
  return const_cast<Execs*>(this)->find(id);
}

const Execs::Ended* Execs::findEnded(const std::string& id) const {
  for (const Ended& ended : ended_) {
    if (ended.id == id) return &ended;
  }
  return nullptr;
}

void Execs::start(Connection& connection, Request&& request) {
  if (!request.process) fail(Code::invalid, "exec without a process");
  if (find(request.id) != nullptr || findEnded(request.id) != nullptr) {
    fail(Code::conflict, "exec '{}' was started before", request.id);
  }
  const std::string keys = parseDetachKeys(request.detachKeys.empty() ? kDefaultDetachKeys : request.detachKeys);
  Exec& exec = running_.emplace_back();
  const It it = std::prev(running_.end());
  try {
    exec.id = request.id;
    exec.detach = request.detach;
    exec.tty = request.tty;
    exec.consoleSize = request.consoleSize;
    request.process->terminal = request.tty;
    if (exec.consoleSize.size() == 2) request.process->consoleSize = oci::Box{exec.consoleSize[0], exec.consoleSize[1]};
    std::array<int, 3> stdio = {-1, -1, -1};
    if (!request.detach || request.tty) {  // a detached terminal is read all the same, or its process would stall
      exec.stdio = std::make_unique<Stdio>(
          loop_, scratch_, StdioOptions{.tty = request.tty, .stdinOpen = request.stdin_, .closesStdin = true});
      if (!request.tty) stdio = exec.stdio->openPipes();
    }
    exec.stream = {.in = request.stdin_, .out = true, .err = true, .framed = !request.tty};
    if (request.tty) exec.stream.detachKeys = keys;
    launch(exec, *request.process, stdio);
    exec.asker = &connection;
    loop_.add(exec.report.get(), EPOLLIN, [this, it](uint32_t) { onReport(it); });
  } catch (...) {
    running_.erase(it);
    throw;
  }
}

void Execs::launch(Exec& exec, const oci::Process& process, const std::array<int, 3>& stdio) {
  auto [ours, theirs] = socketPair();
  const Cloned child = cloneProcess(0);
  if (child.pid == 0) startAndReport(launcher_, process, stdio, theirs.get());
  exec.starter = child.pid;
  exec.report = std::move(ours);
}

void Execs::collect() {
  for (It it = running_.begin(); it != running_.end();) {
    const It exec = it++;
    char peek;
    // What was said before the starter's end is there by now; one that is still at work says nothing yet.
    if (exec->report && ::recv(exec->report.get(), &peek, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) onReport(exec);
  }
}

void Execs::onReport(It it) {
  auto [text, passed] = receiveWithFds(it->report.get(), kMaxReport);
  loop_.remove(it->report.get());
  it->report.reset();
  Message message;
  try {
    message = parseJsonAs<Message>(text, "report of a starting exec");
  } catch (const Error&) {
    message.failed = Failed{.stage = "exec", .message = "the process that starts it died"};
  }
  if (message.failed) return failed(it, std::move(message));
  begun(*it, std::move(message), std::move(passed));
}

void Execs::begun(Exec& exec, Message&& message, std::vector<Fd> passed) {
  exec.pid = static_cast<pid_t>(message.ok.value_or(OkAnswer{}).pid.value_or(0));
  if (exec.stdio) {
    if (exec.tty && !passed.empty()) exec.stdio->setConsole(std::move(passed[0]));
    if (exec.tty && exec.consoleSize.size() == 2) exec.stdio->resize(exec.consoleSize[0], exec.consoleSize[1]);
    exec.stdio->childStarted();
  }
  Connection* asker = std::exchange(exec.asker, nullptr);
  if (asker == nullptr) return;
  if (exec.detach) {
    asker->answer(message);
    return door_.flush(*asker);
  }
  auto [fd, early] = door_.take(*asker);
  door_.forget(*asker);
  exec.stdio->attach(std::make_unique<StreamClient>(std::move(fd), std::move(exec.stream), dumpJsonOf(message) + "\n",
                                                    std::move(early)));
}

void Execs::failed(It it, Message&& message) {
  if (it->asker != nullptr) {
    it->asker->answer(message);
    door_.flush(*it->asker);
  }
  running_.erase(it);
  if (changed_) changed_();
}

bool Execs::reaped(pid_t pid, const ExitStatus& status) {
  for (It it = running_.begin(); it != running_.end(); ++it) {
    if (it->starter == pid) return it->starter = 0, true;
    if (it->pid != pid) continue;
    it->exitCode = status.shellCode();
    ended(it);
    return true;
  }
  return false;
}

void Execs::ended(It it) {
  ended_.push_back({it->id, it->pid, *it->exitCode});
  if (ended_.size() > kKept) ended_.pop_front();
  for (Connection& connection : door_.connections()) {
    if (connection.waitsForExec != it->id || it->id.empty()) continue;
    connection.waitsForExec.clear();
    connection.answer({.ok = OkAnswer{.exitCode = it->exitCode}});
    door_.flush(connection);
  }
  it->pid = 0;
  if (!it->stdio) {
    it->drained = true;
    return sweepSoon();
  }
  it->stdio->onClientsGone([this] { sweepSoon(); });
  it->stdio->processEnded([this, it] {
    it->drained = true;
    sweepSoon();
  });
}

// Not at once: who calls may be inside the Stdio that goes.
void Execs::sweepSoon() {
  if (sweep_ != 0) return;
  sweep_ = loop_.after(std::chrono::milliseconds(0), [this] {
    sweep_ = 0;
    running_.remove_if(
        [](const Exec& exec) { return exec.drained && (!exec.stdio || exec.stdio->clientCount() == 0); });
    if (changed_) changed_();
  });
}

void Execs::wait(Connection& connection, const std::string& id) {
  if (const Ended* ended = findEnded(id)) return connection.answer({.ok = OkAnswer{.exitCode = ended->exitCode}});
  if (find(id) == nullptr) fail(Code::not_found, "No such exec instance: {}", id);
  connection.waitsForExec = id;
}

OkAnswer Execs::state(const std::string& id) const {
  if (const Ended* ended = findEnded(id)) return {.pid = ended->pid, .running = false, .exitCode = ended->exitCode};
  const Exec* exec = find(id);
  if (exec == nullptr) fail(Code::not_found, "No such exec instance: {}", id);
  return {.pid = exec->pid, .running = true};
}

void Execs::resize(const std::string& id, uint32_t height, uint32_t width) {
  Exec* exec = find(id);
  if (exec == nullptr) fail(Code::not_found, "No such exec instance: {}", id);
  if (exec->pid == 0) {
    exec->consoleSize = {height, width};
  } else if (exec->stdio) {
    exec->stdio->resize(height, width);
  }
}

void Execs::signal(const std::string& id, int signal) {
  const Exec* exec = find(id);
  if (exec == nullptr || exec->pid == 0) fail(Code::not_found, "exec '{}' is not running", id);
  sys([&] { return ::kill(exec->pid, signal); }, "send signal {} to exec '{}'", signal, id);  // ours, not reaped yet
}

void Execs::forget(const Connection& connection) {
  for (Exec& exec : running_) {
    if (exec.asker == &connection) exec.asker = nullptr;
  }
}

void Execs::abandon() {
  for (It it = running_.begin(); it != running_.end();) {
    const It exec = it++;
    if (!exec->report) continue;
    if (exec->starter > 0) ::kill(exec->starter, SIGKILL);
    loop_.remove(exec->report.get());
    failed(exec, {.failed = Failed{.stage = "exec", .message = "the container has ended"}});
  }
}

}  // namespace estiba::monitor
