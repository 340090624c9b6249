// The floor of ./dev bench: what a container costs where nobody writes down, checks or reports anything. Bare system
// calls in the order that proved fastest; nothing here is shared with the engine but the building of netlink messages.
//
//   bench_floor true                                     its own process start
//   bench_floor stat DIR                                 getdents and statx of a whole tree
//   bench_floor run host|none|BRIDGE/IP ROOTFS STATE [N] N times /bin/true of ROOTFS in a container, one after another

#include <dirent.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sys/netlink.h"

namespace {

using estiba::netlink::Request;
using estiba::netlink::Socket;

[[noreturn]] void die(const char* what) {
  ::dprintf(STDERR_FILENO, "bench_floor: %s: %s\n", what, ::strerror(errno));
  ::_exit(1);
}

int must(long result, const char* what) {
  if (result < 0) die(what);
  return static_cast<int>(result);
}

void makeFile(const std::string& path, const std::string& text) {
  const int fd = must(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644), path.c_str());
  must(::write(fd, text.data(), text.size()), path.c_str());
  ::close(fd);
}

// ---- control groups

struct Group {
  std::string name;  ///< under /sys/fs/cgroup
  std::string dir;
  bool v2 = false;
};

std::vector<Group> hierarchies() {
  std::vector<Group> out;
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string source, target, type;
    words >> source >> target >> type;
    if (type != "cgroup" && type != "cgroup2") continue;
    out.push_back({target.substr(target.rfind('/') + 1), target, type == "cgroup2"});
  }
  return out;
}

// Tolerates that the file is missing: a v2 hierarchy beside v1 has no controllers.
void put(const Group& group, const char* file, const std::string& value) {
  const int fd = ::open((group.dir + "/" + file).c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  must(::write(fd, value.data(), value.size()), file);
  ::close(fd);
}

std::string firstLine(const std::string& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

void makeGroup(Group& group, const std::string& name) {
  const std::string parent = group.dir;
  if (group.v2 && firstLine(parent + "/cgroup.controllers").find("memory") != std::string::npos) {
    put(group, "cgroup.subtree_control", "+pids +memory");
  }
  group.dir += "/" + name;
  must(::mkdir(group.dir.c_str(), 0755), group.dir.c_str());
  if (group.name == "cpuset") {  // takes nobody before it has the parent's
    for (const char* file : {"cpuset.cpus", "cpuset.mems"}) put(group, file, firstLine(parent + "/" + file));
  }
  if (group.v2 || group.name == "pids") put(group, "pids.max", "4096");
  if (group.v2) put(group, "memory.max", "4294967296");
  if (group.name == "memory") put(group, "memory.limit_in_bytes", "4294967296");
}

// ---- network

void addLinkUp(Request& request, int index) {
  ifinfomsg link{};
  link.ifi_index = index;
  link.ifi_flags = link.ifi_change = IFF_UP;
  request.message(RTM_NEWLINK, NLM_F_ACK).header(link);
}

// In the host: both ends by one message, the inner one made where it belongs.
void makePair(const std::string& name, const std::string& bridge, int netns) {
  ifinfomsg outer{};
  outer.ifi_flags = outer.ifi_change = IFF_UP;
  Request request;
  request.message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
      .header(outer)
      .text(IFLA_IFNAME, name)
      .u32(IFLA_MASTER, ::if_nametoindex(bridge.c_str()));
  request.nest(IFLA_LINKINFO, [&] {
    request.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, [&] {
      request.nest(VETH_INFO_PEER, [&] {
        request.header(ifinfomsg{}).text(IFLA_IFNAME, "eth0").u32(IFLA_NET_NS_FD, static_cast<uint32_t>(netns));
      });
    });
  });
  Socket::open(NETLINK_ROUTE).transact(request, "make the pair");
}

// In the container: everything in one go. `gateway` empty: lo alone.
void configureLinks(const std::string& gateway) {
  const Socket socket = Socket::open(NETLINK_ROUTE);
  Request request;
  addLinkUp(request, 1);
  if (!gateway.empty()) {
    const auto index = ::if_nametoindex("eth0");
    in_addr via{};
    ::inet_pton(AF_INET, gateway.c_str(), &via);
    const in_addr own{::htonl(::ntohl(via.s_addr) + 1)};
    addLinkUp(request, static_cast<int>(index));
    ifaddrmsg address{};
    address.ifa_family = AF_INET;
    address.ifa_prefixlen = 24;
    address.ifa_index = index;
    request.message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE).header(address).attr(IFA_LOCAL, &own, sizeof own);
    rtmsg route{};
    route.rtm_family = AF_INET;
    route.rtm_table = RT_TABLE_MAIN;
    route.rtm_protocol = RTPROT_BOOT;
    route.rtm_type = RTN_UNICAST;
    request.message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE)
        .header(route)
        .attr(RTA_GATEWAY, &via, sizeof via)
        .u32(RTA_OIF, index);
  }
  socket.transact(request, "set the links up");
}

