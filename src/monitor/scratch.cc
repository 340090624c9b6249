#include "monitor/scratch.h"

#include <sys/mman.h>

#include <new>

namespace estiba::monitor {

char* Scratch::data() {
  if (data_ == nullptr) {  // not malloc: its threshold moves, and the pages would stay in the heap
    void* p = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<char*>(p);
  }
  return data_;
}

void Scratch::release() noexcept {
  if (data_ != nullptr) ::munmap(data_, kSize);
  data_ = nullptr;
}

}  // namespace estiba::monitor
