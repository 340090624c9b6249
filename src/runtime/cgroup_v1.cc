#include <fmt/format.h>
#include <algorithm>

#include "base/error.h"
#include "runtime/cgroup_limits.h"
#include "sys/cgroup.h"

namespace estiba::runtime {

namespace {

using Group = CgroupSet::Group;
using Warnings = std::vector<std::string>;

// Writes into one controller's group; a limit that was asked for and has no home is an error.
class Writer {
 public:
  Writer(const std::vector<Group>& groups, std::string_view controller) : controller_(controller) {
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.has(controller); });
    if (found != groups.end()) dir_ = found->dir;
  }
  bool there() const { return !dir_.empty(); }
  const std::string& dir() const { return dir_; }

  template <class T>
  void must(std::string_view file, const T& value) const {
    if (!there()) fail(Code::not_implemented, "cannot set {}: the {} controller is not available", file, controller_);
    writeCgroupFile(dir_, file, fmt::format("{}", value));
  }
  template <class T>
  void must(std::string_view file, const std::optional<T>& value) const {
    if (value) must(file, *value);
  }
  /// False where the kernel has no such file.
  template <class T>
  bool attempt(std::string_view file, const T& value) const {
    return there() && tryWriteCgroupFile(dir_, file, fmt::format("{}", value));
  }

 private:
  std::string controller_, dir_;
};

// The kernel wants limit <= memsw at every moment: which is written first depends on the direction.
void setMemoryAndSwap(const Writer& writer, const oci::LinuxMemory& memory, bool fresh, Warnings& warnings) {
  const char* const kLimit = "memory.limit_in_bytes";
  const char* const kSwap = "memory.memsw.limit_in_bytes";
  const bool wantsSwap = memory.swap.value_or(0) != 0;
  const auto swapFile = writer.there() ? readCgroupFile(writer.dir(), kSwap) : std::nullopt;
  if (wantsSwap && !swapFile) warnings.push_back("the kernel does not account swap: its limit is not set");
  const bool setSwap = wantsSwap && swapFile.has_value();
  const auto asUnsigned = [](int64_t v) { return v < 0 ? UINT64_MAX : static_cast<uint64_t>(v); };
  const bool raising = !fresh && setSwap && std::stoull(*swapFile) < asUnsigned(*memory.swap);
  if (setSwap && raising) writer.must(kSwap, *memory.swap);
  if (memory.limit.value_or(0) != 0) writer.must(kLimit, *memory.limit);
  if (setSwap && !raising) writer.must(kSwap, *memory.swap);
}

void applyMemory(const std::vector<Group>& groups, const oci::LinuxMemory& memory, bool fresh, Warnings& warnings) {
  const Writer writer(groups, "memory");
  setMemoryAndSwap(writer, memory, fresh, warnings);
  if (memory.reservation.value_or(0) != 0) writer.must("memory.soft_limit_in_bytes", *memory.reservation);
  if (memory.swappiness) writer.must("memory.swappiness", *memory.swappiness);
  if (memory.disableOOMKiller.value_or(false)) writer.must("memory.oom_control", 1);
  if (memory.useHierarchy.value_or(false)) writer.attempt("memory.use_hierarchy", 1);
  if (memory.kernelTCP.value_or(0) != 0) writer.must("memory.kmem.tcp.limit_in_bytes", *memory.kernelTCP);
  if (memory.kernel.value_or(0) != 0) warnings.push_back("a kernel memory limit is not supported: it is not set");
}

void applyCpu(const std::vector<Group>& groups, const oci::LinuxCpu& cpu) {
  const Writer writer(groups, "cpu");
  if (cpu.shares.value_or(0) != 0) writer.must("cpu.shares", *cpu.shares);
  if (cpu.period.value_or(0) != 0) writer.must("cpu.cfs_period_us", *cpu.period);
  if (cpu.quota.value_or(0) != 0) writer.must("cpu.cfs_quota_us", *cpu.quota);
  if (cpu.burst.value_or(0) != 0) writer.must("cpu.cfs_burst_us", *cpu.burst);
  if (cpu.realtimePeriod.value_or(0) != 0) writer.must("cpu.rt_period_us", *cpu.realtimePeriod);
  if (cpu.realtimeRuntime.value_or(0) != 0) writer.must("cpu.rt_runtime_us", *cpu.realtimeRuntime);
  if (cpu.idle) writer.must("cpu.idle", *cpu.idle);
  const Writer sets(groups, "cpuset");
  if (!cpu.cpus.value_or("").empty()) sets.must("cpuset.cpus", *cpu.cpus);
  if (!cpu.mems.value_or("").empty()) sets.must("cpuset.mems", *cpu.mems);
}

