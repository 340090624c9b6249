#include "engine/disk_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "sys/file.h"

namespace estiba::engine {

namespace {

constexpr uint64_t kMost = 2 << 20, kParts = 4;
constexpr uint64_t kScarce = 256 << 10;  // what a few transactions need

void settle(const std::string& root) {
  struct statvfs disk {};
  if (::statvfs(root.c_str(), &disk) != 0) return;
  const uint64_t available = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  const uint64_t reserve = std::min(kMost, static_cast<uint64_t>(disk.f_blocks) * disk.f_frsize / 16);
  const uint64_t part = reserve / kParts, plenty = 4 * reserve;
  if (available >= kScarce && available < plenty) return;
  const std::string path = root + "/reserve";
  struct stat st {};
  const bool there = ::stat(path.c_str(), &st) == 0;
  const uint64_t held = there ? static_cast<uint64_t>(st.st_size) : 0;
  if (available < kScarce && held > 0) {
    ::truncate(path.c_str(), static_cast<off_t>(held - std::min(held, part))) == 0
        ? log::debug("'{}' is full: {} bytes of the reserve are given to it", root, part)
        : log::debug("'{}' is full", root);
  } else if (available >= plenty && held < reserve) {
    const Fd fd = openFile(path, O_WRONLY | O_CREAT, 0600);
    ::posix_fallocate(fd.get(), 0, static_cast<off_t>(reserve));  // no reserve is no failure
  }
}

}  // namespace

void giveDiskReserve(const std::string& root) noexcept {
  try {
    settle(root);
  } catch (const std::exception& e) {
    log::debug("disk reserve: {}", e.what());
  }
}

}  // namespace estiba::engine
