#include "cli/build_ssh.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "base/text.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

constexpr uint64_t kMaxKey = 100U << 10;

bool isSocket(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) throw SysError(errno, fmt::format("stat {}", path));
  return S_ISSOCK(st.st_mode);
}

// Nobody is asked for anything: not on a terminal, not by a window.
Process openSsh(const std::string& id, SpawnOptions options) {
  try {
    options.newSession = true;
    return Process::spawn(options);
  } catch (const SysError& e) {
    if (e.err() != ENOENT) throw;
    fail(Code::not_implemented,
         "--ssh {}: key files need {} (OpenSSH's client) on this machine; an agent's socket does not", id, options.path);
  }
}

std::vector<std::string> socketsOrKeys(const std::string& id, std::vector<std::string> paths) {
  if (paths.empty() || (paths.size() == 1 && paths[0].empty())) {
    const char* own = ::getenv("SSH_AUTH_SOCK");
    if (own == nullptr || *own == '\0') {
      fail(Code::invalid, "--ssh {}: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set", id);
    }
    return {own};
  }
  return paths;
}

}  // namespace

KeyAgent::Dir::Dir() {
  char name[] = "/tmp/estiba-ssh-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw SysError(errno, "make a temporary directory");
  path = name;
}

KeyAgent::Dir::~Dir() {
  try {
    removeTree(path);
  } catch (const Error&) {  // the socket's name alone
  }
}

KeyAgent::Agent::~Agent() {
  if (pid > 0) ::kill(pid, SIGTERM);
}

KeyAgent::KeyAgent(const std::string& id, const std::vector<std::string>& keys) {
  start(id);
  for (const auto& key : keys) add(id, key);
}

// ssh-agent(1): "the agent exits automatically when the command given on the command line terminates". The command waits
// for the end of its input, which comes when we end, however that is.
void KeyAgent::start(const std::string& id) {
  auto [inputRead, inputWrite] = makePipe();
  auto [said, say] = makePipe();
  const Fd null = openFile("/dev/null", O_RDWR);
  SpawnOptions options;
  options.path = "ssh-agent";
  options.args = {"ssh-agent", "-a", socket(), "/bin/sh", "-c", "echo $SSH_AGENT_PID; exec cat >/dev/null"};
  options.fds = {{inputRead.get(), 0}, {say.get(), 1}, {null.get(), 2}};
  companion_ = openSsh(id, std::move(options));
  input_ = std::move(inputWrite);
  say.reset();
  std::string line;
  for (char c = 0; ::read(said.get(), &c, 1) == 1 && c != '\n';) line += c;
  const auto pid = parseUint(line);
  if (!pid || *pid == 0) fail(Code::internal, "--ssh {}: ssh-agent did not start", id);
  agent_.pid = static_cast<pid_t>(*pid);
}

// By its standard input: whose file the key is and who may read it is none of our business.
void KeyAgent::add(const std::string& id, const std::string& key) const {
  auto [said, say] = makePipe();
  const Fd content = anonymousFile(readFile(key, kMaxKey), "key");
  ::lseek(content.get(), 0, SEEK_SET);
  SpawnOptions options;
  options.path = "ssh-add";
  options.args = {"ssh-add", "-q", "-"};
  options.env = {"SSH_AUTH_SOCK=" + socket(), "SSH_ASKPASS_REQUIRE=never"};
  options.fds = {{content.get(), 0}, {say.get(), 1}, {say.get(), 2}};
  Process process = openSsh(id, std::move(options));
  say.reset();
  const std::string text = readAll(said.get(), "ssh-add");
  if (process.wait().shellCode() != 0) fail(Code::invalid, "--ssh {}: failed to parse {}: {}", id, key, trim(text));
}

std::vector<std::unique_ptr<KeyAgent>> addSshAgents(const Parsed& p, apitypes::BuildRequest& request,
                                                    Descriptors& descriptors) {
  std::map<std::string, std::vector<std::string>> wanted;
  for (const auto& text : p.list("ssh")) {
    if (text.empty()) continue;
    const auto [id, paths] = cut(text, '=');
    wanted[id.empty() ? "default" : id] = paths ? split(*paths, ',') : std::vector<std::string>();
  }
  std::vector<std::unique_ptr<KeyAgent>> own;
  for (const auto& [id, given] : wanted) {
    const auto paths = socketsOrKeys(id, given);
    const auto sockets = std::count_if(paths.begin(), paths.end(), isSocket);
    if (sockets > 1) fail(Code::invalid, "--ssh {}: only single socket allowed", id);
    if (sockets == 1 && paths.size() > 1) fail(Code::invalid, "--ssh {}: invalid combination of keys and sockets", id);
    std::string socket = paths.front();
    if (sockets == 0) socket = own.emplace_back(std::make_unique<KeyAgent>(id, paths))->socket();
    request.ssh.push_back({id, descriptors.add(openFile(socket, O_PATH))});
  }
  return own;
}

}  // namespace estiba::cli
