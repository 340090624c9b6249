#pragma once
// The --mounts of a RUN: what the step depends on through them, and what they are made of.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "build/layer_step.h"
#include "build/ssh_agent.h"
#include "build/step_runner.h"
#include "sys/lock.h"

namespace estiba::build {

/// Good for as long as the object lives.
struct MadeMounts {
  std::vector<StepMount> mounts;
  std::vector<std::pair<std::string, std::string>> env;  ///< of secrets
  std::map<std::string, FileLock> locks;                 ///< of caches, by their directories
  std::vector<std::unique_ptr<SshRelay>> relays;         ///< behind the sockets of ssh mounts
  std::vector<snapshot::Active> thrownAway;              ///< where writes go that nobody keeps
};

class RunMounts {
 public:
  /// Finds the sources. Both arguments outlive it. Throws Error in BuildKit's words where one is missing.
  RunMounts(const Step& step, const RunInstruction& run);
  const Inputs& inputs() const noexcept { return inputs_; }
  /// For a step that runs. Waits for caches that others have locked. Throws Error(not_found) for a secret that is
  /// required.
  MadeMounts make();
  /// Where the first ssh mount has its socket; empty without one.
  std::string sshSocket() const;

 private:
  struct Planned {
    const RunMount* mount = nullptr;
    const Origin* origin = nullptr;
    std::string target;
    // Of a bind:
    std::shared_ptr<SourceTree> tree;
    std::string path;
    bool directory = false;
    SourceTree::Met met;
  };
  Planned plan(const RunMount& mount, const Origin& origin);
  std::string targetOf(const RunMount& mount) const;
  std::string cacheDirOf(const Planned& p) const;
  void lockCaches(MadeMounts& out, std::map<const Planned*, std::string>& dirs);
  StepMount makeCache(const Planned& p, const std::string& dir);
  StepMount makeBind(const Planned& p, MadeMounts& out);
  StepMount copied(const Planned& p);
  void addSecret(const Planned& p, MadeMounts& out);
  void addSsh(const Planned& p, MadeMounts& out);

  const Step& step_;
  Session& s_;
  std::vector<Planned> planned_;
  Inputs inputs_;
};

}  // namespace estiba::build
