#pragma once

#include <cstddef>
#include <memory>

namespace estiba::monitor {

/// The one buffer that everything is read into: shared, as one thread uses it at a time. Its memory is taken at first
/// use, page by page, and given back by release().
class Scratch {
 public:
  static constexpr size_t kSize = 256 * 1024;
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { release(); }
  /// Throws std::bad_alloc.
  char* data();
  void release() noexcept;

 private:
  char* data_ = nullptr;
};

}  // namespace estiba::monitor
