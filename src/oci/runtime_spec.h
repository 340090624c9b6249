#pragma once
// The OCI runtime specification's config.json (1.2) as plain data. Member names are the JSON keys (base/json.h).
// Source: opencontainers/runtime-spec config.md, config-linux.md. Pure data: nothing here looks at the host.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace estiba::oci {

inline constexpr const char* kRuntimeSpecVersion = "1.2.0";

struct Box {
  uint32_t height = 0, width = 0;
};
BOOST_DESCRIBE_STRUCT(Box, (), (height, width))

struct User {
  uint32_t uid = 0, gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additionalGids;
  std::optional<std::string> username;  ///< Windows only
};
BOOST_DESCRIBE_STRUCT(User, (), (uid, gid, umask, additionalGids, username))

/// Names as in capabilities(7): "CAP_NET_ADMIN".
struct Capabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
};
BOOST_DESCRIBE_STRUCT(Capabilities, (), (bounding, effective, inheritable, permitted, ambient))

struct Rlimit {
  std::string type;  ///< "RLIMIT_NOFILE"
  uint64_t hard = 0, soft = 0;
};
BOOST_DESCRIBE_STRUCT(Rlimit, (), (type, hard, soft))

struct IoPriority {
  std::string class_;  ///< IOPRIO_CLASS_RT, _BE, _IDLE
  int priority = 0;
};
BOOST_DESCRIBE_STRUCT(IoPriority, (), (class_, priority))

struct Scheduler {
  std::string policy;  ///< SCHED_OTHER, SCHED_BATCH…
  std::optional<int32_t> nice, priority;
  std::vector<std::string> flags;
  std::optional<uint64_t> runtime, deadline, period;
};
BOOST_DESCRIBE_STRUCT(Scheduler, (), (policy, nice, priority, flags, runtime, deadline, period))

struct CpuAffinity {
  std::optional<std::string> initial, final_;
};
BOOST_DESCRIBE_STRUCT(CpuAffinity, (), (initial, final_))

struct Process {
  std::optional<bool> terminal;
  std::optional<Box> consoleSize;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  std::optional<bool> noNewPrivileges;
  std::optional<std::string> apparmorProfile;
  std::optional<int> oomScoreAdj;
  std::optional<Scheduler> scheduler;
  std::optional<std::string> selinuxLabel;
  std::optional<IoPriority> ioPriority;
  std::optional<CpuAffinity> execCPUAffinity;
};
BOOST_DESCRIBE_STRUCT(Process, (),
                      (terminal, consoleSize, user, args, env, cwd, capabilities, rlimits, noNewPrivileges,
                       apparmorProfile, oomScoreAdj, scheduler, selinuxLabel, ioPriority, execCPUAffinity))

struct Root {
  std::string path;  ///< absolute, or relative to the bundle
  std::optional<bool> readonly;
};
BOOST_DESCRIBE_STRUCT(Root, (), (path, readonly))

struct IdMapping {
  uint32_t containerID = 0, hostID = 0, size = 0;
};
BOOST_DESCRIBE_STRUCT(IdMapping, (), (containerID, hostID, size))

struct Mount {
  std::string destination;
  std::optional<std::string> type;
  std::optional<std::string> source;
  std::vector<std::string> options;
  std::optional<std::vector<IdMapping>> uidMappings, gidMappings;
};
BOOST_DESCRIBE_STRUCT(Mount, (), (destination, type, source, options, uidMappings, gidMappings))

struct Hook {
  std::string path;
  std::vector<std::string> args, env;
  std::optional<int> timeout;  ///< seconds
};
BOOST_DESCRIBE_STRUCT(Hook, (), (path, args, env, timeout))

struct Hooks {
  std::vector<Hook> prestart, createRuntime, createContainer, startContainer, poststart, poststop;
};
BOOST_DESCRIBE_STRUCT(Hooks, (), (prestart, createRuntime, createContainer, startContainer, poststart, poststop))

struct LinuxNamespace {
  std::string type;                 ///< pid network mount ipc uts user cgroup time
  std::optional<std::string> path;  ///< joined; a new one where absent
};
BOOST_DESCRIBE_STRUCT(LinuxNamespace, (), (type, path))

