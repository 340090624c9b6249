#include "monitor/footprint.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>

namespace estiba::monitor {

namespace {

// Read-only segments of every loaded object. Never writable ones: their private pages hold data.
int dropSegments(dl_phdr_info* info, size_t, void*) {
  constexpr ElfW(Addr) kPage = 4096;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const ElfW(Addr) begin = (info->dlpi_addr + segment.p_vaddr) & ~(kPage - 1);
    const ElfW(Addr) end = (info->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(kPage - 1);
    if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

// What deeper calls have used of the stack, but for a little below the present one. Only pages that are the stack's are
// there: the kernel keeps everything else far from it.
void dropStack() {
  constexpr uintptr_t kKeep = 8 * 1024, kReach = 1024 * 1024;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t end = (here - kKeep) & ~uintptr_t{4095};
  ::madvise(reinterpret_cast<void*>(end - kReach), kReach, MADV_DONTNEED);
}

}  // namespace

void shrinkFootprint() noexcept {
  ::malloc_trim(0);
  dropStack();
  ::dl_iterate_phdr(dropSegments, nullptr);
}

}  // namespace estiba::monitor
