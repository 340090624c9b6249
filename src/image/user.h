#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sys/root_dir.h"

namespace estiba::image {

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additionalGids;  ///< supplementary groups, the primary one included
  std::string home = "/";
};

/// The texts of a root file system's /etc/passwd and /etc/group, read confined and bounded.
struct Accounts {
  std::string passwd, group;
};

/// Of a whole root file system.
Accounts readAccounts(const RootDir& root);
/// Of a stack of overlayfs layers, topmost first. `mount` (the stack, mounted) is called only where links are on the way:
/// mounting waits for a grace period of the kernel when it is undone.
Accounts readAccounts(const std::vector<std::string>& topmostFirst, const std::function<Fd()>& mount);

/// Who "user", "uid", "user:group", "uid:gid" or "" (root) is, by the root file system's own files (no
/// name service of the host or the image is ever asked). A number is a uid
/// even where passwd holds a user of that name (CVE-2016-3697). `extraGroups` are --group-add's.
/// Throws Error(invalid) in docker's words: "unable to find user X: no matching entries in passwd file"; also for ids
/// above 2^31-1 (CVE-2024-40635).
User resolveUser(const Accounts& accounts, const std::string& spec, const std::vector<std::string>& extraGroups);

}  // namespace estiba::image
