#include "image/user.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace estiba::image {

namespace {

constexpr uint64_t kMaxId = 0x7fffffff;
constexpr uint64_t kMaxFile = 4 << 20;

// Lines of passwd(5) or group(5), split at ':'; what is malformed is passed over, as the C library does.
std::vector<std::vector<std::string>> entries(const std::string& text, size_t fields) {
  std::vector<std::vector<std::string>> out;
  for (const auto& line : split(text, '\n')) {
    auto parts = split(trim(line), ':');
    if (parts.size() >= fields && !parts[0].empty() && parts[0][0] != '#') out.push_back(std::move(parts));
  }
  return out;
}

std::string readIn(const RootDir& root, const std::string& path) {
  const auto st = root.stat(path);
  if (!st || !S_ISREG(st->st_mode)) return "";  // nothing that could be read safely
  return root.tryRead(path, kMaxFile).value_or("");
}

bool isWhiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

bool isOpaque(const RootDir& tree, const std::string& directory) {
  char value = 0;
  const Fd fd = tree.openPath(directory, O_RDONLY | O_DIRECTORY);
  return ::fgetxattr(fd.get(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

// What overlayfs would show of /etc/NAME; nullopt where a link is on the way, which may lead into another layer.
std::optional<std::string> readStacked(const std::vector<RootDir>& topmostFirst, const std::string& name) {
  for (const RootDir& tree : topmostFirst) {
    const auto etc = tree.lstat("/etc");
    if (!etc) continue;
    if (isWhiteout(*etc)) return "";
    if (!S_ISDIR(etc->st_mode)) return std::nullopt;
    if (const auto file = tree.lstat("/etc/" + name)) {
      if (isWhiteout(*file)) return "";
      if (!S_ISREG(file->st_mode)) return std::nullopt;
      return tree.tryRead("/etc/" + name, kMaxFile).value_or("");
    }
    if (isOpaque(tree, "/etc")) return "";
  }
  return "";
}

std::optional<uint32_t> numericId(const std::string& text, std::string_view what) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const auto value = parseUint(text);
  if (!value || *value > kMaxId) fail(Code::invalid, "{} {} is out of range: 0-{}", what, text, kMaxId);
  return static_cast<uint32_t>(*value);
}

uint32_t groupId(const std::vector<std::vector<std::string>>& groups, const std::string& name) {
  if (const auto id = numericId(name, "gid")) return *id;
  for (const auto& g : groups) {
    if (g[0] == name) {
      if (const auto id = numericId(g[2], "gid")) return *id;
    }
  }
  fail(Code::invalid, "unable to find group {}: no matching entries in group file", name);
}

}  // namespace

Accounts readAccounts(const RootDir& root) {
  return {readIn(root, "/etc/passwd"), readIn(root, "/etc/group")};
}

Accounts readAccounts(const std::vector<std::string>& topmostFirst, const std::function<Fd()>& mount) {
  std::vector<RootDir> trees;
  for (const auto& layer : topmostFirst) trees.push_back(RootDir::open(layer));
  const auto passwd = readStacked(trees, "passwd");
  const auto group = readStacked(trees, "group");
  if (passwd && group) return {*passwd, *group};
  return readAccounts(RootDir(mount(), "image"));
}

User resolveUser(const Accounts& accounts, const std::string& spec, const std::vector<std::string>& extraGroups) {
  const auto [name, group] = cut(spec, ':');
  const auto passwd = entries(accounts.passwd, 4);
  const auto groups = entries(accounts.group, 3);
  User user;
  std::string login;
  const auto numeric = numericId(name, "uid");
  user.uid = numeric.value_or(0);
  bool found = numeric.has_value() || name.empty();
  for (const auto& p : passwd) {
    const auto uid = parseUint(p[2]);
    if (!uid || *uid > kMaxId) continue;
    const bool matches = numeric || name.empty() ? *uid == user.uid : p[0] == name;
    if (!matches) continue;
    found = true;
    login = p[0];
    user.uid = static_cast<uint32_t>(*uid);
    if (const auto gid = parseUint(p[3]); gid && *gid <= kMaxId) user.gid = static_cast<uint32_t>(*gid);
    if (p.size() > 5 && !p[5].empty()) user.home = p[5];
    break;
  }
  if (!found) fail(Code::invalid, "unable to find user {}: no matching entries in passwd file", name);
  if (group && !group->empty()) {
    user.gid = groupId(groups, *group);  // an explicit group leaves no supplementary ones
  } else if (!login.empty()) {
    for (const auto& g : groups) {
      const auto members = g.size() > 3 ? split(g[3], ',') : std::vector<std::string>{};
      if (std::find(members.begin(), members.end(), login) == members.end()) continue;
      if (const auto id = parseUint(g[2]); id && *id <= kMaxId) {
        user.additionalGids.push_back(static_cast<uint32_t>(*id));
      }
    }
  }
  user.additionalGids.insert(user.additionalGids.begin(), user.gid);  // CVE-2022-36109
  for (const auto& extra : extraGroups) user.additionalGids.push_back(groupId(groups, extra));
  std::vector<uint32_t> unique;
  for (const uint32_t gid : user.additionalGids) {
    if (std::find(unique.begin(), unique.end(), gid) == unique.end()) unique.push_back(gid);
  }
  user.additionalGids = std::move(unique);
  return user;
}

}  // namespace estiba::image
