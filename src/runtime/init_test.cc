#include "runtime/init.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/test_bundle.h"

namespace estiba::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(RuntimeTest, ROOT_RunsAndReportsTheExitCode) {
  const RunResult r = runShell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(r.status.code, 7);
  EXPECT_EQ(r.out, "out\n");
  EXPECT_EQ(r.err, "err\n");
}

TEST_F(RuntimeTest, ROOT_IsTheFirstProcessOfItsNamespaces) {
  const RunResult r = runShell("echo $$; hostname; ls /proc | grep -c '^[0-9]'");
  EXPECT_THAT(r.out, StartsWith("1\ntesthost\n")) << r.err;
}

TEST_F(RuntimeTest, ROOT_SeesOnlyItsOwnTree) {
  writeFile(dir_ + "/outside", "x");
  const RunResult r = runShell("ls /; ls /..; cat /proc/1/mountinfo; ls -a /../../");
  EXPECT_THAT(r.out, Not(HasSubstr("outside")));
  for (const auto& line : split(r.out, '\n')) {
    EXPECT_THAT(line, Not(HasSubstr("/mnt/"))) << "a mount of the host is left";
  }
}

TEST_F(RuntimeTest, ROOT_HoldsNoDescriptorButStdio) {
  const Fd secret = openFile("/", O_RDONLY);
  const int kept = ::dup(secret.get());  // without CLOEXEC, as a careless library would
  const RunResult r = runShell("exec /bin/ls /proc/self/fd");
  ::close(kept);
  EXPECT_EQ(r.out, "0\n1\n2\n3\n") << "3 is ls reading the directory";
}

TEST_F(RuntimeTest, ROOT_WorkingDirectoryCannotLeadOut) {
  for (int fd = 3; fd < 20; ++fd) {
    process().cwd = fmt::format("/proc/self/fd/{}", fd);
    shell("pwd; ls ..");
    try {
      const RunResult r = run();
      EXPECT_THAT(r.out, Not(HasSubstr("estiba"))) << fd;
    } catch (const StageError& e) {
      EXPECT_EQ(e.stage(), "cwd") << e.what();
    }
  }
}

TEST_F(RuntimeTest, ROOT_MissingWorkingDirectoryIsMade) {
  process().cwd = "/srv/a/b";
  EXPECT_EQ(runShell("pwd").out, "/srv/a/b\n");
}

TEST_F(RuntimeTest, ROOT_WorkingDirectoryThatIsAFileIsAnError) {
  process().cwd = "/etc/passwd";
  shell("true");
  const StageError e = failure();
  EXPECT_EQ(e.stage(), "cwd");
  EXPECT_STREQ(e.what(), "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory");
}

TEST_F(RuntimeTest, ROOT_DefaultDevicesAndLinks) {
  const RunResult r = runShell(
      "for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$d; done; "
      "for l in fd stdin stdout stderr ptmx; do echo $l $(readlink /dev/$l); done; echo x >/dev/null; "
      "head -c 3 /dev/zero | wc -c");
  EXPECT_EQ(r.out,
            "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n/dev/urandom 1:9 666\n"
            "/dev/tty 5:0 666\nfd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\n"
            "stderr /proc/self/fd/2\nptmx pts/ptmx\n3\n")
      << r.err;
}

TEST_F(RuntimeTest, ROOT_DevicesOfTheSpecAreMade) {
  config().devices = {{"/dev/fuse", "c", 10, 229, 0640U, 5U, 6U}, {"/dev/sub/pipe", "p", {}, {}, 0600U, {}, {}}};
  EXPECT_EQ(runShell("stat -c '%F %t:%T %a %u:%g' /dev/fuse; stat -c %F /dev/sub/pipe").out,
            "character special file a:e5 640 5:6\nfifo\n");
}

