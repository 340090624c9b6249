#include "engine/context.h"

#include "engine/execs.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "build/step_cache.h"
#include "engine/disk_reserve.h"
#include "sys/file.h"
#include "sys/lease.h"

namespace estiba::engine {

namespace {

Config prepared(Config config) {
  for (const auto& dir : {config.root, config.execRoot}) {
    if (!dir.starts_with('/')) fail(Code::invalid, "root directory '{}' is not absolute", dir);
  }
  try {
    makeDirs(config.root, 0711);
    makeDirs(config.root + "/containers", 0700);
    makeDirs(config.execRoot + "/containers", 0700);
    makeDir(config.execRoot + "/cache", 0700);
    giveDiskReserve(config.root);
  } catch (const SysError& e) {
    if (e.err() == EACCES || e.err() == EPERM) {
      fail(Code::forbidden,
           "permission denied while preparing the engine's directories: {}: run it as root, or give directories of your "
           "own with --root and --exec-root",
           e.what());
    }
    throw;
  }
  return config;
}

const std::vector<db::Schema>& schemas() {
  static const std::vector<db::Schema> all = {content::kSchema, snapshot::kSchema, image::kSchema,      net::kSchema,
                                              volume::kSchema,  container::kSchema, kExecSchema, kEventSchema, build::kSchema};
  return all;
}

// The tables are there before the first service looks at them.
std::unique_ptr<db::Connection> migrated(const std::string& path) {
  auto connection = std::make_unique<db::Connection>(path);
  connection->migrate(schemas());
  return connection;
}

net::Options netOptions(const Config& config) {
  net::Options options;
  options.root = config.root;
  return options;
}

}  // namespace

Context::Context(Config asked)
    : config(prepared(std::move(asked))),
      layout(config),
      presence(layout.engines()),
      rootLock_(FileLock::acquire(layout.rootLock(), FileLock::Kind::shared)),
      pool(migrated(layout.database())),
      events(pool),
      content(pool, config.root),
      snapshots(pool, config.root),
      images(pool, content, snapshots),
      volumes(pool, config.root),
      networks(pool, netOptions(config)),
      records(pool) {}

const container::HostFacts& Context::hostFacts(bool withDevices) {
  std::lock_guard lock(factsMutex_);
  auto& facts = facts_[withDevices ? 1 : 0];
  if (!facts) facts = container::HostFacts::read(withDevices);
  return *facts;
}

bool Context::needsSweep() const {
  constexpr off_t kLongLog = 512 * 1024;  // its pages are read, and summed, by the next command that opens the database
  struct stat st{};
  return (::stat((layout.database() + "-wal").c_str(), &st) == 0 && st.st_size > kLongLog) ||
         !listDir(config.root + "/trash").empty();
}

void Context::poke(const std::string& containerId) noexcept {
  try {
    writeFile(layout.containerDir(containerId) + "/state", "\n", 0600);
  } catch (const std::exception& e) {
    log::debug("poke {}: {}", containerId, e.what());  // the directory is gone: so is the container
  }
}

const std::string& Context::initLayer() {
  std::call_once(initOnce_, [this] {
    const std::string dir = config.root + "/init";
    if (!exists(dir)) {
      // Filled beside its place and renamed: another engine sees all of it or nothing.
      const auto made = makeLockedDir(config.root, "init.");
      const std::string fresh = config.root + "/" + made.first;
      sys([&] { return ::chmod(fresh.c_str(), 0755); }, "chmod '{}'", fresh);
      for (const char* sub : {"/dev", "/dev/pts", "/dev/shm", "/proc", "/sys", "/etc"}) makeDir(fresh + sub, 0755);
      for (const char* file : {"/dev/console", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
        writeFile(fresh + file, "", 0755);
      }
      sys([&] { return ::symlink("/proc/mounts", (fresh + "/etc/mtab").c_str()); }, "make '{}/etc/mtab'", fresh);
      if (::rename(fresh.c_str(), dir.c_str()) != 0) {
        const int e = errno;
        removeTree(fresh);
        if (e != EEXIST && e != ENOTEMPTY) throw SysError(e, fmt::format("make '{}'", dir));
      }
    }
    initLayer_ = dir;
  });
  return initLayer_;
}

bool Context::tidy(std::string_view what, const std::function<void()>& up) noexcept {
  for (const bool last : {false, true}) {
    try {
      up();
      return true;
    } catch (const std::exception& e) {
      giveDiskReserve(config.root);
      if (last) log::warn("{}: {}", what, e.what());
    }
  }
  presence.leaveUnclean();
  return false;
}

image::UsersOf Context::imageUsers() {
  return [this](const image::ImageId& id) {
    std::vector<image::ContainerUse> uses;
    for (const auto& record : records.usersOfImage(id.str())) uses.push_back({record.id, record.isUp()});
    return uses;
  };
}

}  // namespace estiba::engine
