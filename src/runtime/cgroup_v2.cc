#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "runtime/cgroup_limits.h"
#include "sys/cgroup.h"

namespace estiba::runtime {

namespace {

using Warnings = std::vector<std::string>;

std::string orMax(int64_t value) {
  return value < 0 ? "max" : fmt::format("{}", value);
}

void applyMemory(const std::string& dir, const oci::LinuxMemory& memory, Warnings& warnings) {
  if (memory.limit.value_or(0) != 0) writeCgroupFile(dir, "memory.max", orMax(*memory.limit));
  if (memory.reservation.value_or(0) != 0) writeCgroupFile(dir, "memory.low", orMax(*memory.reservation));
  if (memory.swap.value_or(0) != 0) {
    const int64_t limit = memory.limit.value_or(-1);
    if (*memory.swap > 0 && limit > 0 && *memory.swap < limit) {
      fail(Code::invalid, "memory+swap limit {} is below the memory limit {}", *memory.swap, limit);
    }
    if (*memory.swap > 0 && limit <= 0) fail(Code::invalid, "a memory+swap limit needs a memory limit");
    const int64_t swapOnly = *memory.swap < 0 ? -1 : *memory.swap - limit;  // v2 counts swap by itself
    if (!tryWriteCgroupFile(dir, "memory.swap.max", orMax(swapOnly)) && swapOnly >= 0) {
      warnings.push_back("the kernel does not account swap: its limit is not set");
    }
  }
  if (memory.disableOOMKiller.value_or(false)) warnings.push_back("cgroup v2 cannot disable the OOM killer");
  if (memory.swappiness) warnings.push_back("cgroup v2 has no memory swappiness");
}

void applyCpu(const std::string& dir, const oci::LinuxCpu& cpu) {
  if (cpu.idle) writeCgroupFile(dir, "cpu.idle", fmt::format("{}", *cpu.idle));
  if (cpu.shares.value_or(0) != 0) writeCgroupFile(dir, "cpu.weight", fmt::format("{}", cpuWeightOf(*cpu.shares)));
  if (cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0) {
    const int64_t quota = cpu.quota.value_or(0);
    const uint64_t period = cpu.period.value_or(0) != 0 ? *cpu.period : 100000;
    writeCgroupFile(dir, "cpu.max", fmt::format("{} {}", quota > 0 ? orMax(quota) : "max", period));
  }
  if (cpu.burst) writeCgroupFile(dir, "cpu.max.burst", fmt::format("{}", *cpu.burst));
  if (!cpu.cpus.value_or("").empty()) writeCgroupFile(dir, "cpuset.cpus", *cpu.cpus);
  if (!cpu.mems.value_or("").empty()) writeCgroupFile(dir, "cpuset.mems", *cpu.mems);
}

void applyIo(const std::string& dir, const oci::LinuxBlockIo& io, Warnings& warnings) {
  if (io.weight.value_or(0) != 0 && !tryWriteCgroupFile(dir, "io.bfq.weight", fmt::format("{}", *io.weight)) &&
      !tryWriteCgroupFile(dir, "io.weight", fmt::format("{}", ioWeightOf(*io.weight)))) {
    warnings.push_back("no I/O scheduler with weights: the block I/O weight is not set");
  }
  for (const auto& d : io.weightDevice) {
    const uint16_t weight = d.weight.value_or(0);
    if (weight != 0 &&
        !tryWriteCgroupFile(dir, "io.weight", fmt::format("{}:{} {}", d.major, d.minor, ioWeightOf(weight)))) {
      warnings.push_back("no I/O scheduler with weights: a block I/O device weight is not set");
    }
  }
  const auto throttle = [&](const char* key, const std::vector<oci::LinuxThrottleDevice>& devices) {
    for (const auto& d : devices) {
      writeCgroupFile(dir, "io.max", fmt::format("{}:{} {}={}", d.major, d.minor, key, d.rate));
    }
  };
  throttle("rbps", io.throttleReadBpsDevice);
  throttle("wbps", io.throttleWriteBpsDevice);
  throttle("riops", io.throttleReadIOPSDevice);
  throttle("wiops", io.throttleWriteIOPSDevice);
}

void applyUnified(const std::string& dir, const std::map<std::string, std::string>& files) {
  for (const auto& [file, value] : files) {
    if (file.empty() || file.find('/') != std::string::npos || file.starts_with("cgroup.")) {
      fail(Code::invalid, "unified resource '{}' must be the name of a controller's file", file);
    }
    writeCgroupFile(dir, file, value);
  }
}

}  // namespace

uint64_t cpuWeightOf(uint64_t shares) {
  const uint64_t bounded = std::clamp<uint64_t>(shares, 2, 262144);
  if (bounded == 2) return 1;
  if (bounded == 262144) return 10000;
  const double l = std::log2(static_cast<double>(bounded));
  return static_cast<uint64_t>(std::ceil(std::pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0)));
}

uint64_t ioWeightOf(uint64_t weight) {
  return 1 + (std::clamp<uint64_t>(weight, 10, 1000) - 10) * 9999 / 990;
}

void applyV2(const CgroupSet::Group& group, const oci::LinuxResources& resources, bool fresh, bool devicesToo,
             Warnings& warnings) {
  const std::string& dir = group.dir;
  if (resources.memory && group.has("memory")) applyMemory(dir, *resources.memory, warnings);
  if (resources.cpu && group.has("cpu")) applyCpu(dir, *resources.cpu);
  if (resources.pids && resources.pids->limit != 0 && group.has("pids")) {
    writeCgroupFile(dir, "pids.max", resources.pids->limit > 0 ? orMax(resources.pids->limit) : "max");
  }
  if (resources.blockIO && group.has("io")) applyIo(dir, *resources.blockIO, warnings);
  for (const auto& huge : resources.hugepageLimits) {
    if (group.has("hugetlb")) {
      writeCgroupFile(dir, fmt::format("hugetlb.{}.max", huge.pageSize), fmt::format("{}", huge.limit));
    }
  }
  applyUnified(dir, resources.unified);
  if (fresh && devicesToo && !resources.devices.empty()) attachDeviceProgram(dir, resources.devices);
}

}  // namespace estiba::runtime
