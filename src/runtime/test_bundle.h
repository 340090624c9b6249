#pragma once
// For tests: a throw-away bundle with a static busybox, and what ran in it. Nothing may be left of it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/text.h"
#include "runtime/default_seccomp.h"
#include "runtime/exec.h"
#include "runtime/init.h"
#include "sys/cgroup.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba::runtime {

inline const std::vector<std::string> kDockerCaps = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

inline oci::Mount mountOf(const std::string& to, const std::string& type, const std::string& source,
                          std::vector<std::string> options) {
  return {to, type, source, std::move(options), std::nullopt, std::nullopt};
}

/// What Docker writes for a plain container, host network.
inline oci::RuntimeSpec dockerLikeSpec() {
  oci::RuntimeSpec spec;
  spec.hostname = "testhost";
  oci::Process process;
  process.env = {"PATH=/bin:/usr/bin", "LANG=C"};
  process.capabilities = oci::Capabilities{kDockerCaps, kDockerCaps, {}, kDockerCaps, {}};
  spec.process = process;
  spec.root = oci::Root{"rootfs", false};
  spec.mounts = {
      mountOf("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mountOf("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mountOf("/dev/pts", "devpts", "devpts",
              {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mountOf("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mountOf("/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}),
      mountOf("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mountOf("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
  };
  oci::Linux config;
  for (const char* type : {"mount", "pid", "uts", "ipc", "cgroup"}) config.namespaces.push_back({type, std::nullopt});
  config.maskedPaths = {"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
                        "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                        "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
  config.readonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  oci::LinuxResources resources;
  resources.devices = {{false, std::nullopt, std::nullopt, std::nullopt, "rwm"}};
  config.resources = resources;
  config.seccomp = defaultSeccomp(kDockerCaps);
  spec.linux_ = config;
  return spec;
}

struct RunResult {
  ExitStatus status;
  std::string out, err;
  std::vector<std::string> warnings;
};

class RuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!exists("/bin/busybox")) GTEST_SKIP() << "needs a static busybox";
    mountsBefore_ = mounts();
    descriptorsBefore_ = descriptors();
    dir_ = "/tmp/estiba-runtime-test-" + randomHex(6);
    id_ = randomHex(8);
    cgroupPath_ = "/estiba-test/" + id_;
    makeDirs(dir_ + "/rootfs/bin");
    makeDirs(dir_ + "/cache", 0700);
    for (const char* d : {"etc", "dev", "proc", "sys", "tmp", "root"}) makeDir(rootfs(d));
    std::filesystem::copy_file("/bin/busybox", rootfs("bin/busybox"));
    for (const char* tool : {"sh",       "cat",   "echo", "ls",     "id",   "mount", "umount", "sleep",    "stat",
                             "hostname", "touch", "grep", "mknod",  "true", "false", "dd",     "readlink", "pwd",
                             "tty",      "stty",  "kill", "chroot", "test", "env",   "wc",     "unshare",  "head",
                             "tail",     "mkdir", "ln",   "mv",     "rm",   "ps",    "ipcs"}) {
      std::filesystem::create_symlink("busybox", rootfs(std::string("bin/") + tool));
    }
    writeFile(rootfs("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
    spec_ = dockerLikeSpec();
  }

  void TearDown() override {
    if (dir_.empty()) return;
    removeTree(dir_);
    for (const auto& hierarchy : cgroupHierarchies()) {
      EXPECT_FALSE(exists(hierarchy.mountPoint + cgroupPath_)) << "a cgroup is left: " << hierarchy.mountPoint;
      ::rmdir((hierarchy.mountPoint + "/estiba-test").c_str());
    }
    EXPECT_EQ(mounts(), mountsBefore_) << "a mount is left";
    EXPECT_EQ(descriptors(), descriptorsBefore_) << "a descriptor is left";
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  }

  std::string rootfs(const std::string& name) const { return dir_ + "/rootfs/" + name; }
  oci::Process& process() { return *spec_.process; }
  oci::Linux& config() { return *spec_.linux_; }
  void shell(const std::string& script) { process().args = {"/bin/sh", "-c", script}; }

  CreateOptions options(int out = -1, int err = -1) {
    CreateOptions o;
    o.id = id_;
    o.bundle = dir_;
    o.spec = &spec_;
    o.stdio[0] = -1;
    o.stdio[1] = out;
    o.stdio[2] = err;
    o.cgroupPath = cgroupPath_;
    o.cacheDir = dir_ + "/cache";
    return o;
  }

  /// create, start, wait. `between` runs after start with the container alive.
  RunResult run(const std::function<void(Init&)>& between = {}) {
    RunResult result;
    auto [outRead, outWrite] = makePipe();
    auto [errRead, errWrite] = makePipe();
    Init init = Init::create(options(outWrite.get(), errWrite.get()));
    outWrite.reset();
    errWrite.reset();
    init.start();
    if (between) between(init);
    result.out = readAll(outRead.get(), "stdout");
    result.err = readAll(errRead.get(), "stderr");
    result.status = reap(init.pid());
    result.warnings = init.warnings();
    init.cgroup().remove();
    return result;
  }

  RunResult runShell(const std::string& script) {
    shell(script);
    return run();
  }

  /// The failure of create or start.
  StageError failure() {
    try {
      Init init = Init::create(options());
      init.start();
      reap(init.pid());
      init.cgroup().remove();
    } catch (const StageError& e) {
      return e;
    }
    ADD_FAILURE() << "it started";
    return {"", 0, "", ""};
  }

  /// Runs `process` in the container of `init`, with what it prints.
  RunResult exec(Init& init, const oci::Process& what) {
    RunResult result;
    auto [outRead, outWrite] = makePipe();
    ExecOptions o;
    o.stdio[0] = -1;
    o.stdio[1] = outWrite.get();
    o.stdio[2] = outWrite.get();
    o.cgroupPath = cgroupPath_;
    o.seccomp = config().seccomp ? &*config().seccomp : nullptr;
    o.cacheDir = dir_ + "/cache";
    ExecProcess made = execIn(init.pid(), processStartTime(init.pid()).value_or(0), what, o);
    outWrite.reset();
    result.out = readAll(outRead.get(), "exec output");
    result.status = reap(made.pid);
    return result;
  }

  static ExitStatus reap(pid_t pid) {
    int status = 0;
    sys([&] { return ::waitpid(pid, &status, 0); }, "wait for {}", pid);
    return statusOf(status);
  }

  static std::vector<std::string> mounts() {
    auto lines = split(readFile("/proc/self/mountinfo"), '\n');
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  static size_t descriptors() { return listDir("/proc/self/fd").size(); }

  std::string dir_, id_, cgroupPath_;
  oci::RuntimeSpec spec_;

 private:
  std::vector<std::string> mountsBefore_;
  size_t descriptorsBefore_ = 0;
};

}  // namespace estiba::runtime