TEST_F(RuntimeTest, ROOT_MaskedPathsAreEmpty) {
  const RunResult r = runShell(
      "stat -c %t:%T /proc/keys /proc/timer_list /proc/interrupts; cat /proc/keys /proc/interrupts | wc -c; "
      "ls /sys/firmware | wc -l; touch /sys/firmware/x");
  EXPECT_EQ(r.out, "1:3\n1:3\n1:3\n0\n0\n") << r.err;
  EXPECT_THAT(r.err, HasSubstr("Read-only file system"));
}

TEST_F(RuntimeTest, ROOT_ReadonlyPathsRefuseWrites) {
  const RunResult r = runShell(
      "echo x > /proc/sys/kernel/hostname; echo x > /proc/sys/kernel/core_pattern; "
      "ls /proc/irq/*/smp_affinity | head -1 | while read f; do echo 1 > $f; done");
  EXPECT_THAT(r.err, HasSubstr("/proc/sys/kernel/hostname: Read-only file system"));
  EXPECT_THAT(r.err, HasSubstr("/proc/sys/kernel/core_pattern: Read-only file system"));
  EXPECT_THAT(r.err, HasSubstr("smp_affinity: Read-only file system"));
}

TEST_F(RuntimeTest, ROOT_ReadonlyPathsCannotBeMadeWritableAgain) {
  const RunResult r = runShell("mount -o remount,rw /proc/sys; umount /proc/keys; echo $?");
  EXPECT_THAT(r.err, HasSubstr("ermission"));
  EXPECT_THAT(r.out, Not(HasSubstr("0")));
}

TEST_F(RuntimeTest, ROOT_ReadonlyRootRefusesWrites) {
  spec_.root->readonly = true;
  const RunResult r = runShell("touch /x; touch /dev/shm/y && echo shm");
  EXPECT_THAT(r.err, HasSubstr("/x: Read-only file system"));
  EXPECT_EQ(r.out, "shm\n");
  EXPECT_FALSE(exists(rootfs("x")));
}

TEST_F(RuntimeTest, ROOT_SysIsReadonly) {
  EXPECT_THAT(runShell("echo 1 > /sys/kernel/mm/ksm/run; touch /sys/x").err, HasSubstr("Read-only file system"));
}

