#pragma once
// The build cache: one record per step, with every input by name, so that a hit is one look-up and a miss can be
// explained.

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "db/db.h"
#include "snapshot/layers.h"

namespace estiba::build {

/// Tables build_step, context_index.
extern const db::Schema kSchema;

/// What a step depends on, by name: {"parent", key}, {"command", …}, {"env PATH", …}, {"file src/main.c", "100644 …"}.
using Inputs = std::vector<std::pair<std::string, std::string>>;

/// The sha256 of all inputs, in order.
std::string keyOf(const Inputs& inputs);

struct StepRecord {
  std::string key;
  std::string text;            ///< the instruction as written: finds the nearest earlier record
  snapshot::LayerId layer;
  Time created;
  std::chrono::nanoseconds took{};  ///< when it ran
};

struct CacheEntry {
  StepRecord record;
  int64_t size = 0;  ///< bytes of its layer
  Time lastUsed;
  int64_t uses = 0;
  bool shared = false;  ///< an image has its layer too
};

/// The build cache of one engine root. Any thread, several processes.
class StepCache {
 public:
  explicit StepCache(db::Pool& pool) : pool_(pool) {}
  std::optional<StepRecord> find(const std::string& key);
  /// The layer is hashed. An equal key that is there is replaced.
  void put(const StepRecord& record, const Inputs& inputs);
  void touch(const std::vector<std::string>& keys);
  /// Inputs of the youngest record of an instruction with this text; its parent's key equal, if there is one.
  std::optional<Inputs> nearest(const std::string& text, const std::string& parentKey);

  std::vector<CacheEntry> list();
  /// Forgets records: all of them, or those that no image shares a layer with; not used since `unusedSince`; oldest
  /// first until no more than `keepBytes` remain. Returns what went; layers are left to Layers::collect.
  std::vector<CacheEntry> prune(bool all, std::optional<Time> unusedSince, int64_t keepBytes);

  /// The digests of a context's files, as remembered (see tree_digest.h).
  std::string contextIndex(const std::string& name);
  void setContextIndex(const std::string& name, const std::string& bytes);

 private:
  db::Pool& pool_;
};

}  // namespace estiba::build
