#pragma once
// Where the control group hierarchies are, and their small files. What the files mean is the caller's.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace estiba {

/// One mounted hierarchy.
struct CgroupHierarchy {
  std::string mountPoint;
  std::vector<std::string> controllers;  ///< v1: {"cpu","cpuacct"}, {"name=systemd"}; v2: those that the root offers
  bool v2 = false;
  bool has(std::string_view controller) const;
};

/// All of them, from /proc/self/mountinfo (one mount of each, the writable one that shows the hierarchy's root).
std::vector<CgroupHierarchy> cgroupHierarchies();

/// The file's content without the last newline; nullopt where it is missing.
std::optional<std::string> readCgroupFile(const std::string& dir, std::string_view file);
/// One write(2). Throws SysError "write 'value' to '…'".
void writeCgroupFile(const std::string& dir, std::string_view file, std::string_view value);
/// False where the file is missing.
bool tryWriteCgroupFile(const std::string& dir, std::string_view file, std::string_view value);

/// The groups that process `pid` is in: {controllers or "" for v2, path}.
std::vector<std::pair<std::string, std::string>> cgroupsOf(int pid);

}  // namespace estiba