TEST_F(RuntimeTest, ROOT_CapabilitiesAreTheSpecsAndNothingIsInherited) {
  const RunResult r = runShell("grep -E 'Cap|NoNew|Seccomp:' /proc/self/status");
  EXPECT_EQ(r.out,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
            "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
}

TEST_F(RuntimeTest, ROOT_AnotherUserHasNoCapabilities) {
  process().user.uid = 1000;
  process().user.gid = 1001;
  process().user.additionalGids = {1001, 20};
  process().user.umask = 027;
  const RunResult r = runShell("id; umask; echo $HOME; grep -E 'Cap' /proc/self/status; echo hi > /dev/stdout");
  EXPECT_THAT(r.out, StartsWith("uid=1000(user) gid=1001 groups=20,1001\n0027\n/home/user\n"));
  EXPECT_THAT(r.out, HasSubstr("CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"
                               "CapAmb:\t0000000000000000\nhi\n"))
      << r.err;
}

TEST_F(RuntimeTest, ROOT_AmbientCapabilitiesReachAnotherUser) {
  process().user.uid = 1000;
  process().capabilities->inheritable = {"CAP_NET_RAW"};
  process().capabilities->ambient = {"CAP_NET_RAW"};
  const RunResult r = runShell("grep -E 'CapEff|CapAmb' /proc/self/status");
  EXPECT_EQ(r.out, "CapEff:\t0000000000002000\nCapAmb:\t0000000000002000\n");
}

TEST_F(RuntimeTest, ROOT_NoNewPrivilegesIsSet) {
  process().noNewPrivileges = true;
  EXPECT_EQ(runShell("grep -E 'NoNew|Seccomp:' /proc/self/status").out, "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

TEST_F(RuntimeTest, ROOT_SeccompRefusesNewUserNamespacesAndMounts) {
  const RunResult r = runShell("unshare -U true; echo $?; mount -t tmpfs x /tmp; echo $?");
  EXPECT_THAT(r.err, HasSubstr("Operation not permitted"));
  EXPECT_THAT(r.out, Not(HasSubstr("0\n")));
}

TEST_F(RuntimeTest, ROOT_SeccompFilterIsKeptForTheNextTime) {
  EXPECT_EQ(runShell("true").status.code, 0);
  const auto kept = listDir(dir_ + "/cache");
  ASSERT_EQ(kept.size(), 1U);
  struct stat st {};
  ASSERT_EQ(::stat((dir_ + "/cache/" + kept[0]).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
  EXPECT_EQ(runShell("grep Seccomp: /proc/self/status").out, "Seccomp:\t2\n");
}

TEST_F(RuntimeTest, ROOT_LimitsAreSetOrFallBack) {
  process().rlimits = {{"RLIMIT_CORE", 0, 0}, {"RLIMIT_NOFILE", 1U << 30, 512}};
  const RunResult r = runShell("ulimit -c; ulimit -n");
  EXPECT_EQ(r.out, "0\n512\n");
  rlimit64 own{};
  ::prlimit64(0, RLIMIT_NOFILE, nullptr, &own);
  if (own.rlim_max < (1U << 30)) {
    EXPECT_THAT(r.warnings, ::testing::Contains(HasSubstr("RLIMIT_NOFILE cannot be raised")));
  }
}

TEST_F(RuntimeTest, ROOT_NewSessionAndNoControllingTerminal) {
  const RunResult r = runShell("tty; cat /proc/self/stat > /dev/null; echo x > /dev/tty");
  EXPECT_EQ(split(r.out, '\n')[0], "not a tty");
  EXPECT_THAT(r.err, HasSubstr("No such device or address"));
}

TEST_F(RuntimeTest, ROOT_TerminalIsItsOwn) {
  process().terminal = true;
  process().consoleSize = oci::Box{40, 120};
  process().args = {"/bin/sh", "-c", "tty; stty size; test -c /dev/console && echo console; ls /dev/pts"};
  Init init = Init::create(options());
  const Fd master = init.takeConsole();
  ASSERT_TRUE(master);
  init.start();
  std::string out;
  char buffer[512];
  for (ssize_t n = 0; (n = ::read(master.get(), buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  EXPECT_EQ(reap(init.pid()).code, 0);
  init.cgroup().remove();
  EXPECT_THAT(out, StartsWith("/dev/pts/0\r\n40 120\r\nconsole\r\n"));
}

TEST_F(RuntimeTest, ROOT_ConsoleOfTheImageIsNotFollowed) {
  process().terminal = true;
  spec_.mounts.erase(spec_.mounts.begin() + 1);  // /dev is the image's own
  writeFile(dir_ + "/victim", "untouched");
  std::filesystem::create_symlink(dir_ + "/victim", rootfs("dev/console"));
  shell("true");
  EXPECT_EQ(failure().stage(), "console");
  EXPECT_EQ(readFile(dir_ + "/victim"), "untouched");
}

TEST_F(RuntimeTest, ROOT_BindsShowTheirSourceWithItsOptions) {
  makeDirs(dir_ + "/volume/sub");
  writeFile(dir_ + "/volume/file", "content");
  writeFile(dir_ + "/single", "one");
  spec_.mounts.push_back(mountOf("/vol", "bind", dir_ + "/volume", {"rbind", "rprivate"}));
  spec_.mounts.push_back(mountOf("/ro", "bind", dir_ + "/volume", {"rbind", "ro", "rprivate"}));
  spec_.mounts.push_back(mountOf("/etc/single", "bind", dir_ + "/single", {"bind", "ro"}));
  const RunResult r = runShell("cat /vol/file /etc/single; echo new > /vol/made; touch /ro/x; echo x > /etc/single");
  EXPECT_EQ(r.out, "contentone");
  EXPECT_EQ(readFile(dir_ + "/volume/made"), "new\n");
  EXPECT_THAT(r.err, HasSubstr("/ro/x: Read-only file system"));
  EXPECT_THAT(r.err, HasSubstr("/etc/single: Read-only file system"));
}

TEST_F(RuntimeTest, ROOT_RecursiveReadonlyReachesMountsBelow) {
  makeDirs(dir_ + "/volume/sub");
  ASSERT_EQ(::mount("tmpfs", (dir_ + "/volume/sub").c_str(), "tmpfs", 0, nullptr), 0);
  spec_.mounts.push_back(mountOf("/ro", "bind", dir_ + "/volume", {"rbind", "ro", "rprivate"}));
  spec_.mounts.push_back(mountOf("/rro", "bind", dir_ + "/volume", {"rbind", "rro", "rprivate"}));
  const RunResult r = runShell("touch /ro/sub/a && echo shallow; touch /rro/sub/b; touch /rro/c");
  ::umount2((dir_ + "/volume/sub").c_str(), MNT_DETACH);
  EXPECT_EQ(r.out, "shallow\n");
  EXPECT_THAT(r.err, HasSubstr("/rro/sub/b: Read-only"));
  EXPECT_THAT(r.err, HasSubstr("/rro/c: Read-only"));
}

TEST_F(RuntimeTest, ROOT_TmpfsTakesOptionsAndContent) {
  makeDir(rootfs("data"));
  writeFile(rootfs("data/inside"), "kept");
  std::filesystem::create_symlink("inside", rootfs("data/link"));
  ::chmod(rootfs("data").c_str(), 0711);
  spec_.mounts.push_back(mountOf("/data", "tmpfs", "tmpfs", {"size=64k", "tmpcopyup", "noexec", "nodev"}));
  spec_.mounts.push_back(mountOf("/small", "tmpfs", "tmpfs", {"size=64k", "mode=1777", "ro"}));
  const RunResult r =
      runShell("cat /data/link; stat -c %a /data /small; dd if=/dev/zero of=/data/big bs=1k count=100; touch /small/x");
  EXPECT_EQ(r.out, "kept711\n1777\n");
  EXPECT_THAT(r.err, HasSubstr("No space left on device"));
  EXPECT_THAT(r.err, HasSubstr("/small/x: Read-only"));
  EXPECT_FALSE(exists(rootfs("data/big")));
}

TEST_F(RuntimeTest, ROOT_MountTargetsStayInsideWhateverLinksSay) {
  makeDir(dir_ + "/victim");
  makeDir(dir_ + "/volume");
  writeFile(dir_ + "/volume/mine", "x");
  std::filesystem::create_symlink(dir_ + "/victim", rootfs("absolute"));
  std::filesystem::create_symlink("../../../../../.." + dir_ + "/victim", rootfs("relative"));
  spec_.mounts.push_back(mountOf("/absolute/a", "bind", dir_ + "/volume", {"rbind"}));
  spec_.mounts.push_back(mountOf("/relative/b", "bind", dir_ + "/volume", {"rbind"}));
  spec_.mounts.push_back(mountOf("/../../../out", "bind", dir_ + "/volume", {"rbind"}));
  EXPECT_EQ(runShell(fmt::format("ls {0}/victim {0}/victim/a /out", dir_)).status.code, 0);
  EXPECT_TRUE(listDir(dir_ + "/victim").empty()) << "something was made outside";
}

TEST_F(RuntimeTest, ROOT_FileTargetsFollowDanglingLinksInside) {
  writeFile(dir_ + "/resolv", "nameserver 1.2.3.4\n");
  std::filesystem::create_symlink("../run/resolve/stub.conf", rootfs("etc/resolv.conf"));
  std::filesystem::create_symlink("../../../../../.." + dir_ + "/victim", rootfs("etc/escape"));
  spec_.mounts.push_back(mountOf("/etc/resolv.conf", "bind", dir_ + "/resolv", {"bind"}));
  spec_.mounts.push_back(mountOf("/etc/escape", "bind", dir_ + "/resolv", {"bind"}));
  EXPECT_EQ(runShell("cat /run/resolve/stub.conf /etc/escape").out, "nameserver 1.2.3.4\nnameserver 1.2.3.4\n");
  EXPECT_FALSE(exists(dir_ + "/victim"));
}

TEST_F(RuntimeTest, ROOT_ProcMustBeAProcAndAtItsPlace) {
  ::rmdir(rootfs("proc").c_str());
  makeDir(rootfs("x"));
  std::filesystem::create_symlink("x", rootfs("proc"));
  shell("true");
  EXPECT_THAT(failure().what(), HasSubstr("must be mounted on ordinary directory"));
}

TEST_F(RuntimeTest, ROOT_NothingIsMountedOnOrInProc) {
  makeDir(dir_ + "/volume");
  shell("true");
  const auto plain = spec_.mounts;
  spec_.mounts.push_back(mountOf("/proc", "bind", dir_ + "/volume", {"rbind"}));
  EXPECT_THAT(failure().what(), HasSubstr("\"/proc\" cannot be mounted because it is not of type proc"));
  spec_.mounts = plain;
  spec_.mounts.push_back(mountOf("/proc/sys", "bind", dir_ + "/volume", {"rbind"}));
  EXPECT_THAT(failure().what(), HasSubstr("\"/proc/sys\" cannot be mounted because it is inside /proc"));
  std::filesystem::create_symlink("/proc/self/attr", rootfs("alias"));
  spec_.mounts = plain;
  spec_.mounts.push_back(mountOf("/alias", "bind", dir_ + "/volume", {"rbind"}));
  EXPECT_THAT(failure().what(), HasSubstr("inside /proc"));
}

TEST_F(RuntimeTest, ROOT_DirectoryOnAFileIsNamed) {
  makeDir(dir_ + "/volume");
  spec_.mounts.push_back(mountOf("/etc/passwd", "bind", dir_ + "/volume", {"rbind"}));
  shell("true");
  const StageError e = failure();
  EXPECT_EQ(e.err(), ENOTDIR);
  EXPECT_THAT(e.what(), StartsWith("error mounting \"" + dir_ + "/volume\" to rootfs at \"/etc/passwd\": "));
  EXPECT_THAT(e.what(), HasSubstr("not a directory"));
  EXPECT_EQ(e.exitCode(), 127);
}

TEST_F(RuntimeTest, ROOT_MissingBindSourceIsNamed) {
  spec_.mounts.push_back(mountOf("/x", "bind", dir_ + "/nothing", {"rbind"}));
  shell("true");
  EXPECT_EQ(failure().what(),
            fmt::format("error mounting \"{}/nothing\" to rootfs at \"/x\": no such file or directory", dir_));
}

TEST_F(RuntimeTest, ROOT_MissingCommandSpeaksAsDockerDoes) {
  process().args = {"nohay"};
  EXPECT_STREQ(failure().what(), "exec: \"nohay\": executable file not found in $PATH");
  EXPECT_EQ(failure().exitCode(), 127);
  process().args = {"/etc"};
  EXPECT_STREQ(failure().what(), "exec: \"/etc\": is a directory");
  EXPECT_EQ(failure().exitCode(), 126);
  process().args = {"/etc/passwd"};
  EXPECT_STREQ(failure().what(), "exec: \"/etc/passwd\": permission denied");
  EXPECT_EQ(failure().exitCode(), 126);
  process().args = {"/nohay"};
  EXPECT_STREQ(failure().what(), "exec: \"/nohay\": stat /nohay: no such file or directory");
  EXPECT_EQ(failure().exitCode(), 127);
}

TEST_F(RuntimeTest, ROOT_ForeignBinarySaysSoOnStandardError) {
  writeFile(rootfs("bin/odd"),
            "\x7f"
            "ELFnot",
            0755);
  process().args = {"/bin/odd"};
  const RunResult r = run();
  EXPECT_EQ(r.status.code, 255);
  EXPECT_EQ(r.err, "exec /bin/odd: exec format error\n");
}

TEST_F(RuntimeTest, ROOT_SysctlsOfItsNamespacesOnly) {
  config().sysctl = {{"kernel.shmmax", "12345678"}};
  EXPECT_EQ(runShell("cat /proc/sys/kernel/shmmax").out, "12345678\n");
  EXPECT_NE(readFile("/proc/sys/kernel/shmmax"), "12345678\n");
  config().sysctl = {{"kernel.panic", "1"}};
  EXPECT_STREQ(failure().what(), "sysctl \"kernel.panic\" is not in a separate kernel namespace");
  config().sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_STREQ(failure().what(), "sysctl \"net.ipv4.ip_forward\" is not in a separate kernel namespace");
  config().sysctl = {{"kernel.shm../../../sysrq-trigger", "b"}};
  EXPECT_EQ(failure().stage(), "plan");
}

TEST_F(RuntimeTest, ROOT_OwnNetworkIsEmptyAndTakesSysctls) {
  config().namespaces.push_back({"network", std::nullopt});
  config().sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_EQ(runShell("cat /proc/sys/net/ipv4/ip_forward; ls /sys/class/net").out, "1\nlo\n");
}

TEST_F(RuntimeTest, ROOT_JoinsNamespacesByPath) {
  shell("sleep 100");
  Init first = Init::create(options());
  first.start();
  const std::string id = id_ + "b";
  config().namespaces = {{"mount", std::nullopt},
                         {"pid", fmt::format("/proc/{}/ns/pid", first.pid())},
                         {"ipc", fmt::format("/proc/{}/ns/ipc", first.pid())},
                         {"uts", fmt::format("/proc/{}/ns/uts", first.pid())}};
  spec_.hostname.reset();
  shell("echo $$; hostname; readlink /proc/1/ns/ipc; readlink /proc/self/ns/ipc");
  auto [read, write] = makePipe();
  CreateOptions o = options(write.get(), write.get());
  o.cgroupPath.clear();
  spec_.mounts.erase(spec_.mounts.begin() + 4);
  Init second = Init::create(o);
  write.reset();
  second.start();
  const auto lines = split(readAll(read.get(), "out"), '\n');
  EXPECT_EQ(reap(second.pid()).code, 0);
  EXPECT_EQ(lines[0], "2");
  EXPECT_EQ(lines[1], "testhost");
  EXPECT_EQ(lines[2], lines[3]);
  first.cgroup().killAll();
  EXPECT_EQ(reap(first.pid()).signal, SIGKILL);
  first.cgroup().remove();
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/ns/pid"),
            std::filesystem::read_symlink("/proc/self/ns/pid_for_children"));
}

TEST_F(RuntimeTest, ROOT_AbandonedBeforeStartLeavesNothing) {
  shell("true");
  pid_t pid = 0;
  {
    Init init = Init::create(options());
    pid = init.pid();
    init.waitReady();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(RuntimeTest, ROOT_CannotBeTracedBeforeItExecutes) {
  shell("sleep 100");
  Init init = Init::create(options());
  init.waitReady();
  struct stat st {};
  ASSERT_EQ(::stat(fmt::format("/proc/{}/environ", init.pid()).c_str(), &st), 0);
  const std::string status = readFile(fmt::format("/proc/{}/status", init.pid()));
  EXPECT_THAT(status, HasSubstr("NSpid:"));
  EXPECT_EQ(st.st_uid, 0U);
}

TEST_F(RuntimeTest, ROOT_AnotherProcessMaySayStart) {
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = dir_ + "/start.sock";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  const auto start = [&] {
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    startOver(socket.get());
  };
  auto [read, write] = makePipe();
  shell("echo started");
  CreateOptions o = options(write.get());
  o.startSocket = listener.get();
  Init init = Init::create(o);
  write.reset();
  init.waitReady();
  init.release();
  pollfd none{read.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&none, 1, 20), 0) << "it runs before anybody said so";
  start();
  EXPECT_EQ(readAll(read.get(), "out"), "started\n");
  EXPECT_EQ(reap(init.pid()).code, 0);
  init.cgroup().remove();
}

}  // namespace
}  // namespace estiba::runtime
