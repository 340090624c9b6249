#include "runtime/hooks.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba::runtime {

namespace {

void runHook(const oci::Hook& hook, const std::string& state) {
  if (hook.path.empty() || hook.path[0] != '/') fail(Code::invalid, "hook path '{}' is not absolute", hook.path);
  const Fd in = anonymousFile(state, "hook-state");
  const Fd said = anonymousFile("", "hook-output");
  Process process = Process::spawn({.path = hook.path,
                                    .args = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args,
                                    .env = hook.env,
                                    .clearEnv = true,
                                    .fds = {{in.get(), 0}, {said.get(), 1}, {said.get(), 2}}});
  if (hook.timeout) {
    pollfd ended{process.pidFd(), POLLIN, 0};
    const int milliseconds = *hook.timeout * 1000;
    if (sys([&] { return ::poll(&ended, 1, milliseconds); }, "wait for a hook") == 0) {
      fail(Code::deadline, "it ran past {} s", *hook.timeout);  // the destructor kills it
    }
  }
  const ExitStatus status = process.wait();
  if (status.shellCode() == 0) return;
  sys([&] { return ::lseek(said.get(), 0, SEEK_SET); }, "seek");
  const std::string output = readAll(said.get(), "hook output", 1 << 20);
  fail(Code::internal, "{}, output: {}",
       status.signal != 0 ? fmt::format("signal {}", status.signal) : fmt::format("exit status {}", status.code),
       trim(output));
}

}  // namespace

void runHooks(const char* kind, const std::vector<oci::Hook>& hooks, const oci::State& state) {
  if (hooks.empty()) return;
  const std::string text = dumpJsonOf(state);
  for (size_t i = 0; i < hooks.size(); ++i) {
    try {
      runHook(hooks[i], text);
    } catch (const Error& e) {
      fail(e.code(), "error running {} hook #{}: {}", kind, i, e.what());
    }
  }
}

}  // namespace estiba::runtime
