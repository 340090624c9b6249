#pragma once
// The keys that leave an attached terminal without ending it. Source: docker attach --detach-keys.

#include <string>
#include <string_view>

namespace estiba {

inline constexpr const char* kDefaultDetachKeys = "ctrl-p,ctrl-q";

/// "ctrl-p,ctrl-q" -> the bytes. Each key is one ASCII character or "ctrl-" and one of a-z @ [ \ ] ^ _ .
/// Throws Error(invalid) in Docker's words.
std::string parseDetachKeys(const std::string& spec);

/// Finds a sequence in a stream of input. A started sequence is held back until it is complete or broken.
class DetachMatcher {
 public:
  explicit DetachMatcher(std::string keys) : keys_(std::move(keys)) {}
  struct Result {
    std::string pass;       ///< what goes on to the container
    bool detached = false;  ///< the keys were there; what follows them is dropped
  };
  Result feed(std::string_view input);

 private:
  std::string keys_;
  size_t matched_ = 0;
};

}  // namespace estiba
