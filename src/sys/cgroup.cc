#include "sys/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba {

namespace {

// Options of the super block that are no controllers.
bool isOption(std::string_view word) {
  return word == "rw" || word == "ro" || word == "xattr" || word == "noprefix" || word == "clone_children" ||
         word == "favordynmods" || word == "nsdelegate" || word.starts_with("release_agent=");
}

CgroupHierarchy parseLine(const std::vector<std::string>& fields, size_t dash) {
  CgroupHierarchy out;
  out.mountPoint = fields[4];
  out.v2 = fields[dash + 1] == "cgroup2";
  if (out.v2) {
    const auto offered = readCgroupFile(out.mountPoint, "cgroup.controllers").value_or("");
    for (auto& word : split(offered, ' ')) {
      if (!word.empty()) out.controllers.push_back(std::move(word));
    }
  } else {
    for (auto& word : split(fields[dash + 3], ',')) {
      if (!isOption(word)) out.controllers.push_back(std::move(word));
    }
  }
  return out;
}

}  // namespace

bool CgroupHierarchy::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

std::vector<CgroupHierarchy> cgroupHierarchies() {
  std::vector<CgroupHierarchy> out;
  for (const auto& line : split(readFile("/proc/self/mountinfo"), '\n')) {
    if (line.find(" - cgroup") == std::string::npos) continue;
    const auto fields = split(line, ' ');
    const auto dash = static_cast<size_t>(std::find(fields.begin(), fields.end(), "-") - fields.begin());
    if (dash + 3 >= fields.size() || (fields[dash + 1] != "cgroup" && fields[dash + 1] != "cgroup2")) continue;
    if (fields[3] != "/" || !("," + fields[5] + ",").starts_with(",rw,")) continue;
    CgroupHierarchy hierarchy = parseLine(fields, dash);
    const bool known = std::any_of(out.begin(), out.end(), [&](const CgroupHierarchy& other) {
      return other.v2 == hierarchy.v2 && (other.v2 || other.controllers == hierarchy.controllers);
    });
    if (!known) out.push_back(std::move(hierarchy));
  }
  return out;
}

std::optional<std::string> readCgroupFile(const std::string& dir, std::string_view file) {
  auto text = tryReadFile(fmt::format("{}/{}", dir, file));
  while (text && !text->empty() && text->back() == '\n') text->pop_back();
  return text;
}

bool tryWriteCgroupFile(const std::string& dir, std::string_view file, std::string_view value) {
  const std::string path = fmt::format("{}/{}", dir, file);
  const auto fd = tryOpen(path, O_WRONLY);
  if (!fd) return false;
  sys([&] { return ::write(fd->get(), value.data(), value.size()); }, "write '{}' to '{}'", value, path);
  return true;
}

void writeCgroupFile(const std::string& dir, std::string_view file, std::string_view value) {
  if (!tryWriteCgroupFile(dir, file, value)) {
    throw SysError(ENOENT, fmt::format("write '{}' to '{}/{}'", value, dir, file));
  }
}

std::vector<std::pair<std::string, std::string>> cgroupsOf(int pid) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& line : split(readFile(fmt::format("/proc/{}/cgroup", pid)), '\n')) {
    const auto [number, rest] = cut(line, ':');
    if (!rest) continue;
    auto [controllers, path] = cut(*rest, ':');
    if (path) out.emplace_back(std::move(controllers), std::move(*path));
  }
  return out;
}

}  // namespace estiba
