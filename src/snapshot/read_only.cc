#include "snapshot/read_only.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::snapshot {

namespace {

constexpr unsigned kAttributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;

Fd bindReadOnly(const std::string& path) {
  Fd mount = cloneTree(path, false);
  setMountAttributes(mount.get(), kAttributes, 0, 0, false);
  return mount;
}

}  // namespace

Fd mountLowers(const std::vector<std::string>& lowers) {
  if (lowers.empty()) fail(Code::invalid, "mount a stack of no layers");
  if (lowers.size() == 1) return bindReadOnly(lowers[0]);
  FsContext context("overlay");
  for (const std::string& lower : lowers) context.set("lowerdir+", lower);
  context.set("redirect_dir", "nofollow").set("metacopy", "off").set("index", "off");
  return context.mount(kAttributes);
}

Fd mountLowersClassic(const std::vector<std::string>& lowers, const std::string& scratch) {
  if (lowers.size() == 1) return bindReadOnly(lowers[0]);
  // mount(2) takes one page of options: paths are named by descriptors, which are short.
  std::vector<Fd> open;
  std::string options = "redirect_dir=nofollow,metacopy=off,index=off,lowerdir=";
  for (const std::string& lower : lowers) {
    if (!open.empty()) options += ':';
    open.push_back(openFile(lower, O_PATH | O_DIRECTORY));
    options += "/proc/self/fd/" + std::to_string(open.back().get());
  }
  sys([&] { return ::mount("overlay", scratch.c_str(), "overlay", MS_RDONLY | MS_NODEV, options.c_str()); },
      "mount overlay of {} layers on '{}'", lowers.size(), scratch);
  const MountPoint attached(scratch);
  return cloneTree(scratch, false);
}

}  // namespace estiba::snapshot