struct LinuxDevice {
  std::string path, type;  ///< type: c, b, u, p
  std::optional<int64_t> major, minor;
  std::optional<uint32_t> fileMode, uid, gid;
};
BOOST_DESCRIBE_STRUCT(LinuxDevice, (), (path, type, major, minor, fileMode, uid, gid))

struct LinuxDeviceCgroup {
  bool allow = false;
  std::optional<std::string> type;      ///< a, c, b
  std::optional<int64_t> major, minor;  ///< absent or -1: all
  std::optional<std::string> access;    ///< of "rwm"
};
BOOST_DESCRIBE_STRUCT(LinuxDeviceCgroup, (), (allow, type, major, minor, access))

struct LinuxMemory {
  std::optional<int64_t> limit, reservation, swap;  ///< bytes; -1: unlimited; swap: memory + swap
  std::optional<int64_t> kernel, kernelTCP;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disableOOMKiller, useHierarchy, checkBeforeUpdate;
};
BOOST_DESCRIBE_STRUCT(LinuxMemory, (),
                      (limit, reservation, swap, kernel, kernelTCP, swappiness, disableOOMKiller, useHierarchy,
                       checkBeforeUpdate))

struct LinuxCpu {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;  ///< microseconds
  std::optional<uint64_t> burst, period;
  std::optional<int64_t> realtimeRuntime;
  std::optional<uint64_t> realtimePeriod;
  std::optional<std::string> cpus, mems;
  std::optional<int64_t> idle;
};
BOOST_DESCRIBE_STRUCT(LinuxCpu, (), (shares, quota, burst, period, realtimeRuntime, realtimePeriod, cpus, mems, idle))

struct LinuxWeightDevice {
  int64_t major = 0, minor = 0;
  std::optional<uint16_t> weight, leafWeight;
};
BOOST_DESCRIBE_STRUCT(LinuxWeightDevice, (), (major, minor, weight, leafWeight))

struct LinuxThrottleDevice {
  int64_t major = 0, minor = 0;
  uint64_t rate = 0;  ///< bytes or operations a second
};
BOOST_DESCRIBE_STRUCT(LinuxThrottleDevice, (), (major, minor, rate))

struct LinuxBlockIo {
  std::optional<uint16_t> weight, leafWeight;
  std::vector<LinuxWeightDevice> weightDevice;
  std::vector<LinuxThrottleDevice> throttleReadBpsDevice, throttleWriteBpsDevice, throttleReadIOPSDevice,
      throttleWriteIOPSDevice;
};
BOOST_DESCRIBE_STRUCT(LinuxBlockIo, (),
                      (weight, leafWeight, weightDevice, throttleReadBpsDevice, throttleWriteBpsDevice,
                       throttleReadIOPSDevice, throttleWriteIOPSDevice))

struct LinuxPids {
  int64_t limit = 0;  ///< -1: unlimited
};
BOOST_DESCRIBE_STRUCT(LinuxPids, (), (limit))

struct LinuxHugepageLimit {
  std::string pageSize;  ///< "2MB"
  uint64_t limit = 0;
};
BOOST_DESCRIBE_STRUCT(LinuxHugepageLimit, (), (pageSize, limit))

struct LinuxInterfacePriority {
  std::string name;
  uint32_t priority = 0;
};
BOOST_DESCRIBE_STRUCT(LinuxInterfacePriority, (), (name, priority))

struct LinuxNetwork {
  std::optional<uint32_t> classID;
  std::vector<LinuxInterfacePriority> priorities;
};
BOOST_DESCRIBE_STRUCT(LinuxNetwork, (), (classID, priorities))

struct LinuxRdma {
  std::optional<uint32_t> hcaHandles, hcaObjects;
};
BOOST_DESCRIBE_STRUCT(LinuxRdma, (), (hcaHandles, hcaObjects))

