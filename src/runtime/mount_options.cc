#include "runtime/mount_options.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/root_dir.h"

namespace estiba::runtime {

namespace {

struct AttributeWord {
  std::string_view word;
  uint64_t set, clear;
};

constexpr AttributeWord kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},  // the access time modes are one field: clear it all
    {"norelatime", 0, MOUNT_ATTR__ATIME},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", 0, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", 0, MOUNT_ATTR__ATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

const AttributeWord* attributeOf(std::string_view word) {
  for (const auto& item : kAttributes) {
    if (item.word == word) return &item;
  }
  return nullptr;
}

// The later word wins, as with mount(8).
void apply(const AttributeWord& word, uint64_t& set, uint64_t& clear) {
  set = (set & ~word.clear) | word.set;
  clear = (clear & ~(word.set & ~MOUNT_ATTR__ATIME)) | word.clear;
}

bool isIgnored(std::string_view word) {
  return word == "defaults" || word == "remount" || word == "bind" || word == "rbind" || word == "async" ||
         word == "nomand" || word == "loud" || word == "silent" || word == "nolazytime" || word == "noiversion";
}

bool readAttribute(const std::string& word, MountPlan& plan) {
  if (const auto* own = attributeOf(word)) {
    apply(*own, plan.set, plan.clear);
    return true;
  }
  if (word.size() > 1 && word[0] == 'r') {
    if (const auto* below = attributeOf(std::string_view(word).substr(1))) {
      apply(*below, plan.recursiveSet, plan.recursiveClear);
      return true;
    }
  }
  return false;
}

void readOption(const std::string& word, MountPlan& plan) {
  bool recursive = false;
  if (word == "bind" || word == "rbind") {
    plan.bind = true;
    plan.recursiveBind = word == "rbind";
  } else if (word == "tmpcopyup") {
    plan.copyUp = true;
  } else if (word == "idmap" || word == "ridmap") {
    fail(Code::not_implemented, "mount option '{}' is not supported", word);
  } else if (const uint64_t propagation = propagationOf(word, recursive)) {
    plan.propagation = propagation;
    plan.recursivePropagation = recursive;
  } else if (!isIgnored(word) && !readAttribute(word, plan)) {
    auto [key, value] = cut(word, '=');
    plan.data.emplace_back(std::move(key), value.value_or(""));
  }
}

}  // namespace

bool MountPlan::has(std::string_view key) const {
  return std::any_of(data.begin(), data.end(), [&](const auto& item) { return item.first == key; });
}

uint64_t propagationOf(std::string_view word, bool& recursive) {
  recursive = word.starts_with("r");
  if (recursive) word.remove_prefix(1);
  if (word == "private") return MS_PRIVATE;
  if (word == "shared") return MS_SHARED;
  if (word == "slave") return MS_SLAVE;
  if (word == "unbindable") return MS_UNBINDABLE;
  return 0;
}

MountPlan planMount(const oci::Mount& mount, const std::string& bundle) {
  if (mount.uidMappings || mount.gidMappings) {
    fail(Code::not_implemented, "id-mapped mount on '{}' is not supported", mount.destination);
  }
  MountPlan plan;
  plan.destination = cleanPath(mount.destination);
  if (plan.destination == "/") fail(Code::invalid, "mount destination '{}' is the root", mount.destination);
  plan.type = mount.type.value_or("");
  plan.source = mount.source.value_or("");
  if (plan.type == "bind") {
    plan.bind = true;
  }
  for (const auto& word : mount.options) readOption(word, plan);
  if (plan.bind) {
    if (plan.source.empty()) fail(Code::invalid, "bind mount on '{}' has no source", plan.destination);
    if (plan.source[0] != '/') plan.source = bundle + "/" + plan.source;
  } else if (plan.type.empty()) {
    fail(Code::invalid, "mount on '{}' has no type", plan.destination);
  }
  return plan;
}

bool isAllowedInProc(const std::string& destination) {
  constexpr std::string_view kAllowed[] = {"/proc/cpuinfo",
                                           "/proc/diskstats",
                                           "/proc/meminfo",
                                           "/proc/stat",
                                           "/proc/swaps",
                                           "/proc/uptime",
                                           "/proc/loadavg",
                                           "/proc/slabinfo",
                                           "/proc/sys/kernel/ns_last_pid",
                                           "/proc/sys/crypto/fips_enabled"};
  return std::find(std::begin(kAllowed), std::end(kAllowed), destination) != std::end(kAllowed);
}

void checkProcDestination(const MountPlan& mount) {
  const std::string& to = mount.destination;
  if (to == "/proc") {
    if (mount.type == "proc" && !mount.bind) return;
    const auto source = mount.bind ? tryOpen(mount.source, O_PATH) : std::nullopt;
    if (source && isOnFileSystem(source->get(), PROC_SUPER_MAGIC)) return;
    fail(Code::invalid, "{} cannot be mounted because it is not of type proc", quoted(to));
  }
  if (to.starts_with("/proc/") && !isAllowedInProc(to)) {
    fail(Code::invalid, "{} cannot be mounted because it is inside /proc", quoted(to));
  }
}

}  // namespace estiba::runtime