// ---- the root file system, from within; paths are relative to it

void mountOn(const char* source, const char* target, const char* type, unsigned long flags, const char* data = "") {
  must(::mount(source, target, type, flags, data), target);
}

void mountRoot(const std::string& rootfs, const std::string& state) {
  const auto set = [](int context, unsigned command, const char* key, const char* value) {
    must(::fsconfig(context, command, key, value, 0), key);
  };
  const int context = must(::fsopen("overlay", FSOPEN_CLOEXEC), "fsopen overlay");
  set(context, FSCONFIG_SET_STRING, "lowerdir", rootfs.c_str());
  set(context, FSCONFIG_SET_STRING, "upperdir", (state + "/upper").c_str());
  set(context, FSCONFIG_SET_STRING, "workdir", (state + "/work").c_str());
  set(context, FSCONFIG_SET_FLAG, "volatile", nullptr);
  set(context, FSCONFIG_CMD_CREATE, nullptr, nullptr);
  const int root = must(::fsmount(context, FSMOUNT_CLOEXEC, 0), "fsmount");
  must(::move_mount(root, "", AT_FDCWD, (state + "/root").c_str(), MOVE_MOUNT_F_EMPTY_PATH), "move_mount");
  must(::chdir((state + "/root").c_str()), "chdir");
}

