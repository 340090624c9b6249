#pragma once
// Resources of the OCI spec as writes into cgroup files, one writer for v1 and one for v2.

#include <string>
#include <vector>

#include "oci/runtime_spec.h"
#include "runtime/cgroup.h"

namespace estiba::runtime {

/// Applies to `groups` (the v1 ones of a set) whatever v1 controllers there are for it.
void applyV1(const std::vector<CgroupSet::Group>& groups, const oci::LinuxResources& resources, bool fresh,
             std::vector<std::string>& warnings);
/// Applies to the v2 group; `devicesToo`: no v1 device controller takes the device rules.
void applyV2(const CgroupSet::Group& group, const oci::LinuxResources& resources, bool fresh, bool devicesToo,
             std::vector<std::string>& warnings);

/// The spec's rules and, after them, the devices that every container may use (config-linux.md "Default Devices").
/// Empty where the spec has none: everything stays allowed.
std::vector<oci::LinuxDeviceCgroup> effectiveDeviceRules(const std::vector<oci::LinuxDeviceCgroup>& rules);
/// Loads an eBPF program that decides by `rules` (the last that matches wins; none: allowed) and attaches it to `dir`.
/// Source: kernel admin-guide/cgroup-v2 "Device controller", bpf(2) BPF_PROG_TYPE_CGROUP_DEVICE.
void attachDeviceProgram(const std::string& dir, const std::vector<oci::LinuxDeviceCgroup>& rules);

/// cpu.weight (1…10000) for cpu.shares (2…262144): 1024 is 100. Source: the containers' common conversion.
uint64_t cpuWeightOf(uint64_t shares);
/// io.weight (1…10000) for blkio.weight (10…1000).
uint64_t ioWeightOf(uint64_t weight);

}  // namespace estiba::runtime