struct LinuxResources {
  std::vector<LinuxDeviceCgroup> devices;
  std::optional<LinuxMemory> memory;
  std::optional<LinuxCpu> cpu;
  std::optional<LinuxPids> pids;
  std::optional<LinuxBlockIo> blockIO;
  std::vector<LinuxHugepageLimit> hugepageLimits;
  std::optional<LinuxNetwork> network;
  std::map<std::string, LinuxRdma> rdma;
  std::map<std::string, std::string> unified;  ///< cgroup v2 file -> content
};
BOOST_DESCRIBE_STRUCT(LinuxResources, (), (devices, memory, cpu, pids, blockIO, hugepageLimits, network, rdma, unified))

struct LinuxSeccompArg {
  uint32_t index = 0;
  uint64_t value = 0;
  std::optional<uint64_t> valueTwo;
  std::string op;  ///< SCMP_CMP_EQ…
};
BOOST_DESCRIBE_STRUCT(LinuxSeccompArg, (), (index, value, valueTwo, op))

struct LinuxSyscall {
  std::vector<std::string> names;
  std::string action;  ///< SCMP_ACT_ALLOW…
  std::optional<uint32_t> errnoRet;
  std::vector<LinuxSeccompArg> args;
};
BOOST_DESCRIBE_STRUCT(LinuxSyscall, (), (names, action, errnoRet, args))

struct LinuxSeccomp {
  std::string defaultAction;
  std::optional<uint32_t> defaultErrnoRet;
  std::vector<std::string> architectures;  ///< SCMP_ARCH_X86_64…
  std::vector<std::string> flags;          ///< SECCOMP_FILTER_FLAG_…
  std::optional<std::string> listenerPath, listenerMetadata;
  std::vector<LinuxSyscall> syscalls;
};
BOOST_DESCRIBE_STRUCT(LinuxSeccomp, (),
                      (defaultAction, defaultErrnoRet, architectures, flags, listenerPath, listenerMetadata, syscalls))

struct LinuxTimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};
BOOST_DESCRIBE_STRUCT(LinuxTimeOffset, (), (secs, nanosecs))

struct LinuxPersonality {
  std::string domain;  ///< LINUX, LINUX32
  std::vector<std::string> flags;
};
BOOST_DESCRIBE_STRUCT(LinuxPersonality, (), (domain, flags))

struct Linux {
  std::vector<IdMapping> uidMappings, gidMappings;
  std::map<std::string, std::string> sysctl;
  std::optional<LinuxResources> resources;
  std::optional<std::string> cgroupsPath;
  std::vector<LinuxNamespace> namespaces;
  std::vector<LinuxDevice> devices;
  std::optional<LinuxSeccomp> seccomp;
  std::optional<std::string> rootfsPropagation;  ///< private slave shared unbindable (and r…)
  std::vector<std::string> maskedPaths, readonlyPaths;
  std::optional<std::string> mountLabel;
  std::optional<json::value> intelRdt;
  std::optional<LinuxPersonality> personality;
  std::map<std::string, LinuxTimeOffset> timeOffsets;  ///< boottime, monotonic
};
BOOST_DESCRIBE_STRUCT(Linux, (),
                      (uidMappings, gidMappings, sysctl, resources, cgroupsPath, namespaces, devices, seccomp,
                       rootfsPropagation, maskedPaths, readonlyPaths, mountLabel, intelRdt, personality, timeOffsets))

struct RuntimeSpec {
  std::string ociVersion = kRuntimeSpecVersion;
  std::optional<Process> process;
  std::optional<Root> root;
  std::optional<std::string> hostname, domainname;
  std::vector<Mount> mounts;
  std::optional<Hooks> hooks;
  std::map<std::string, std::string> annotations;
  std::optional<Linux> linux_;
};
BOOST_DESCRIBE_STRUCT(RuntimeSpec, (),
                      (ociVersion, process, root, hostname, domainname, mounts, hooks, annotations, linux_))

/// What `state` prints and hooks read on standard input. Source: runtime.md "State".
struct State {
  std::string ociVersion = kRuntimeSpecVersion;
  std::string id;
  std::string status;  ///< creating created running stopped
  std::optional<int> pid;
  std::string bundle;
  std::optional<std::map<std::string, std::string>> annotations;
};
BOOST_DESCRIBE_STRUCT(State, (), (ociVersion, id, status, pid, bundle, annotations))

}  // namespace estiba::oci
