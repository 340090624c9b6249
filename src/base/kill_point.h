#pragma once
// Named places where a test may end the process, to see what is left behind (tests/chaos). Nothing happens there unless
// a hook is set.

#include <atomic>

namespace estiba {

using KillHook = void (*)(const char* name);
inline std::atomic<KillHook> killHook{nullptr};

inline void killPoint(const char* name) {
  if (const KillHook hook = killHook.load(std::memory_order_relaxed); hook != nullptr) hook(name);
}

}  // namespace estiba
