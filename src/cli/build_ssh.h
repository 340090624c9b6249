#pragma once
// --ssh: the agents that the steps of a build may use.

#include <memory>
#include <vector>

#include "apitypes/build_trace.h"
#include "cli/args.h"
#include "cli/build_context.h"
#include "sys/process.h"

namespace estiba::cli {

/// An agent of our own, for --ssh with key files: OpenSSH's ssh-agent, which ends with the object or with our process.
class KeyAgent {
 public:
  /// Throws Error where a key cannot be read (one with a passphrase neither), or OpenSSH's programs are missing.
  KeyAgent(const std::string& id, const std::vector<std::string>& keys);
  std::string socket() const { return dir_.path + "/agent"; }

 private:
  struct Dir {
    Dir();
    ~Dir();
    std::string path;
  };
  struct Agent {
    ~Agent();
    pid_t pid = 0;
  };
  void start(const std::string& id);
  void add(const std::string& id, const std::string& key) const;

  Dir dir_;
  Agent agent_;
  Fd input_;  ///< of the companion, whose end is the agent's too
  Process companion_;
};

/// --ssh default|ID[=SOCKET|KEY[,KEY]]: the last of an id counts. The agents are good while what is returned lives.
/// Throws Error in buildx's words.
std::vector<std::unique_ptr<KeyAgent>> addSshAgents(const Parsed& p, apitypes::BuildRequest& request,
                                                    Descriptors& descriptors);

}  // namespace estiba::cli
