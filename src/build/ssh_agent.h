#pragma once
// The client's ssh agents, as steps may use them. Source: draft-miller-ssh-agent (the protocol).

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"

namespace estiba::build {

inline constexpr const char* kDefaultSshId = "default";

/// A socket for one step, behind which an agent answers what may be asked of it: which keys it has, and to sign. Adding
/// and removing keys, locking and extensions are refused. It lives as long as the object; so do its connections.
class SshRelay {
 public:
  /// Listens in the directory `dir`. `agent`: the agent's socket, opened with O_PATH; it outlives the relay.
  SshRelay(const std::string& dir, uint32_t mode, uint32_t uid, uint32_t gid, int agent);
  ~SshRelay();
  SshRelay(const SshRelay&) = delete;
  SshRelay& operator=(const SshRelay&) = delete;
  const std::string& path() const noexcept { return path_; }

 private:
  struct Running;
  std::string path_;
  std::unique_ptr<Running> running_;
};

}  // namespace estiba::build
