#include "monitor/footprint.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

namespace estiba::monitor {

namespace {

constexpr uintptr_t kPage = 4096;

struct Range {
  uintptr_t begin = 0, size = 0;
};

// What to drop, on the stack: the heap has just been trimmed.
struct Ranges {
  static constexpr int kMax = 64;
  Range all[kMax];
  int count = 0;
  void add(uintptr_t begin, uintptr_t end) {
    if (count < kMax && end > begin) all[count++] = {begin, end - begin};
  }
};

// Of a writable segment only the pages that are still the file's: dropping a changed one would lose what it holds.
// Source: kernel admin-guide/mm/pagemap, bit 63 present, bit 61 file page or shared anonymous.
void addUnchanged(Ranges& ranges, uintptr_t begin, uintptr_t end) {
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) return;
  uint64_t entries[64];
  for (uintptr_t at = begin; at < end;) {
    const size_t wanted = std::min<size_t>(64, (end - at) / kPage) * sizeof(uint64_t);
    const ssize_t got = ::pread(pagemap, entries, wanted, static_cast<off_t>(at / kPage * sizeof(uint64_t)));
    if (got <= 0) break;
    uintptr_t runBegin = 0;
    for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uint64_t); ++i, at += kPage) {
      const bool file = (entries[i] >> 63 & 1) != 0 && (entries[i] >> 61 & 1) != 0;
      if (file && runBegin == 0) runBegin = at;
      if (!file && runBegin != 0) ranges.add(std::exchange(runBegin, 0), at);
    }
    if (runBegin != 0) ranges.add(runBegin, at);
  }
  ::close(pagemap);
}

int addSegments(dl_phdr_info* info, size_t, void* argument) {
  auto& ranges = *static_cast<Ranges*>(argument);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    const uintptr_t begin = (info->dlpi_addr + segment.p_vaddr) & ~(kPage - 1);
    const uintptr_t fileEnd = info->dlpi_addr + segment.p_vaddr + segment.p_filesz;
    const bool writable = (segment.p_flags & PF_W) != 0;
    // The last page of a writable segment holds zeroed memory as well; a read-only one is a file's to its end.
    const uintptr_t end = writable ? fileEnd & ~(kPage - 1) : (fileEnd + kPage - 1) & ~(kPage - 1);
    writable ? addUnchanged(ranges, begin, end) : ranges.add(begin, end);
  }
  return 0;
}

// What deeper calls have used of the stack, but for a little below the present one. Only pages that are the stack's are
// there: the kernel keeps everything else far from it.
void addStack(Ranges& ranges) {
  constexpr uintptr_t kKeep = 2 * kPage, kReach = 1024 * 1024;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - kKeep) & ~(kPage - 1);
  ranges.add(end - kReach, end);
}

#if defined(__x86_64__)
// From here on nothing may be called: the first instruction after a page was dropped brings it (and its neighbours: the
// kernel maps 64 KiB around a fault) back, so the loop and the wait must stand together.
inline __attribute__((always_inline)) long rawSyscall(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

__attribute__((noinline, aligned(512), optimize("no-stack-protector"))) int dropAndWait(const Ranges& ranges,
                                                                                        int epollFd,
                                                                                        epoll_event* events,
                                                                                        int count) noexcept {
  for (int i = 0; i < ranges.count; ++i) {
    rawSyscall(SYS_madvise, static_cast<long>(ranges.all[i].begin), static_cast<long>(ranges.all[i].size),
               MADV_DONTNEED, 0);
  }
  return static_cast<int>(rawSyscall(SYS_epoll_wait, epollFd, reinterpret_cast<long>(events), count, -1));
}
#else
int dropAndWait(const Ranges& ranges, int epollFd, epoll_event* events, int count) noexcept {
  for (int i = 0; i < ranges.count; ++i) {
    ::madvise(reinterpret_cast<void*>(ranges.all[i].begin), ranges.all[i].size, MADV_DONTNEED);
  }
  const int n = ::epoll_wait(epollFd, events, count, -1);
  return n < 0 ? -errno : n;
}
#endif

}  // namespace

int waitCompactly(int epollFd, epoll_event* events, int count) noexcept {
  ::malloc_trim(0);
  Ranges ranges;
  addStack(ranges);
  ::dl_iterate_phdr(addSegments, &ranges);
  const int n = dropAndWait(ranges, epollFd, events, count);
  if (n >= 0) return n;
  errno = -n;
  return -1;
}

}  // namespace estiba::monitor
