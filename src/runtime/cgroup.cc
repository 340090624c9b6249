#include "runtime/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/cgroup_limits.h"
#include "sys/cgroup.h"
#include "sys/file.h"

namespace estiba::runtime {

namespace {

using namespace std::chrono_literals;
using Group = CgroupSet::Group;

void checkPath(const std::string& path) {
  if (path.size() < 2 || path[0] != '/')
    fail(Code::invalid, "cgroup path '{}' must be absolute and not the root", path);
  for (const auto& part : split(path.substr(1), '/')) {
    if (part.empty() || part == "." || part == "..") fail(Code::invalid, "cgroup path '{}' is not clean", path);
  }
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (auto& word : split(text, ' ')) {
    if (!word.empty()) out.push_back(std::move(word));
  }
  return out;
}

// A new v1 cpuset is empty and takes no task until it has the parent's processors and nodes.
void inheritCpuset(const std::string& dir) {
  const std::string parent = dir.substr(0, dir.rfind('/'));
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    if (readCgroupFile(dir, file).value_or("").empty()) {
      writeCgroupFile(dir, file, readCgroupFile(parent, file).value_or(""));
    }
  }
}

// Lets the children of `dir` have its controllers; one that cannot be had (a thread mode, a busy root) is left out.
void delegateControllers(const std::string& dir) {
  const auto enabled = words(readCgroupFile(dir, "cgroup.subtree_control").value_or(""));
  for (const auto& name : words(readCgroupFile(dir, "cgroup.controllers").value_or(""))) {
    if (std::find(enabled.begin(), enabled.end(), name) != enabled.end()) continue;
    try {
      writeCgroupFile(dir, "cgroup.subtree_control", "+" + name);
    } catch (const Error& e) {
      log::debug("{}", e.what());
    }
  }
}

// mkdir of every level. Another engine may remove an empty parent in between: then from the start, a few times.
void makeGroup(Group& group, const std::string& path) {
  if (::mkdir(group.dir.c_str(), 0755) == 0 && !group.v2 && !group.has("cpuset")) {  // the common case
    group.made = true;
    return;
  }
  for (int attempt = 0;; ++attempt) {
    std::string dir = group.mountPoint;
    bool gone = false;
    for (const auto& part : split(path.substr(1), '/')) {
      if (group.v2) delegateControllers(dir);
      dir += "/" + part;
      const bool created = ::mkdir(dir.c_str(), 0755) == 0;
      const int e = errno;
      if (!created && e == ENOENT && attempt < 16) {
        gone = true;
        break;
      }
      if (!created && e != EEXIST) throw SysError(e, fmt::format("make cgroup '{}'", dir));
      if (group.has("cpuset") && !group.v2) inheritCpuset(dir);
    }
    if (!gone) break;
  }
  group.made = true;
  if (group.v2) group.controllers = words(readCgroupFile(group.dir, "cgroup.controllers").value_or(""));
}

void pause(std::chrono::milliseconds time) {
  ::poll(nullptr, 0, static_cast<int>(time.count()));
}

std::vector<std::string> subGroups(const std::string& dir) {
  std::vector<std::string> out;
  for (const auto& name : listDir(dir)) {
    struct stat st {};
    std::string path = dir + "/" + name;
    if (::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) out.push_back(std::move(path));
  }
  return out;
}

/// True when it is gone; false while a process is in it.
bool tryRemove(const std::string& dir) {
  if (::rmdir(dir.c_str()) == 0 || errno == ENOENT) return true;
  if (errno != EBUSY && errno != ENOTEMPTY) throw SysError(errno, fmt::format("remove cgroup '{}'", dir));
  bool all = true;
  for (const auto& sub : subGroups(dir)) all = tryRemove(sub) && all;
  return all && (::rmdir(dir.c_str()) == 0 || errno == ENOENT);
}

void collectPids(const std::string& dir, std::vector<pid_t>& out) {
  for (const auto& line : split(readCgroupFile(dir, "cgroup.procs").value_or(""), '\n')) {
    if (const auto pid = parseInt(line); pid && *pid > 0) out.push_back(static_cast<pid_t>(*pid));
  }
  for (const auto& sub : subGroups(dir)) collectPids(sub, out);
}

uint64_t fieldOf(const std::string& text, std::string_view key) {
  for (const auto& line : split(text, '\n')) {
    const auto [name, value] = cut(line, ' ');
    if (name == key && value) return parseUint(*value).value_or(0);
  }
  return 0;
}

void waitForState(const std::string& dir, const char* file, std::string_view wanted, const std::string& again) {
  const auto deadline = monotonic() + 2s;
  for (int round = 0;; ++round) {
    const auto text = readCgroupFile(dir, file).value_or("");
    if (text == wanted || ("\n" + text + "\n").find(fmt::format("\n{}\n", wanted)) != std::string::npos) return;
    if (monotonic() > deadline) fail(Code::deadline, "cgroup '{}' does not become '{}'", dir, wanted);
    // A v1 freezer that meets a forking process may stick in FREEZING: telling it again helps.
    if (!again.empty() && round % 10 == 9) writeCgroupFile(dir, file, again);
    pause(1ms);
  }
}

}  // namespace

