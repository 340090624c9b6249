#include "monitor/rootfs.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::monitor {

namespace {

constexpr size_t kMaxOption = 255;  // fsconfig(2) takes strings up to here
// Off, whatever the kernel's own defaults are: a layer must be readable by itself and by other engines.
constexpr const char* kOff[] = {"index", "metacopy", "xino"};

Fd readOnlyClone(const std::string& dir) {
  Fd mount = cloneTree(dir, false);
  setMountAttributes(mount.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
  return mount;
}

// Descriptors of directories whose paths are too long for an option.
class ShortNames {
 public:
  std::string of(const std::string& path) {
    if (path.size() <= kMaxOption) return path;
    held_.push_back(openFile(path, O_PATH | O_DIRECTORY));
    return fmt::format("/proc/self/fd/{}", held_.back().get());
  }

 private:
  std::vector<Fd> held_;
};

// upperdir and workdir are unescaped by the kernel, lowerdir+ is not.
std::string escaped(const std::string& path) {
  return replaceAll(path, "\\", "\\\\");
}

// nullopt: this kernel does not know `lowerdir+`.
std::optional<Fd> overlayByContext(const RootfsConfig& c) {
  FsContext context("overlay");
  ShortNames names;
  for (const auto& lower : c.lowers) {
    try {
      context.set("lowerdir+", names.of(lower));
    } catch (const SysError& e) {
      // An unknown option is EINVAL; a directory that is missing is ENOENT.
      if (e.err() == EINVAL && &lower == &c.lowers.front() && exists(lower)) return std::nullopt;
      throw;
    }
  }
  if (!c.upper.empty()) {
    context.set("upperdir", escaped(names.of(c.upper))).set("workdir", escaped(names.of(c.work)));
    if (c.volatile_) context.flag("volatile");
  }
  for (const char* option : kOff) context.set(option, "off");
  context.set("redirect_dir", "nofollow");
  if (c.readonly) context.flag("ro");
  return context.mount(c.readonly ? MOUNT_ATTR_RDONLY : 0);
}

std::string mountPointOf(std::string path) {
  for (;;) {
    struct statx st {};
    sys([&] { return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &st); }, "stat '{}'", path);
    if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 || path == "/") return path;
    path = path.substr(0, std::max<size_t>(path.rfind('/'), 1));
  }
}

// A directory of links 0, 1, 2…, u, w: the current directory of whoever mounts.
class LinkDir {
 public:
  explicit LinkDir(const RootfsConfig& c) {
    if (::mkdtemp(path_) == nullptr) throw SysError(errno, "make a temporary directory");
    for (size_t i = 0; i < c.lowers.size(); ++i) link(c.lowers[i], std::to_string(i));
    if (!c.upper.empty()) link(c.upper, "u"), link(c.work, "w");
  }
  LinkDir(const LinkDir&) = delete;
  LinkDir& operator=(const LinkDir&) = delete;
  ~LinkDir() { removeTree(path_); }
  const char* path() const noexcept { return path_; }

 private:
  void link(const std::string& target, const std::string& name) {
    sys([&] { return ::symlink(target.c_str(), fmt::format("{}/{}", path_, name).c_str()); }, "link to '{}'", target);
  }
  char path_[32] = "/tmp/estiba-overlay-XXXXXX";
};

}  // namespace

void enterPrivateMounts() {
  sys([] { return ::unshare(CLONE_NEWNS); }, "make a mount namespace");
  setPropagation("/", MS_SLAVE | MS_REC);
}

void enterPeerMounts(const std::string& target) {
  sys([] { return ::unshare(CLONE_NEWNS); }, "make a mount namespace");
  setPropagation(mountPointOf(target), MS_SLAVE);
}

void mountOverlayByPage(const RootfsConfig& c, const std::string& target) {
  const LinkDir links(c);
  std::string options = "index=off,metacopy=off,xino=off,redirect_dir=nofollow,lowerdir=";
  for (size_t i = 0; i < c.lowers.size(); ++i) options += (i > 0 ? ":" : "") + std::to_string(i);
  if (!c.upper.empty()) options += c.volatile_ ? ",upperdir=u,workdir=w,volatile" : ",upperdir=u,workdir=w";
  const Fd before = openFile(".", O_PATH | O_DIRECTORY);
  sys([&] { return ::chdir(links.path()); }, "change to '{}'", links.path());
  const int result = ::mount("overlay", target.c_str(), "overlay", c.readonly ? MS_RDONLY : 0, options.c_str());
  const int e = errno;
  if (::fchdir(before.get()) != 0) fail(Code::internal, "cannot return to the working directory");
  if (result != 0) throw SysError(e, fmt::format("mount overlay of {} layers on '{}'", c.lowers.size(), target));
}

Fd makeRootfs(const RootfsConfig& c) {
  if (!c.bind.empty()) return c.readonly ? readOnlyClone(c.bind) : cloneTree(c.bind, true);
  if (c.lowers.empty()) fail(Code::invalid, "root file system without a layer");
  if (c.upper.empty() != c.work.empty()) fail(Code::invalid, "overlay needs both an upper and a work directory");
  if (c.upper.empty() && c.lowers.size() == 1) return readOnlyClone(c.lowers[0]);  // overlay wants two of them
  if (auto mount = overlayByContext(c)) return std::move(*mount);
  return {};
}

void mountRootfs(const RootfsConfig& config, const std::string& target) {
  makeDir(target, 0755);
  // The kernel's mark that a volatile mount was here once, which forbids another one. Nothing but a crash of the host
  // loses what was written, and after that nobody starts on a volatile directory again.
  if (config.volatile_ && !config.work.empty()) removeTree(config.work + "/work/incompat");
  if (const Fd mount = makeRootfs(config)) return attachMount(mount.get(), target);
  mountOverlayByPage(config, target);
}

}  // namespace estiba::monitor
