#include "base/text.h"
#include "runtime/cgroup.h"
#include "sys/cgroup.h"

namespace estiba::runtime {

namespace {

using Group = CgroupSet::Group;
using Fields = std::map<std::string, uint64_t>;

Fields fieldsOf(const Group& group, std::string_view file) {
  Fields out;
  for (const auto& line : split(readCgroupFile(group.dir, file).value_or(""), '\n')) {
    const auto [key, value] = cut(line, ' ');
    if (value) out[key] = parseUint(*value).value_or(0);
  }
  return out;
}

uint64_t get(const Fields& fields, const std::string& key) {
  const auto it = fields.find(key);
  return it == fields.end() ? 0 : it->second;
}

uint64_t number(const Group& group, std::string_view file, uint64_t otherwise = 0) {
  return parseUint(readCgroupFile(group.dir, file).value_or("")).value_or(otherwise);
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (auto& word : split(text, ' ')) {
    if (!word.empty()) out.push_back(std::move(word));
  }
  return out;
}

CpuStats cpuV2(const Group& group) {
  const Fields stat = fieldsOf(group, "cpu.stat");
  CpuStats out;
  out.totalNs = get(stat, "usage_usec") * 1000;
  out.userNs = get(stat, "user_usec") * 1000;
  out.systemNs = get(stat, "system_usec") * 1000;
  out.periods = get(stat, "nr_periods");
  out.throttledPeriods = get(stat, "nr_throttled");
  out.throttledNs = get(stat, "throttled_usec") * 1000;
  return out;
}

CpuStats cpuV1(const Group* account, const Group* cpu) {
  CpuStats out;
  if (account != nullptr) {
    out.totalNs = number(*account, "cpuacct.usage");
    out.userNs = number(*account, "cpuacct.usage_user");
    out.systemNs = number(*account, "cpuacct.usage_sys");
    for (const auto& word : words(readCgroupFile(account->dir, "cpuacct.usage_percpu").value_or(""))) {
      out.perCpuNs.push_back(parseUint(word).value_or(0));
    }
  }
  if (cpu != nullptr) {
    const Fields stat = fieldsOf(*cpu, "cpu.stat");
    out.periods = get(stat, "nr_periods");
    out.throttledPeriods = get(stat, "nr_throttled");
    out.throttledNs = get(stat, "throttled_time");
  }
  return out;
}

MemoryStats memoryOf(const Group& group) {
  MemoryStats out;
  out.stats = fieldsOf(group, "memory.stat");
  if (group.v2) {
    out.usage = number(group, "memory.current");
    out.maxUsage = number(group, "memory.peak");
    out.limit = number(group, "memory.max", UINT64_MAX);
    out.failCount = get(fieldsOf(group, "memory.events"), "max");
  } else {
    out.usage = number(group, "memory.usage_in_bytes");
    out.maxUsage = number(group, "memory.max_usage_in_bytes");
    out.limit = number(group, "memory.limit_in_bytes", UINT64_MAX);
    // v1 says "no limit" by the largest multiple of a page
    if (out.limit >= (uint64_t{1} << 63) - (uint64_t{1} << 20)) out.limit = UINT64_MAX;
    out.failCount = number(group, "memory.failcnt");
  }
  return out;
}

// v1: "8:0 Read 4096" lines, and a "Total" that is no device.
std::vector<BlkioEntry> blkioV1(const Group& group, std::string_view file) {
  std::vector<BlkioEntry> out;
  for (const auto& line : split(readCgroupFile(group.dir, file).value_or(""), '\n')) {
    const auto parts = words(line);
    if (parts.size() != 3) continue;
    const auto [major, minor] = cut(parts[0], ':');
    if (!minor) continue;
    out.push_back({parseUint(major).value_or(0), parseUint(*minor).value_or(0), toLower(parts[1]),
                   parseUint(parts[2]).value_or(0)});
  }
  return out;
}

// v2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …".
void blkioV2(const Group& group, CgroupStats& stats) {
  for (const auto& line : split(readCgroupFile(group.dir, "io.stat").value_or(""), '\n')) {
    const auto parts = words(line);
    if (parts.empty()) continue;
    const auto [major, minor] = cut(parts[0], ':');
    if (!minor) continue;
    for (size_t i = 1; i < parts.size(); ++i) {
      const auto [key, value] = cut(parts[i], '=');
      if (!value) continue;
      BlkioEntry entry{parseUint(major).value_or(0), parseUint(*minor).value_or(0),
                       key.starts_with("r") ? "read" : "write", parseUint(*value).value_or(0)};
      if (key == "rbytes" || key == "wbytes")
        stats.ioServiceBytes.push_back(std::move(entry));
      else if (key == "rios" || key == "wios")
        stats.ioServiced.push_back(std::move(entry));
    }
  }
}

}  // namespace

CgroupStats CgroupSet::stats() const {
  CgroupStats out;
  const Group* unified = unifiedGroup();
  const Group* account = find("cpuacct");
  out.v2 = unified != nullptr && groups_.size() == 1;
  if (account == nullptr && unified != nullptr) {
    out.cpu = cpuV2(*unified);
  } else {
    out.cpu = cpuV1(account, find("cpu"));
  }
  if (const Group* memory = find("memory")) out.memory = memoryOf(*memory);
  if (const Group* pids = find("pids")) {
    out.pids.current = number(*pids, "pids.current");
    out.pids.limit = parseUint(readCgroupFile(pids->dir, "pids.max").value_or("max"));
  }
  if (const Group* blkio = find("blkio")) {
    out.ioServiceBytes = blkioV1(*blkio, "blkio.throttle.io_service_bytes_recursive");
    out.ioServiced = blkioV1(*blkio, "blkio.throttle.io_serviced_recursive");
  } else if (unified != nullptr) {
    blkioV2(*unified, out);
  }
  return out;
}

}  // namespace estiba::runtime
