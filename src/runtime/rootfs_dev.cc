// Devices, links and the console of a container's root.

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "runtime/rootfs.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace estiba::runtime {

namespace {

mode_t kindOf(const std::string& type) {
  if (type == "c" || type == "u") return S_IFCHR;
  if (type == "b") return S_IFBLK;
  if (type == "p") return S_IFIFO;
  fail(Code::invalid, "unknown device type '{}'", type);
}

std::vector<oci::LinuxDevice> defaultDevices() {
  std::vector<oci::LinuxDevice> out;
  const std::pair<const char*, std::pair<int, int>> kDefaults[] = {{"/dev/null", {1, 3}},    {"/dev/zero", {1, 5}},
                                                                   {"/dev/full", {1, 7}},    {"/dev/random", {1, 8}},
                                                                   {"/dev/urandom", {1, 9}}, {"/dev/tty", {5, 0}}};
  for (const auto& [path, number] : kDefaults) {
    out.push_back({path, "c", number.first, number.second, 0666, 0, 0});
  }
  return out;
}

}  // namespace

std::vector<oci::LinuxDevice> allDevices(const RootfsPlan& plan) {
  auto out = defaultDevices();
  for (const auto& device : plan.devices) {
    if (cleanPath(device.path) != "/dev/ptmx") out.push_back(device);
  }
  return out;
}

void RootfsBuilder::bindNode(const oci::LinuxDevice& device, const Source& source) {
  struct stat st {};
  sys([&] { return ::fstat(source.tree.get(), &st); }, "stat '{}'", device.path);
  const dev_t wanted =
      makedev(static_cast<unsigned>(device.major.value_or(0)), static_cast<unsigned>(device.minor.value_or(0)));
  if ((st.st_mode & S_IFMT) != kindOf(device.type) || (device.type != "p" && st.st_rdev != wanted)) {
    fail(Code::invalid, "'{}' of the host is not the device of the spec", device.path);
  }
  const std::string path = cleanPath(device.path);
  const size_t slash = path.rfind('/');
  const Fd parent = root_.makeDirs(slash == 0 ? "/" : path.substr(0, slash));
  const std::string name = path.substr(slash + 1);
  const Fd target = openAt(parent.get(), name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
  setMountAttributes(source.tree.get(), 0, 0, MS_PRIVATE, false);
  attachMount(source.tree.get(), target.get(), path);
}

void RootfsBuilder::makeNode(const oci::LinuxDevice& device) {
  const std::string path = cleanPath(device.path);
  const size_t slash = path.rfind('/');
  const Fd parent = root_.makeDirs(slash == 0 ? "/" : path.substr(0, slash));
  const std::string name = path.substr(slash + 1);
  const mode_t kind = kindOf(device.type);
  const dev_t number = kind == S_IFIFO ? 0
                                       : makedev(static_cast<unsigned>(device.major.value_or(0)),
                                                 static_cast<unsigned>(device.minor.value_or(0)));
  if (::mknodat(parent.get(), name.c_str(), kind | (device.fileMode.value_or(0666) & 07777U), number) != 0) {
    const int e = errno;
    struct stat st {};
    const bool same = e == EEXIST && ::fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                      (st.st_mode & S_IFMT) == kind && (kind == S_IFIFO || st.st_rdev == number);
    if (!same) throw SysError(e, fmt::format("make device '{}'", path));
  }
  const uid_t uid = device.uid.value_or(0);
  const gid_t gid = device.gid.value_or(0);
  if (uid != 0 || gid != 0) {
    sys([&] { return ::fchownat(parent.get(), name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW); }, "chown '{}'", path);
  }
}

void RootfsBuilder::makeLink(const char* target, const std::string& path) {
  const auto [parent, name] = root_.parentOf(path);
  if (::symlinkat(target, parent.get(), name.c_str()) != 0 && errno != EEXIST) {
    throw SysError(errno, fmt::format("link '{}'", path));
  }
}

void RootfsBuilder::makeDevices() {
  if (!plan_.ownDevices) return;
  root_.makeDirs("/dev");
  const auto devices = allDevices(plan_);
  for (size_t i = 0; i < devices.size(); ++i) {
    if (plan_.bindDevices) {
      bindNode(devices[i], sources_.devices.at(i));
    } else {
      makeNode(devices[i]);
    }
  }
  makeLink("/proc/self/fd", "/dev/fd");
  makeLink("/proc/self/fd/0", "/dev/stdin");
  makeLink("/proc/self/fd/1", "/dev/stdout");
  makeLink("/proc/self/fd/2", "/dev/stderr");
  if (root_.lstat("/proc/kcore")) makeLink("/proc/kcore", "/dev/core");
  const Fd dev = root_.openPath("/dev", O_PATH | O_DIRECTORY);
  ::unlinkat(dev.get(), "ptmx", 0);  // an image's own would be the host's multiplexer
  makeLink("pts/ptmx", "/dev/ptmx");
}

Console openConsole(Fd ptmx, const std::optional<oci::Box>& size) {
  struct stat st {};
  sys([&] { return ::fstat(ptmx.get(), &st); }, "stat the pty multiplexer");
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) || !isOnFileSystem(ptmx.get(), DEVPTS_SUPER_MAGIC)) {
    fail(Code::forbidden, "/dev/pts/ptmx is no pty multiplexer");
  }
  Console console;
  int locked = 0;
  sys([&] { return ::ioctl(ptmx.get(), TIOCSPTLCK, &locked); }, "unlock the pty");
  console.slave = Fd(sys([&] { return ::ioctl(ptmx.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC); },
                         "open the pty's other side"));
  console.master = std::move(ptmx);
  if (size && size->height != 0 && size->width != 0) {
    winsize ws{};
    ws.ws_row = static_cast<unsigned short>(size->height);
    ws.ws_col = static_cast<unsigned short>(size->width);
    sys([&] { return ::ioctl(console.slave.get(), TIOCSWINSZ, &ws); }, "set the window size");
  }
  return console;
}

Console RootfsBuilder::makeConsole(const std::optional<oci::Box>& size) {
  if (!devpts_) fail(Code::invalid, "a terminal needs a devpts mount on /dev/pts");
  Fd ptmx = openAt(devpts_.get(), "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);
  Console console = openConsole(std::move(ptmx), size);
  const Fd dev = root_.openPath("/dev", O_PATH | O_DIRECTORY);
  const int made = ::openat(dev.get(), "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (made >= 0) {
    ::close(made);
  } else if (errno != EEXIST) {
    throw SysError(errno, "make /dev/console");
  }
  const Fd target = openAt(dev.get(), "console", O_PATH | O_NOFOLLOW);
  struct stat st {};
  sys([&] { return ::fstat(target.get(), &st); }, "stat /dev/console");
  if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode)) fail(Code::invalid, "/dev/console of the image is no file");
  const Fd bind = cloneTree(console.slave.get(), /*recursive=*/false);
  attachMount(bind.get(), target.get(), "/dev/console");
  return console;
}

}  // namespace estiba::runtime
