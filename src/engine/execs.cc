#include "engine/execs.h"

#include <fcntl.h>

#include "base/json.h"
#include "base/text.h"
#include "monitor/client.h"
#include "runtime/stage_error.h"
#include "sys/file.h"

namespace estiba::engine {

const db::Schema kExecSchema{"exec",
                             {R"(
CREATE TABLE exec (
  id TEXT PRIMARY KEY,
  container TEXT NOT NULL REFERENCES container (id) ON DELETE CASCADE,
  config TEXT NOT NULL,
  started INTEGER NOT NULL DEFAULT 0,
  pid INTEGER NOT NULL DEFAULT 0,
  exit_code INTEGER
) STRICT;
CREATE INDEX exec_container ON exec (container);
)"}};

struct Execs::Row {
  std::string container;
  apitypes::ExecConfig config;
  bool started = false;
  int64_t pid = 0;
  std::optional<int64_t> exitCode;
};

namespace {

container::Record running(Context& ctx, const std::string& ref) {
  const auto record = ctx.records.get(ref);
  if (record.state == container::State::paused) {
    fail(Code::conflict, "container {} is paused, unpause the container before exec", ref);
  }
  if (record.state != container::State::running) fail(Code::conflict, "container {} is not running", record.id);
  return record;
}

}  // namespace

std::string Execs::create(const std::string& ref, const apitypes::ExecConfig& config) {
  const auto record = running(ctx_, ref);
  if (!config.Cmd || config.Cmd->empty()) fail(Code::invalid, "No exec command specified");
  const std::string id = randomHex(32);
  auto connection = ctx_.pool.get();
  connection->prepare("INSERT INTO exec (id, container, config) VALUES (?, ?, ?)")
      .bind(id)
      .bind(record.id)
      .bind(dumpJsonOf(config))
      .run();
  return id;
}

Execs::Row Execs::row(const std::string& id) {
  auto connection = ctx_.pool.get();
  auto st = connection->prepare("SELECT container, config, started, pid, exit_code FROM exec WHERE id = ?");
  if (!st.bind(id).step()) fail(Code::not_found, "No such exec instance: {}", id);
  Row out;
  out.container = st.text(0);
  fromJson(parseJson(st.text(1), "exec"), out.config);
  out.started = st.integer(2) != 0;
  out.pid = st.integer(3);
  out.exitCode = st.optInteger(4);
  return out;
}

Fd Execs::start(const std::string& id, const apitypes::ExecStart& options) {
  const Row exec = row(id);
  const auto record = running(ctx_, exec.container);
  {
    auto connection = ctx_.pool.get();
    if (connection->prepare("UPDATE exec SET started = 1 WHERE id = ? AND started = 0").bind(id).run() != 1) {
      fail(Code::conflict, "exec {} has already been started", id);
    }
  }
  const auto& config = exec.config;
  // The container's own root, seen through its first process: confined all the same.
  const RootDir root(openFile(fmt::format("/proc/{}/root", record.pid), O_PATH | O_DIRECTORY), record.name);
  const std::string userSpec = config.User.empty() ? record.body.config.User : config.User;
  const auto& host = record.body.host;
  const auto user = image::resolveUser(image::readAccounts(root), userSpec,
                                           host.GroupAdd ? *host.GroupAdd : std::vector<std::string>{});
  container::SpecInput in;
  in.id = record.id;
  in.args = *config.Cmd;
  std::vector<std::string> env = record.body.config.Env;
  if (config.Env) env.insert(env.end(), config.Env->begin(), config.Env->end());
  in.env = container::completeEnv(env, record.body.config.Hostname, config.Tty, user.home);
  in.cwd = !config.WorkingDir.empty()              ? config.WorkingDir
           : !record.body.config.WorkingDir.empty() ? record.body.config.WorkingDir
                                                    : "/";
  in.tty = config.Tty;
  in.user = user;
  in.host = host;
  in.host.Init.reset();
  if (config.Privileged) in.host.Privileged = true;
  const auto& size = options.ConsoleSize ? options.ConsoleSize : config.ConsoleSize;
  if (size) in.consoleSize = *size;
  monitor::ExecOptions ask;
  ask.id = id;
  ask.process = *container::buildSpec(in, ctx_.hostFacts(in.host.Privileged || !host.Devices.empty())).process;
  ask.tty = config.Tty;
  ask.in = config.AttachStdin;
  ask.detach = options.Detach;
  ask.detachKeys = config.DetachKeys;
  ask.consoleSize = in.consoleSize;
  try {
    auto started = monitor::Monitor::at(ctx_.layout.runDir(record.id)).exec(ask);
    ctx_.pool.get()->prepare("UPDATE exec SET pid = ? WHERE id = ?").bind(static_cast<int64_t>(started.pid)).bind(id).run();
    return std::move(started.stream);
  } catch (const runtime::StageError& e) {
    ctx_.pool.get()->prepare("UPDATE exec SET exit_code = ? WHERE id = ?").bind(e.exitCode()).bind(id).run();
    throw Error(Code::invalid,
                fmt::format("OCI runtime exec failed: exec failed: unable to start container process: {}: unknown", e.what()));
  }
}

void Execs::settle(const std::string& id) {
  const Row exec = row(id);
  if (!exec.started || exec.exitCode) return;
  try {
    const auto code = monitor::Monitor::at(ctx_.layout.runDir(exec.container)).execWait(id);
    ctx_.pool.get()->prepare("UPDATE exec SET exit_code = ? WHERE id = ?").bind(code.value_or(137)).bind(id).run();
  } catch (const Error& e) {
    if (e.code() != Code::unavailable && e.code() != Code::not_found) throw;
    // The container ended, and the process with it.
    ctx_.pool.get()->prepare("UPDATE exec SET exit_code = 137 WHERE id = ? AND exit_code IS NULL").bind(id).run();
  }
}

apitypes::ExecInspect Execs::inspect(const std::string& id) {
  Row exec = row(id);
  apitypes::ExecInspect out;
  if (exec.started && !exec.exitCode) {
    try {
      const auto state = monitor::Monitor::at(ctx_.layout.runDir(exec.container)).execState(id);
      out.Running = state.running;
      if (!state.running && state.exitCode) {
        settle(id);
        exec = row(id);
      }
    } catch (const Error& e) {
      if (e.code() != Code::unavailable && e.code() != Code::not_found) throw;
      settle(id);
      exec = row(id);
    }
  }
  out.ID = id;
  if (exec.exitCode) out.ExitCode = *exec.exitCode;
  out.ProcessConfig.tty = exec.config.Tty;
  out.ProcessConfig.entrypoint = exec.config.Cmd->front();
  out.ProcessConfig.arguments.assign(exec.config.Cmd->begin() + 1, exec.config.Cmd->end());
  out.ProcessConfig.privileged = exec.config.Privileged;
  if (!exec.config.User.empty()) out.ProcessConfig.user = exec.config.User;
  out.OpenStdin = exec.config.AttachStdin;
  out.OpenStdout = exec.config.AttachStdout;
  out.OpenStderr = exec.config.AttachStderr;
  out.ContainerID = exec.container;
  out.DetachKeys = exec.config.DetachKeys;
  out.Pid = exec.pid;
  return out;
}

void Execs::resize(const std::string& id, int height, int width) {
  const Row exec = row(id);
  monitor::Monitor::at(ctx_.layout.runDir(exec.container))
      .resize(static_cast<uint32_t>(height), static_cast<uint32_t>(width), id);
}

}  // namespace estiba::engine
