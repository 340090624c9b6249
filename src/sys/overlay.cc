#include "sys/overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba {

namespace {

constexpr size_t kMaxOption = 255;  // fsconfig(2) takes strings up to here
constexpr const char* kOff[] = {"index", "metacopy", "xino"};

bool isReadOnly(const OverlayStack& s) { return s.readonly || s.upper.empty(); }

unsigned attributesOf(const OverlayStack& s) {
  return (isReadOnly(s) ? MOUNT_ATTR_RDONLY : 0U) | (s.noDevices ? MOUNT_ATTR_NODEV : 0U);
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
std::optional<Fd> mountByContext(const OverlayStack& s) {
  FsContext context("overlay");
  ShortNames names;
  for (const auto& lower : s.lowers) {
    try {
      context.set("lowerdir+", names.of(lower));
    } catch (const SysError& e) {
      // An unknown option is EINVAL; a directory that is missing is ENOENT.
      if (e.err() == EINVAL && &lower == &s.lowers.front() && exists(lower)) return std::nullopt;
      throw;
    }
  }
  if (!s.upper.empty()) {
    context.set("upperdir", escaped(names.of(s.upper))).set("workdir", escaped(names.of(s.work)));
    if (s.volatile_) context.flag("volatile");
  }
  for (const char* option : kOff) context.set(option, "off");
  context.set("redirect_dir", "nofollow");
  if (isReadOnly(s)) context.flag("ro");
  return context.mount(attributesOf(s));
}

// A directory of links 0, 1, 2…, u, w: the current directory of whoever mounts.
class LinkDir {
 public:
  explicit LinkDir(const OverlayStack& s) {
    if (::mkdtemp(path_) == nullptr) throw SysError(errno, "make a temporary directory");
    for (size_t i = 0; i < s.lowers.size(); ++i) link(s.lowers[i], std::to_string(i));
    if (!s.upper.empty()) link(s.upper, "u"), link(s.work, "w");
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

void mountIn(const char* directory, const OverlayStack& s, const std::string& target, const std::string& options) {
  sys([] { return ::unshare(CLONE_FS); }, "take a working directory of one's own");
  sys([&] { return ::chdir(directory); }, "change to '{}'", directory);
  unsigned long flags = 0;
  if (isReadOnly(s)) flags |= MS_RDONLY;
  if (s.noDevices) flags |= MS_NODEV;
  sys([&] { return ::mount("overlay", target.c_str(), "overlay", flags, options.c_str()); },
      "mount overlay of {} layers on '{}'", s.lowers.size(), target);
}

}  // namespace

Fd mountOverlayByPage(const OverlayStack& s, const std::string& scratch) {
  const LinkDir links(s);
  std::string options = "redirect_dir=nofollow";
  for (const char* option : kOff) options += fmt::format(",{}=off", option);
  options += ",lowerdir=";
  for (size_t i = 0; i < s.lowers.size(); ++i) options += (i > 0 ? ":" : "") + std::to_string(i);
  if (!s.upper.empty()) options += s.volatile_ ? ",upperdir=u,workdir=w,volatile" : ",upperdir=u,workdir=w";
  // In a thread that ends with it: the working directory of the others stays what it is.
  std::exception_ptr failure;
  std::thread([&] {
    try {
      mountIn(links.path(), s, scratch, options);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
  const MountPoint attached(scratch);
  return cloneTree(scratch, false);
}

Fd mountOverlay(const OverlayStack& s, const std::function<std::string()>& scratch) {
  if (s.lowers.empty()) fail(Code::invalid, "mount a stack of no layers");
  if (s.upper.empty() != s.work.empty()) fail(Code::invalid, "overlay needs both an upper and a work directory");
  if (s.upper.empty() && s.lowers.size() == 1) {
    Fd mount = cloneTree(s.lowers[0], false);
    setMountAttributes(mount.get(), attributesOf(s), 0, 0, false);
    return mount;
  }
  // The kernel's mark that a volatile mount was here once, which forbids another one. Nothing but a crash of the host
  // loses what was written, and after that nobody starts on a volatile directory again.
  if (s.volatile_ && !s.work.empty()) removeTree(s.work + "/work/incompat");
  if (auto mount = mountByContext(s)) return std::move(*mount);
  return mountOverlayByPage(s, scratch());
}

}  // namespace estiba
