#pragma once
// Namespaces and the clone that makes them. Source: namespaces(7), clone(2), setns(2).

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace estiba {

struct NamespaceKind {
  std::string_view type;  ///< the OCI word: "network"
  std::string_view file;  ///< in /proc/PID/ns: "net"
  int flag = 0;           ///< CLONE_NEWNET
};
/// nullptr where there is no such kind.
const NamespaceKind* namespaceKind(std::string_view type);

/// Opens /proc/PID/ns/FILE-like paths and checks that it is a namespace of that kind.
Fd openNamespace(const std::string& path, const NamespaceKind& kind);
/// setns(2).
void enterNamespaces(int fd, int flags, const std::string& name);
/// Whether `pid` and the caller share the namespace of that kind.
bool sharesNamespace(pid_t pid, const NamespaceKind& kind);

/// While it lives, the caller's children are born in another pid (or time) namespace; its own stay.
/// The destructor leads back; it aborts where that fails, as every later child would be born in the wrong place.
class ChildNamespace {
 public:
  ChildNamespace() = default;
  /// `fd`: a pid namespace, or a pidfd of a process in it.
  explicit ChildNamespace(int fd, const std::string& name);
  ChildNamespace(ChildNamespace&& o) noexcept = default;
  ChildNamespace& operator=(ChildNamespace&& o) noexcept = default;
  ~ChildNamespace();

 private:
  Fd own_;
};

/// While it lives, the caller's children are born in a new time namespace whose clocks are shifted. The caller must
/// have one thread. The destructor aborts where it cannot lead back, as above.
class ChildClocks {
 public:
  ChildClocks() = default;
  /// `offsets`: lines "boottime|monotonic SECONDS NANOSECONDS" of /proc/PID/timens_offsets.
  explicit ChildClocks(const std::string& offsets);
  ChildClocks(ChildClocks&& o) noexcept = default;
  ChildClocks& operator=(ChildClocks&& o) noexcept = default;
  ~ChildClocks();

 private:
  Fd own_;
};

/// The id outside of what /proc/PID/uid_map (or gid_map) says is `id` inside; nullopt where it is not mapped.
std::optional<uint32_t> mappedId(const std::string& map, uint32_t id);

struct Cloned {
  pid_t pid = 0;  ///< 0 in the child
  Fd pidFd;       ///< empty in the child
};
/// clone3(2) as fork(2) would, with CLONE_NEW* `flags`, CLONE_PIDFD, and CLONE_INTO_CGROUP where `cgroupFd` >= 0.
/// The child has a copy of the memory: the caller must have one thread.
Cloned cloneProcess(uint64_t flags, int cgroupFd = -1);

}  // namespace estiba
