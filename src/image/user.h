#pragma once

#include <cstdint>
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

/// From a stack of trees, topmost first: the first that has the file, or its whiteout, decides.
Accounts readAccounts(const std::vector<const RootDir*>& topmostFirst);

/// Who "user", "uid", "user:group", "uid:gid" or "" (root) is, by the root file system's own files (no
/// name service of the host or the image is ever asked). A number is a uid
/// even where passwd holds a user of that name (CVE-2016-3697). `extraGroups` are --group-add's.
/// Throws Error(invalid) in docker's words: "unable to find user X: no matching entries in passwd file"; also for ids
/// above 2^31-1 (CVE-2024-40635).
User resolveUser(const Accounts& accounts, const std::string& spec, const std::vector<std::string>& extraGroups);

}  // namespace estiba::image