bool CgroupSet::Group::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

CgroupSet CgroupSet::prepare(const std::string& path) {
  checkPath(path);
  CgroupSet set;
  set.path_ = path;
  for (auto& hierarchy : cgroupHierarchies()) {
    Group group;
    group.controllers = std::move(hierarchy.controllers);
    group.dir = hierarchy.mountPoint + path;
    group.mountPoint = std::move(hierarchy.mountPoint);
    group.v2 = hierarchy.v2;
    set.groups_.push_back(std::move(group));
  }
  set.owned_ = true;
  for (auto& group : set.groups_) {
    if (!group.v2) continue;
    makeGroup(group, path);
    set.unified_ = openFile(group.dir, O_RDONLY | O_DIRECTORY);
  }
  return set;
}

void CgroupSet::make(const oci::LinuxResources& resources, std::vector<std::string>& warnings) {
  for (auto& group : groups_) {
    if (!group.v2) makeGroup(group, path_);
  }
  apply(resources, /*fresh=*/true, warnings);
}

CgroupSet CgroupSet::create(const std::string& path, const oci::LinuxResources& resources,
                            std::vector<std::string>& warnings) {
  CgroupSet set = prepare(path);
  set.make(resources, warnings);
  return set;
}

CgroupSet CgroupSet::open(const std::string& path) {
  checkPath(path);
  CgroupSet set;
  set.path_ = path;
  for (auto& hierarchy : cgroupHierarchies()) {
    const std::string dir = hierarchy.mountPoint + path;
    if (::access(dir.c_str(), F_OK) != 0) continue;
    Group group{std::move(hierarchy.controllers), std::move(hierarchy.mountPoint), dir, hierarchy.v2, false};
    if (group.v2) {
      group.controllers = words(readCgroupFile(dir, "cgroup.controllers").value_or(""));
      set.unified_ = openFile(dir, O_RDONLY | O_DIRECTORY);
    }
    set.groups_.push_back(std::move(group));
  }
  return set;
}

CgroupSet::CgroupSet(CgroupSet&& o) noexcept
    : path_(std::move(o.path_)),
      groups_(std::move(o.groups_)),
      unified_(std::move(o.unified_)),
      owned_(std::exchange(o.owned_, false)) {}

CgroupSet& CgroupSet::operator=(CgroupSet&& o) noexcept {
  std::swap(path_, o.path_);
  std::swap(groups_, o.groups_);
  std::swap(unified_, o.unified_);
  std::swap(owned_, o.owned_);
  return *this;
}

CgroupSet::~CgroupSet() {
  if (owned_) removeMade();
}

void CgroupSet::removeMade() noexcept {
  const int e = errno;
  try {
    for (const auto& group : groups_) {
      if (group.made && !tryRemove(group.dir)) log::warn("cgroup '{}' is left: it is in use", group.dir);
    }
  } catch (const std::exception& failure) {
    log::warn("{}", failure.what());
  }
  errno = e;
}

const CgroupSet::Group* CgroupSet::find(std::string_view controller) const {
  const auto it = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.has(controller); });
  return it == groups_.end() ? nullptr : &*it;
}

const CgroupSet::Group* CgroupSet::unifiedGroup() const {
  const auto it = std::find_if(groups_.begin(), groups_.end(), [](const Group& g) { return g.v2; });
  return it == groups_.end() ? nullptr : &*it;
}

// Each controller's part goes where that controller is; what has no home goes to v1's writer, which refuses it by name.
void CgroupSet::apply(const oci::LinuxResources& resources, bool fresh, std::vector<std::string>& warnings) {
  oci::LinuxResources first = resources;
  oci::LinuxResources second;
  const auto inV2 = [&](const char* controller) {
    const Group* group = find(controller);
    return group != nullptr && group->v2;
  };
  if (inV2("memory")) std::swap(first.memory, second.memory);
  if (inV2("cpu")) std::swap(first.cpu, second.cpu);
  if (inV2("pids")) std::swap(first.pids, second.pids);
  if (inV2("io")) std::swap(first.blockIO, second.blockIO);
  if (inV2("hugetlb")) std::swap(first.hugepageLimits, second.hugepageLimits);
  second.unified = resources.unified;
  second.devices = resources.devices;
  const Group* unified = unifiedGroup();
  if (!resources.unified.empty() && (unified == nullptr || unified->controllers.empty())) {
    fail(Code::not_implemented, "unified resources need cgroup v2");
  }
  if (!fresh) first.devices.clear();
  applyV1(groups_, first, fresh, warnings);
  if (unified != nullptr) applyV2(*unified, second, fresh, find("devices") == nullptr, warnings);
}

