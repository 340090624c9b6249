#include "runtime/exec.h"

#include <gmock/gmock.h>

#include "runtime/test_bundle.h"

namespace estiba::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ExecTest : public RuntimeTest {
 protected:
  /// Runs `what` beside a sleeping container.
  RunResult execBeside(const oci::Process& what) {
    shell("sleep 100");
    Init init = Init::create(options());
    init.start();
    RunResult result;
    try {
      result = exec(init, what);
    } catch (...) {
      stop(init);
      throw;
    }
    stop(init);
    return result;
  }
  static void stop(Init& init) {
    init.cgroup().killAll();
    EXPECT_EQ(reap(init.pid()).signal, SIGKILL);
    init.cgroup().remove();
  }
  oci::Process script(const std::string& text) {
    oci::Process out = process();
    out.args = {"/bin/sh", "-c", text};
    return out;
  }
  std::string whyNot(const oci::Process& what) {
    try {
      execBeside(what);
    } catch (const StageError& e) {
      return e.what();
    }
    return "it started";
  }
};

TEST_F(ExecTest, ROOT_RunsInTheContainersNamespaces) {
  const RunResult r = execBeside(
      script("hostname; cat /proc/1/cmdline; echo; for n in mnt pid uts ipc net cgroup; do "
             "[ \"$(readlink /proc/1/ns/$n)\" = \"$(readlink /proc/self/ns/$n)\" ] && echo same; done; exit 5"));
  EXPECT_THAT(r.out, StartsWith("testhost\n"));
  EXPECT_THAT(r.out, HasSubstr("same\nsame\nsame\nsame\nsame\nsame\n"));
  EXPECT_EQ(r.status.code, 5);
}

TEST_F(ExecTest, ROOT_JoinsTheContainersCgroups) {
  const RunResult r = execBeside(script("cat /proc/self/cgroup"));
  for (const auto& line : split(r.out, '\n')) {
    EXPECT_TRUE(line.empty() || line.ends_with(":/")) << line;
  }
}

TEST_F(ExecTest, ROOT_HasTheSpecsCapabilitiesAndFilter) {
  const RunResult r = execBeside(script("grep -E 'Cap|Seccomp:' /proc/self/status"));
  EXPECT_EQ(r.out,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
            "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nSeccomp:\t2\n");
}

TEST_F(ExecTest, ROOT_TakesUserDirectoryAndEnvironment) {
  oci::Process what = script("id; pwd; echo $A $HOME");
  what.user.uid = 1000;
  what.user.gid = 1000;
  what.user.additionalGids = {1000};
  what.cwd = "/tmp";
  what.env.push_back("A=b");
  EXPECT_EQ(execBeside(what).out, "uid=1000(user) gid=1000 groups=1000\n/tmp\nb /home/user\n");
}

TEST_F(ExecTest, ROOT_HoldsNoDescriptorButStdio) {
  oci::Process what = process();
  what.args = {"/bin/ls", "/proc/self/fd"};
  EXPECT_EQ(execBeside(what).out, "0\n1\n2\n3\n");
}

TEST_F(ExecTest, ROOT_WorkingDirectoryCannotLeadOut) {
  for (const int fd : {3, 4, 5, 6, 7, 8, 12}) {
    oci::Process what = script("pwd; ls ..");
    what.cwd = fmt::format("/proc/self/fd/{}", fd);
    try {
      EXPECT_THAT(execBeside(what).out, Not(HasSubstr("estiba")));
    } catch (const StageError& e) {
      EXPECT_EQ(e.stage(), "cwd") << e.what();
    }
  }
}

TEST_F(ExecTest, ROOT_MissingCommandSpeaksAsDockerDoes) {
  oci::Process what = process();
  what.args = {"nohay"};
  EXPECT_EQ(whyNot(what), "exec: \"nohay\": executable file not found in $PATH");
  what.args = {"/bin/sh"};
  what.cwd = "/missing";
  EXPECT_EQ(whyNot(what), "chdir to cwd (\"/missing\") set in config.json failed: no such file or directory");
}

TEST_F(ExecTest, ROOT_GetsATerminalOfTheContainer) {
  shell("sleep 100");
  Init init = Init::create(options());
  init.start();
  oci::Process what = script("tty; stty size");
  what.terminal = true;
  what.consoleSize = oci::Box{20, 77};
  ExecOptions o;
  o.cgroupPath = cgroupPath_;
  ExecProcess made = execIn(init.pid(), *processStartTime(init.pid()), what, o);
  ASSERT_TRUE(made.console);
  std::string out;
  char buffer[256];
  for (ssize_t n = 0; (n = ::read(made.console.get(), buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_EQ(reap(made.pid).code, 0);
  stop(init);
  EXPECT_EQ(out, "/dev/pts/0\r\n20 77\r\n");
}

TEST_F(ExecTest, ROOT_ARecycledPidIsNotTheContainer) {
  shell("sleep 100");
  Init init = Init::create(options());
  init.start();
  EXPECT_THROW(execIn(init.pid(), *processStartTime(init.pid()) + 1, script("true"), {}), Error);
  stop(init);
}

TEST_F(ExecTest, ROOT_CallersNamespacesStayItsOwn) {
  const auto before = std::filesystem::read_symlink("/proc/self/ns/pid_for_children");
  execBeside(script("true"));
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/ns/pid_for_children"), before);
}

}  // namespace
}  // namespace estiba::runtime
