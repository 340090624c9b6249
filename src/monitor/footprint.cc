#include "monitor/footprint.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

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

}  // namespace

void shrinkFootprint() noexcept {
  ::malloc_trim(0);
  ::dl_iterate_phdr(dropSegments, nullptr);
}

}  // namespace estiba::monitor
