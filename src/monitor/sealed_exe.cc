#include "monitor/sealed_exe.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <optional>

#include "base/error.h"
#include "sys/file.h"
#include "sys/mount.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace estiba::monitor {

namespace {

std::optional<Fd> readOnlyClone(const std::string& path) {
  try {
    Fd mount = cloneTree(path, false);
    setMountAttributes(mount.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, 0, 0, false);
    return mount;
  } catch (const SysError&) {  // no privilege, or the binary is on a mount of no namespace: a monitor's own
    return std::nullopt;
  }
}

}  // namespace

Fd sealedCopy(const std::string& path) {
  const Fd from = openFile(path, O_RDONLY);
  struct stat st {};
  sys([&] { return ::fstat(from.get(), &st); }, "stat '{}'", path);
  int made = ::memfd_create("estiba", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (made < 0 && errno == EINVAL) made = ::memfd_create("estiba", MFD_CLOEXEC | MFD_ALLOW_SEALING);  // before 6.3
  Fd copy(sys([&] { return made; }, "make a file in memory"));
  for (off_t done = 0; done < st.st_size;) {
    const auto n =
        sys([&] { return ::sendfile(copy.get(), from.get(), &done, static_cast<size_t>(st.st_size - done)); },
            "copy '{}'", path);
    if (n == 0) fail(Code::internal, "'{}' became shorter", path);
  }
  sys([&] { return ::fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE); },
      "seal the copy of '{}'", path);
  return copy;
}

Fd sealedExecutable(const std::string& path) {
  if (auto clone = readOnlyClone(path)) return std::move(*clone);
  Fd asItIs = openFile(path, O_PATH);
  struct statvfs st {};
  if (::fstatvfs(asItIs.get(), &st) == 0 && (st.f_flag & ST_RDONLY) != 0) return asItIs;
  return sealedCopy(path);
}

}  // namespace estiba::monitor
