#include <gmock/gmock.h>
#include <sys/syscall.h>

#include "runtime/test_bundle.h"

namespace estiba::runtime {
namespace {

using ::testing::HasSubstr;

class UserNamespaceTest : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped() || dir_.empty()) return;
    config().namespaces.push_back({"user", std::nullopt});
    config().namespaces.push_back({"network", std::nullopt});
    config().uidMappings = {{0, 100000, 65536}};
    config().gidMappings = {{0, 200000, 65536}};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_ + "/rootfs")) {
      ::lchown(entry.path().c_str(), 100000, 200000);
    }
    ::chown((dir_ + "/rootfs").c_str(), 100000, 200000);
  }
};

TEST_F(UserNamespaceTest, ROOT_RootInsideIsNobodyOutside) {
  const RunResult r = runShell("id -u; id -g; touch /made; cat /proc/self/uid_map; echo x > /dev/null && echo null");
  EXPECT_THAT(r.out, ::testing::StartsWith("0\n0\n")) << r.err;
  EXPECT_THAT(r.out, HasSubstr("100000"));
  EXPECT_THAT(r.out, HasSubstr("null\n")) << r.err;
  struct stat st {};
  ASSERT_EQ(::stat(rootfs("made").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 100000U);
  EXPECT_EQ(st.st_gid, 200000U);
}

TEST_F(UserNamespaceTest, ROOT_FilesOfTheHostsRootStayOutOfReach) {
  makeDir(dir_ + "/volume", 0755);
  writeFile(dir_ + "/volume/secret", "x", 0600);
  spec_.mounts.push_back(mountOf("/vol", "bind", dir_ + "/volume", {"rbind", "rprivate"}));
  const RunResult r = runShell("cat /vol/secret; touch /vol/x; echo 1 > /proc/sysrq-trigger");
  EXPECT_THAT(r.err, HasSubstr("/vol/secret"));
  EXPECT_THAT(r.err, HasSubstr("/vol/x: Permission denied"));
}

TEST_F(UserNamespaceTest, ROOT_ExecJoinsIt) {
  shell("sleep 100");
  Init init = Init::create(options());
  init.start();
  oci::Process what = process();
  what.args = {"/bin/sh", "-c", "id -u; readlink /proc/self/ns/user; readlink /proc/1/ns/user"};
  what.user.uid = 5;
  what.user.gid = 6;
  RunResult r;
  std::string why;
  try {
    r = exec(init, what);
  } catch (const Error& e) {
    why = e.what();
  }
  init.cgroup().killAll();
  reap(init.pid());
  init.cgroup().remove();
  EXPECT_EQ(why, "");
  EXPECT_THAT(r.out, ::testing::StartsWith("5\nuser:["));
}

TEST_F(UserNamespaceTest, ROOT_NeedsMappings) {
  config().uidMappings.clear();
  shell("true");
  EXPECT_EQ(failure().stage(), "plan");
}

TEST_F(RuntimeTest, ROOT_ClocksAreShifted) {
  config().namespaces.push_back({"time", std::nullopt});
  config().timeOffsets["boottime"] = {1000000, 0};
  const auto before = std::filesystem::read_symlink("/proc/self/ns/time_for_children");
  const RunResult r = runShell("cat /proc/uptime");
  EXPECT_GT(std::stod(r.out), 1000000);
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/ns/time_for_children"), before);
}

TEST_F(RuntimeTest, ROOT_HooksRunInTheirOrderAndPlace) {
  const auto hook = [&](const std::string& name, const std::string& file) {
    return oci::Hook{"/bin/sh", {"sh", "-c", "echo " + name + " $A >> " + file + "; cat > /dev/null"}, {"A=b"}, 5};
  };
  const std::string log = dir_ + "/log";
  oci::Hooks hooks;
  hooks.prestart = {hook("prestart", log)};
  hooks.createRuntime = {hook("createRuntime", log)};
  hooks.createContainer = {hook("createContainer", log)};
  hooks.startContainer = {hook("startContainer", "/inside")};
  hooks.poststart = {hook("poststart", log)};
  spec_.hooks = hooks;
  EXPECT_EQ(runShell("cat /inside").out, "startContainer b\n");
  EXPECT_EQ(readFile(log), "prestart b\ncreateRuntime b\ncreateContainer b\npoststart b\n");
}

TEST_F(RuntimeTest, ROOT_HookGetsTheStateAndItsFailureIsTold) {
  oci::Hooks hooks;
  hooks.createRuntime = {{"/bin/sh", {"sh", "-c", "cat > " + dir_ + "/state; echo why >&2; exit 3"}, {}, {}}};
  spec_.hooks = hooks;
  shell("true");
  const StageError e = failure();
  EXPECT_STREQ(e.what(), "error running createRuntime hook #0: exit status 3, output: why");
  const auto state = parseJsonAs<oci::State>(readFile(dir_ + "/state"), "state");
  EXPECT_EQ(state.id, id_);
  EXPECT_EQ(state.status, "creating");
  EXPECT_GT(state.pid.value_or(0), 1);
  spec_.hooks->createRuntime = {{"/bin/sleep", {"sleep", "100"}, {}, 0}};
  EXPECT_THAT(failure().what(), HasSubstr("it ran past 0 s"));
}

// CVE-2021-30465 and its kin: one container owns a volume and keeps swapping a directory in it with a link to the host,
// while another is started with a mount inside that volume.
TEST_F(RuntimeTest, ROOT_SwappedMountTargetNeverLeadsOut) {
  makeDirs(dir_ + "/volume/a");
  makeDirs(dir_ + "/host/sub");
  makeDirs(dir_ + "/payload");
  std::filesystem::create_symlink(dir_ + "/host", dir_ + "/volume/b");
  const Fd volume = openFile(dir_ + "/volume", O_RDONLY | O_DIRECTORY);
  const pid_t racer = ::fork();
  if (racer == 0) {
    for (;;) ::syscall(SYS_renameat2, volume.get(), "a", volume.get(), "b", 2 /* RENAME_EXCHANGE */);
  }
  spec_.mounts.push_back(mountOf("/vol", "bind", dir_ + "/volume", {"rbind", "rprivate"}));
  spec_.mounts.push_back(mountOf("/vol/a/sub/made", "bind", dir_ + "/payload", {"rbind"}));
  spec_.mounts.push_back(mountOf("/vol/a/fresh", "tmpfs", "tmpfs", {}));
  config().maskedPaths.push_back("/vol/a");
  process().cwd = "/vol/a/cwd";
  for (int i = 0; i < 40; ++i) {
    try {
      runShell("true");
    } catch (const StageError&) {
      // to fail is fine; to leave something behind is not
    }
  }
  ::kill(racer, SIGKILL);
  reap(racer);
  EXPECT_EQ(listDir(dir_ + "/host"), std::vector<std::string>{"sub"});
  EXPECT_TRUE(listDir(dir_ + "/host/sub").empty());
}

}  // namespace
}  // namespace estiba::runtime
