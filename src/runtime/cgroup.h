#pragma once
// A container's control groups: the same path in every hierarchy (v1: one each controller; v2: the unified one; hybrid:
// both). Source: cgroups(7), kernel admin-guide/cgroup-v1 and cgroup-v2.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/runtime_spec.h"

namespace estiba::runtime {

struct CpuStats {
  uint64_t totalNs = 0, userNs = 0, systemNs = 0;
  std::vector<uint64_t> perCpuNs;  ///< v1 only
  uint64_t periods = 0, throttledPeriods = 0, throttledNs = 0;
};

struct MemoryStats {
  uint64_t usage = 0, maxUsage = 0, limit = 0;  ///< bytes; limit: UINT64_MAX where there is none
  uint64_t failCount = 0;
  std::map<std::string, uint64_t> stats;  ///< memory.stat
};

struct PidsStats {
  uint64_t current = 0;
  std::optional<uint64_t> limit;  ///< nullopt: none
};

struct BlkioEntry {
  uint64_t major = 0, minor = 0;
  std::string op;  ///< "read", "write", "sync"…, in lower case
  uint64_t value = 0;
};

struct CgroupStats {
  bool v2 = false;
  CpuStats cpu;
  MemoryStats memory;
  PidsStats pids;
  std::vector<BlkioEntry> ioServiceBytes, ioServiced;
};

/// The groups of one path. The destructor removes nothing unless the set was made by create() and keep() not called.
class CgroupSet {
 public:
  CgroupSet() = default;  ///< no groups: every call is a no-op
  /// Makes the groups (parents too) and applies `resources`. A limit whose controller is missing is an error where it
  /// was asked for; everything else that cannot be had is a line in `warnings`. Throws Error; nothing is left then.
  static CgroupSet create(const std::string& path, const oci::LinuxResources& resources,
                          std::vector<std::string>& warnings);
  /// The first half of create(): knows every directory and has made the v2 one, so that a child can be cloned into it;
  /// make() does the rest.
  static CgroupSet prepare(const std::string& path);
  void make(const oci::LinuxResources& resources, std::vector<std::string>& warnings);
  /// The groups of `path` that exist.
  static CgroupSet open(const std::string& path);

  CgroupSet(CgroupSet&&) noexcept;
  CgroupSet& operator=(CgroupSet&&) noexcept;
  ~CgroupSet();

  bool empty() const noexcept { return groups_.empty(); }
  const std::string& path() const noexcept { return path_; }
  /// Leaves the groups when the object goes.
  void keep() noexcept { owned_ = false; }

  void update(const oci::LinuxResources& resources, std::vector<std::string>& warnings);
  void freeze();  ///< returns when all have stopped
  void thaw();
  bool frozen() const;
  /// SIGKILL to every process in it and below, frozen ones too. Does not wait.
  void killAll();
  std::vector<pid_t> pids() const;  ///< with those of groups below
  CgroupStats stats() const;
  /// How many processes the kernel's OOM killer has taken here.
  uint64_t oomKills() const;
  /// Readable (POLLIN) whenever something ran out of memory here: read it empty, then ask oomKills(). Empty where the
  /// memory controller is missing.
  Fd oomEvents() const;
  /// Waits (bounded, 2 s) until the groups are empty and removes them and those below; those that are gone are fine.
  /// Throws Error(conflict) where a process stays.
  void remove();

  /// Moves the calling process into every group; for the child between clone and execve. In v1 by writing "0" to
  /// `tasks`: cgroup.procs waits for a grace period. `unifiedToo`: false where CLONE_INTO_CGROUP has done v2.
  /// Throws SysError.
  void attachSelf(bool unifiedToo) const;
  /// The v2 directory, for CLONE_INTO_CGROUP; -1 where there is none.
  int unifiedFd() const noexcept { return unified_.get(); }
  struct Group {
    std::vector<std::string> controllers;  ///< {"cpu","cpuacct"}, {"name=systemd"}; v2: those enabled in it
    std::string mountPoint, dir;           ///< absolute
    bool v2 = false;
    bool made = false;  ///< by this object
    bool has(std::string_view controller) const;
  };
  const std::vector<Group>& groups() const noexcept { return groups_; }

 private:
  const Group* find(std::string_view controller) const;
  const Group* unifiedGroup() const;
  void apply(const oci::LinuxResources& resources, bool fresh, std::vector<std::string>& warnings);
  void removeMade() noexcept;

  std::string path_;
  std::vector<Group> groups_;
  Fd unified_;
  bool owned_ = false;
};

}  // namespace estiba::runtime