void CgroupSet::update(const oci::LinuxResources& resources, std::vector<std::string>& warnings) {
  apply(resources, /*fresh=*/false, warnings);
}

void CgroupSet::freeze() {
  if (const Group* unified = unifiedGroup(); unified && tryWriteCgroupFile(unified->dir, "cgroup.freeze", "1")) {
    waitForState(unified->dir, "cgroup.events", "frozen 1", "");
  } else if (const Group* freezer = find("freezer")) {
    writeCgroupFile(freezer->dir, "freezer.state", "FROZEN");
    waitForState(freezer->dir, "freezer.state", "FROZEN", "FROZEN");
  } else {
    fail(Code::not_implemented, "cannot freeze: the freezer controller is not available");
  }
}

void CgroupSet::thaw() {
  if (const Group* unified = unifiedGroup()) tryWriteCgroupFile(unified->dir, "cgroup.freeze", "0");
  if (const Group* freezer = find("freezer")) tryWriteCgroupFile(freezer->dir, "freezer.state", "THAWED");
}

bool CgroupSet::frozen() const {
  if (const Group* unified = unifiedGroup()) {
    if (fieldOf(readCgroupFile(unified->dir, "cgroup.events").value_or(""), "frozen") == 1) return true;
  }
  const Group* freezer = find("freezer");
  return freezer != nullptr && readCgroupFile(freezer->dir, "freezer.state").value_or("THAWED") != "THAWED";
}

void CgroupSet::killAll() {
  if (const Group* unified = unifiedGroup(); unified && tryWriteCgroupFile(unified->dir, "cgroup.kill", "1")) {
    thaw();  // v1's freezer holds even SIGKILL back
    return;
  }
  for (int round = 0; round < 64; ++round) {  // until no new ones are forked behind our back
    const auto running = pids();
    for (const pid_t pid : running) ::kill(pid, SIGKILL);
    thaw();
    if (running.empty()) return;
    pause(1ms);
  }
}

std::vector<pid_t> CgroupSet::pids() const {
  const Group* group = unifiedGroup();
  if (group == nullptr) group = find("pids");
  if (group == nullptr && !groups_.empty()) group = &groups_.front();
  std::vector<pid_t> out;
  if (group != nullptr) collectPids(group->dir, out);
  return out;
}

uint64_t CgroupSet::oomKills() const {
  const Group* memory = find("memory");
  if (memory == nullptr) return 0;
  return fieldOf(readCgroupFile(memory->dir, memory->v2 ? "memory.events" : "memory.oom_control").value_or(""),
                 "oom_kill");
}

Fd CgroupSet::oomEvents() const {
  const Group* memory = find("memory");
  if (memory == nullptr) return {};
  if (memory->v2) {
    Fd watch(sys([&] { return ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }, "watch for OOM events"));
    const std::string file = memory->dir + "/memory.events";
    sys([&] { return ::inotify_add_watch(watch.get(), file.c_str(), IN_MODIFY); }, "watch '{}'", file);
    return watch;
  }
  Fd event(sys([&] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }, "watch for OOM events"));
  const Fd control = openFile(memory->dir + "/memory.oom_control", O_RDONLY);
  writeCgroupFile(memory->dir, "cgroup.event_control", fmt::format("{} {}", event.get(), control.get()));
  return event;
}

void CgroupSet::remove() {
  const auto deadline = monotonic() + 2s;
  auto wait = 1ms;
  for (;;) {
    std::string busy;
    for (const auto& group : groups_) {
      if (!tryRemove(group.dir)) busy = group.dir;
    }
    if (busy.empty()) break;
    if (monotonic() > deadline) fail(Code::conflict, "cgroup '{}' still holds processes", busy);
    pause(wait);
    wait = std::min(wait * 2, std::chrono::milliseconds(16));
  }
  owned_ = false;
  groups_.clear();
  unified_.reset();
}

void CgroupSet::attachSelf(bool unifiedToo) const {
  for (const auto& group : groups_) {
    if (!group.v2) {
      writeCgroupFile(group.dir, "tasks", "0");
    } else if (unifiedToo) {
      writeCgroupFile(group.dir, "cgroup.procs", "0");
    }
  }
}

}  // namespace estiba::runtime
