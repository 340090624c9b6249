#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"
#include "runtime/channel.h"
#include "runtime/rootfs.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::runtime {

namespace {

RootfsSources::Source openSource(const std::string& path, bool recursive) {
  RootfsSources::Source source;
  source.tree = cloneTree(path, recursive);
  struct stat st {};
  sys([&] { return ::fstat(source.tree.get(), &st); }, "stat '{}'", path);
  source.directory = S_ISDIR(st.st_mode);
  return source;
}

RootfsSources::Source openBind(const MountPlan& mount) {
  if (!mount.bind) return {};
  try {
    return openSource(mount.source, mount.recursiveBind);
  } catch (const SysError& e) {
    const std::string text = SysError(e.err(), "x").what() + 3;
    throw ChildFailure(
        "mounts", e.err(), mount.destination,
        fmt::format("error mounting {} to rootfs at {}: {}", quoted(mount.source), quoted(mount.destination), text));
  }
}

}  // namespace

RootfsSources RootfsSources::open(const RootfsPlan& plan) {
  try {
    RootfsSources out;
    for (const auto& mount : plan.mounts) out.mounts.push_back(openBind(mount));
    if (plan.bindDevices && plan.ownDevices) {
      for (const auto& device : allDevices(plan)) out.devices.push_back(openSource(device.path, /*recursive=*/false));
    }
    out.root = cloneTree(plan.rootfs, /*recursive=*/true);
    return out;
  } catch (const SysError& e) {
    throw ChildFailure("mounts", e.err(), "", e.what());
  }
}

std::vector<int> RootfsSources::release() {
  std::vector<int> out = {root.release()};
  for (auto* list : {&mounts, &devices}) {
    for (auto& source : *list) {
      if (source.tree)
        out.push_back(source.tree.release());
      else
        out.push_back(-1);
    }
  }
  return out;
}

void RootfsSources::adopt(const std::vector<int>& fds) {
  size_t i = 0;
  root = Fd(fds.at(i++));
  for (auto* list : {&mounts, &devices}) {
    for (auto& source : *list) source.tree = Fd(fds.at(i++));
  }
}

}  // namespace estiba::runtime
