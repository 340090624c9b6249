#pragma once
// GET /containers/{id}/stats: one JSON object a second. Source: Engine API, ContainerStatsResponse.
// Times in nanoseconds, sizes in bytes.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apitypes/extern_json.h"

namespace estiba::apitypes {

struct CpuUsage {
  uint64_t total_usage = 0;
  std::optional<std::vector<uint64_t>> percpu_usage;  ///< cgroup v1
  uint64_t usage_in_kernelmode = 0;
  uint64_t usage_in_usermode = 0;
};
BOOST_DESCRIBE_STRUCT(CpuUsage, (), (total_usage, percpu_usage, usage_in_kernelmode, usage_in_usermode))

struct ThrottlingData {
  uint64_t periods = 0;
  uint64_t throttled_periods = 0;
  uint64_t throttled_time = 0;
};
BOOST_DESCRIBE_STRUCT(ThrottlingData, (), (periods, throttled_periods, throttled_time))

struct CpuStats {
  CpuUsage cpu_usage;
  std::optional<uint64_t> system_cpu_usage;
  std::optional<uint32_t> online_cpus;
  ThrottlingData throttling_data;
};
BOOST_DESCRIBE_STRUCT(CpuStats, (), (cpu_usage, system_cpu_usage, online_cpus, throttling_data))

struct MemoryStats {
  std::optional<uint64_t> usage;
  std::optional<uint64_t> max_usage;  ///< cgroup v1
  std::optional<std::map<std::string, uint64_t>> stats;
  std::optional<uint64_t> failcnt;  ///< cgroup v1
  std::optional<uint64_t> limit;
};
BOOST_DESCRIBE_STRUCT(MemoryStats, (), (usage, max_usage, stats, failcnt, limit))

struct PidsStats {
  std::optional<uint64_t> current;
  std::optional<uint64_t> limit;  ///< 2^64-1: none
};
BOOST_DESCRIBE_STRUCT(PidsStats, (), (current, limit))

struct BlkioEntry {
  uint64_t major = 0;
  uint64_t minor = 0;
  std::string op;
  uint64_t value = 0;
};
BOOST_DESCRIBE_STRUCT(BlkioEntry, (), (major, minor, op, value))

struct BlkioStats {
  Nullable<std::vector<BlkioEntry>> io_service_bytes_recursive;
  Nullable<std::vector<BlkioEntry>> io_serviced_recursive;
  Nullable<std::vector<BlkioEntry>> io_queue_recursive;
  Nullable<std::vector<BlkioEntry>> io_service_time_recursive;
  Nullable<std::vector<BlkioEntry>> io_wait_time_recursive;
  Nullable<std::vector<BlkioEntry>> io_merged_recursive;
  Nullable<std::vector<BlkioEntry>> io_time_recursive;
  Nullable<std::vector<BlkioEntry>> sectors_recursive;
};
BOOST_DESCRIBE_STRUCT(BlkioStats, (),
                      (io_service_bytes_recursive, io_serviced_recursive, io_queue_recursive, io_service_time_recursive,
                       io_wait_time_recursive, io_merged_recursive, io_time_recursive, sectors_recursive))

struct NetworkStats {
  uint64_t rx_bytes = 0;
  uint64_t rx_packets = 0;
  uint64_t rx_errors = 0;
  uint64_t rx_dropped = 0;
  uint64_t tx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_errors = 0;
  uint64_t tx_dropped = 0;
};
BOOST_DESCRIBE_STRUCT(NetworkStats, (),
                      (rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped))

struct Stats {
  std::optional<std::string> name;  ///< with its leading '/'
  std::optional<std::string> id;
  std::string read;
  std::string preread;
  PidsStats pids_stats;
  BlkioStats blkio_stats;
  uint32_t num_procs = 0;  ///< Windows
  Empty storage_stats;     ///< Windows
  CpuStats cpu_stats;
  CpuStats precpu_stats;
  MemoryStats memory_stats;
  std::optional<std::map<std::string, NetworkStats>> networks;
};
BOOST_DESCRIBE_STRUCT(Stats, (),
                      (name, id, read, preread, pids_stats, blkio_stats, num_procs, storage_stats, cpu_stats,
                       precpu_stats, memory_stats, networks))

}  // namespace estiba::apitypes

namespace estiba {
ESTIBA_EXTERN_JSON(apitypes::Stats)
}