void fillDev() {
  struct Node {
    const char* path;
    unsigned minor_;
    unsigned major_ = 1;
  };
  for (const Node& node : {Node{"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9},
                           {"dev/tty", 0, 5}}) {
    must(::mknod(node.path, S_IFCHR | 0666, makedev(node.major_, node.minor_)), node.path);
  }
  constexpr std::array<const char*, 10> kLinks = {"/proc/self/fd",   "dev/fd",     "/proc/self/fd/0", "dev/stdin",
                                                  "/proc/self/fd/1", "dev/stdout", "/proc/self/fd/2", "dev/stderr",
                                                  "pts/ptmx",        "dev/ptmx"};
  for (size_t i = 0; i < kLinks.size(); i += 2) must(::symlink(kLinks[i], kLinks[i + 1]), kLinks[i + 1]);
  for (const char* dir : {"dev/pts", "dev/shm", "dev/mqueue"}) must(::mkdir(dir, 0755), dir);
}

void mountKernelFileSystems() {
  constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mountOn("proc", "proc", "proc", kPlain);
  mountOn("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
  fillDev();
  mountOn("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mountOn("shm", "dev/shm", "tmpfs", kPlain, "mode=1777,size=65536k");
  mountOn("mqueue", "dev/mqueue", "mqueue", kPlain);
  mountOn("sysfs", "sys", "sysfs", kPlain | MS_RDONLY);
}

void showGroups(const std::vector<Group>& groups) {
  mountOn("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755");
  for (const Group& group : groups) {
    const std::string place = "sys/fs/cgroup/" + group.name;
    must(::mkdir(place.c_str(), 0755), place.c_str());
    mountOn(group.dir.c_str(), place.c_str(), nullptr, MS_BIND);
  }
  mount_attr readOnly{};
  readOnly.attr_set = MOUNT_ATTR_RDONLY;
  must(::mount_setattr(AT_FDCWD, "sys/fs/cgroup", AT_RECURSIVE, &readOnly, sizeof readOnly), "mount_setattr");
}

void maskPaths() {
  const char* emptyDir = nullptr;
  for (const char* path : {"proc/asound", "proc/acpi", "proc/kcore", "proc/keys", "proc/latency_stats",
                           "proc/timer_list", "proc/timer_stats", "proc/sched_debug", "proc/scsi", "sys/firmware",
                           "sys/devices/virtual/powercap"}) {
    struct stat found {};
    if (::stat(path, &found) != 0) continue;
    if (!S_ISDIR(found.st_mode)) {
      mountOn("dev/null", path, nullptr, MS_BIND);
    } else if (emptyDir != nullptr) {
      mountOn(emptyDir, path, nullptr, MS_BIND);
    } else {
      mountOn("tmpfs", path, "tmpfs", MS_RDONLY, "nr_inodes=1");
      emptyDir = path;
    }
  }
}

void enterRoot() {
  must(::syscall(SYS_pivot_root, ".", "."), "pivot_root");
  must(::umount2(".", MNT_DETACH), "unmount the old root");
  must(::chdir("/"), "chdir /");
}

// ---- rights

constexpr std::array kKeptCapabilities = {CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER, CAP_MKNOD,
                                          CAP_NET_RAW, CAP_SETGID,       CAP_SETUID,           CAP_SETFCAP, CAP_SETPCAP,
                                          CAP_KILL,    CAP_SYS_CHROOT,   CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE};

void dropCapabilities() {
  uint64_t kept = 0;
  for (const int cap : kKeptCapabilities) kept |= uint64_t{1} << cap;
  for (int cap = 0;; ++cap) {
    const bool keep = (kept >> cap & 1) != 0;
    if (!keep && ::prctl(PR_CAPBSET_DROP, cap) != 0) break;  // the kernel knows no more
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (size_t half = 0; half < 2; ++half) {
    const auto bits = static_cast<uint32_t>(kept >> (32 * half));
    data[half] = {bits, bits, 0};
  }
  must(::syscall(SYS_capset, &header, data.data()), "capset");
}

void refuseCalls() {
  constexpr std::array kRefused = {SYS_acct,        SYS_bpf,          SYS_clock_settime, SYS_delete_module,
                                   SYS_init_module, SYS_finit_module, SYS_kexec_load,    SYS_mount,
                                   SYS_umount2,     SYS_pivot_root,   SYS_swapon,        SYS_swapoff,
                                   SYS_reboot,      SYS_setns,        SYS_unshare,       SYS_perf_event_open};
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const auto call : kRefused) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  must(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter), "seccomp");
}

// ---- one container

struct Wish {
  std::string bridge;   ///< empty: none or host
  std::string gateway;  ///< the bridge's address; the container gets the next one
  bool ownNetwork = true;
  std::string rootfs, state;
};

[[noreturn]] void becomeContainer(const Wish& wish, const std::string& state, const std::vector<Group>& groups,
                                  int ready) {
  for (const Group& group : groups) {
    if (!group.v2) put(group, "tasks", "0");
  }
  must(::unshare(CLONE_NEWCGROUP), "unshare the cgroup namespace");
  mountOn("", "/", nullptr, MS_REC | MS_PRIVATE);
  mountRoot(wish.rootfs, state);
  mountKernelFileSystems();
  showGroups(groups);
  for (const char* file : {"etc/hosts", "etc/hostname", "etc/resolv.conf"}) {
    mountOn((state + (file + 3)).c_str(), file, nullptr, MS_BIND);
  }
  maskPaths();
  enterRoot();
  must(::sethostname("floor", 5), "sethostname");
  char byte;
  if (!wish.bridge.empty() && ::read(ready, &byte, 1) != 1) ::_exit(1);
  if (wish.ownNetwork) configureLinks(wish.gateway);
  must(::setsid(), "setsid");
  refuseCalls();
  dropCapabilities();
  ::execl("/bin/true", "true", nullptr);
  die("exec /bin/true");
}

pid_t startProcess(const Wish& wish, const std::vector<Group>& groups) {
  clone_args args{};
  args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
  args.exit_signal = SIGCHLD;
  if (wish.ownNetwork) args.flags |= CLONE_NEWNET;
  for (const Group& group : groups) {
    if (!group.v2) continue;
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(must(::open(group.dir.c_str(), O_PATH | O_CLOEXEC), group.dir.c_str()));
  }
  const pid_t pid = must(::syscall(SYS_clone3, &args, sizeof args), "clone3");
  if (pid != 0 && (args.flags & CLONE_INTO_CGROUP) != 0) ::close(static_cast<int>(args.cgroup));
  return pid;
}

int runOne(const Wish& wish, int number) {
  const std::string name = "floor" + std::to_string(::getpid()) + "-" + std::to_string(number);
  const std::string state = wish.state + "/" + name;
  for (const char* dir : {"", "/upper", "/work", "/root"}) must(::mkdir((state + dir).c_str(), 0755), state.c_str());
  makeFile(state + "/hosts", "127.0.0.1\tlocalhost\n");
  makeFile(state + "/hostname", "floor\n");
  makeFile(state + "/resolv.conf", "nameserver 127.0.0.1\n");
  std::vector<Group> groups = hierarchies();
  for (Group& group : groups) makeGroup(group, name);
  int ready[2];
  must(::pipe2(ready, O_CLOEXEC), "pipe");
  const pid_t pid = startProcess(wish, groups);
  if (pid == 0) {
    ::close(ready[1]);
    becomeContainer(wish, state, groups, ready[0]);
  }
  ::close(ready[0]);
  if (!wish.bridge.empty()) {
    const std::string path = "/proc/" + std::to_string(pid) + "/ns/net";
    const int netns = must(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path.c_str());
    makePair("f" + std::to_string(::getpid()) + "." + std::to_string(number), wish.bridge, netns);
    must(::write(ready[1], "", 1), "tell the container");
    ::close(netns);
  }
  ::close(ready[1]);
  int status = 0;
  must(::waitpid(pid, &status, 0), "waitpid");
  for (const Group& group : groups) must(::rmdir(group.dir.c_str()), group.dir.c_str());
  std::filesystem::remove_all(state);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int runAll(const std::vector<std::string>& args) {
  Wish wish{.rootfs = args.at(2), .state = args.at(3)};
  wish.ownNetwork = args[1] != "host";
  if (const auto slash = args[1].find('/'); slash != std::string::npos) {
    wish.bridge = args[1].substr(0, slash);
    wish.gateway = args[1].substr(slash + 1);
  }
  const int times = args.size() > 4 ? std::stoi(args[4]) : 1;
  for (int i = 0; i < times; ++i) {
    if (const int code = runOne(wish, i); code != 0) return code;
  }
  return 0;
}

// ---- a tree

void statTree(int parent, const char* name) {
  const int fd = must(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), name);
  DIR* dir = ::fdopendir(fd);
  if (dir == nullptr) die(name);
  while (const dirent* entry = ::readdir(dir)) {
    if (::strcmp(entry->d_name, ".") == 0 || ::strcmp(entry->d_name, "..") == 0) continue;
    struct statx found {};
    must(::statx(fd, entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found), entry->d_name);
    if (S_ISDIR(found.stx_mode)) statTree(fd, entry->d_name);
  }
  ::closedir(dir);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 1 && args[0] == "true") return 0;
  if (args.size() == 2 && args[0] == "stat") return statTree(AT_FDCWD, argv[2]), 0;
  if (args.size() >= 4 && args[0] == "run") return runAll(args);
  ::dprintf(STDERR_FILENO, "usage: bench_floor true | stat DIR | run host|none|BRIDGE/IP ROOTFS STATE [N]\n");
  return 2;
}