void applyWeights(const Writer& writer, const oci::LinuxBlockIo& io, Warnings& warnings) {
  if (io.weight.value_or(0) != 0 && !writer.attempt("blkio.weight", *io.weight) &&
      !writer.attempt("blkio.bfq.weight", *io.weight)) {
    warnings.push_back("no I/O scheduler with weights: the block I/O weight is not set");
  }
  if (io.leafWeight.value_or(0) != 0 && !writer.attempt("blkio.leaf_weight", *io.leafWeight)) {
    warnings.push_back("no I/O scheduler with weights: the block I/O leaf weight is not set");
  }
  for (const auto& device : io.weightDevice) {
    const auto line = fmt::format("{}:{} {}", device.major, device.minor, device.weight.value_or(0));
    if (device.weight.value_or(0) != 0 && !writer.attempt("blkio.weight_device", line) &&
        !writer.attempt("blkio.bfq.weight_device", line)) {
      warnings.push_back("no I/O scheduler with weights: a block I/O device weight is not set");
    }
  }
}

void applyBlockIo(const std::vector<Group>& groups, const oci::LinuxBlockIo& io, Warnings& warnings) {
  const Writer writer(groups, "blkio");
  applyWeights(writer, io, warnings);
  const auto throttle = [&](const char* file, const std::vector<oci::LinuxThrottleDevice>& devices) {
    for (const auto& d : devices) writer.must(file, fmt::format("{}:{} {}", d.major, d.minor, d.rate));
  };
  throttle("blkio.throttle.read_bps_device", io.throttleReadBpsDevice);
  throttle("blkio.throttle.write_bps_device", io.throttleWriteBpsDevice);
  throttle("blkio.throttle.read_iops_device", io.throttleReadIOPSDevice);
  throttle("blkio.throttle.write_iops_device", io.throttleWriteIOPSDevice);
}

std::string deviceLine(const oci::LinuxDeviceCgroup& rule) {
  const std::string type = rule.type.value_or("a");
  const auto number = [](const std::optional<int64_t>& n) {
    return n && *n >= 0 ? fmt::format("{}", *n) : std::string("*");
  };
  const std::string access = rule.access.value_or("rwm");
  const bool all = !rule.major.has_value() && !rule.minor.has_value() && access == "rwm";
  if (type == "a" && all) return "a";
  return fmt::format("{} {}:{} {}", type, number(rule.major), number(rule.minor), access.empty() ? "rwm" : access);
}

void applyDevices(const std::vector<Group>& groups, const std::vector<oci::LinuxDeviceCgroup>& rules) {
  const Writer writer(groups, "devices");
  if (!writer.there()) return;
  for (const auto& rule : effectiveDeviceRules(rules)) {
    const std::string line = deviceLine(rule);
    const char* file = rule.allow ? "devices.allow" : "devices.deny";
    if (line.starts_with("a ") && line != "a") {  // v1 takes 'a' as "all of it": spell both kinds out
      for (const char type : {'b', 'c'}) writer.must(file, type + line.substr(1));
    } else {
      writer.must(file, line);
    }
  }
}

void applyRest(const std::vector<Group>& groups, const oci::LinuxResources& resources) {
  for (const auto& huge : resources.hugepageLimits) {
    Writer(groups, "hugetlb").must(fmt::format("hugetlb.{}.limit_in_bytes", huge.pageSize), huge.limit);
  }
  if (resources.network) {
    if (resources.network->classID) Writer(groups, "net_cls").must("net_cls.classid", *resources.network->classID);
    for (const auto& item : resources.network->priorities) {
      Writer(groups, "net_prio").must("net_prio.ifpriomap", fmt::format("{} {}", item.name, item.priority));
    }
  }
  for (const auto& [device, limit] : resources.rdma) {
    std::string line = device;
    if (limit.hcaHandles) line += fmt::format(" hca_handle={}", *limit.hcaHandles);
    if (limit.hcaObjects) line += fmt::format(" hca_object={}", *limit.hcaObjects);
    Writer(groups, "rdma").must("rdma.max", line);
  }
}

}  // namespace

std::vector<oci::LinuxDeviceCgroup> effectiveDeviceRules(const std::vector<oci::LinuxDeviceCgroup>& rules) {
  if (rules.empty()) return {};
  std::vector<oci::LinuxDeviceCgroup> out = rules;
  out.push_back({true, "c", -1, -1, "m"});
  out.push_back({true, "b", -1, -1, "m"});
  for (const auto& [major, minor] : {std::pair{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {136, -1}}) {
    out.push_back({true, "c", major, minor, "rwm"});
  }
  return out;
}

void applyV1(const std::vector<Group>& groups, const oci::LinuxResources& resources, bool fresh, Warnings& warnings) {
  if (resources.memory) applyMemory(groups, *resources.memory, fresh, warnings);
  if (resources.cpu) applyCpu(groups, *resources.cpu);
  if (resources.pids && resources.pids->limit != 0) {
    const int64_t limit = resources.pids->limit;
    Writer(groups, "pids").must("pids.max", limit > 0 ? fmt::format("{}", limit) : std::string("max"));
  }
  if (resources.blockIO) applyBlockIo(groups, *resources.blockIO, warnings);
  applyDevices(groups, resources.devices);
  applyRest(groups, resources);
}

}  // namespace estiba::runtime
