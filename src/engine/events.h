#pragma once
// What happened, as rows: every engine on this root sees the same past.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "db/db.h"

namespace estiba::engine {

struct Event {
  int64_t sequence = 0;
  Time time;
  std::string type;    ///< container, image, network, volume, builder
  std::string action;  ///< create, start, die …
  std::string actor;   ///< the ID (or name, for images) of what it happened to
  std::map<std::string, std::string> attributes;
};

extern const db::Schema kEventSchema;

class Events {
 public:
  explicit Events(db::Pool& pool) : pool_(pool) {}
  /// Never throws: an event that cannot be written is logged; what it tells of has happened all the same.
  void record(const std::string& type, const std::string& action, const std::string& actor,
              const std::map<std::string, std::string>& attributes) noexcept;
  /// Those after `sequence`, oldest first.
  std::vector<Event> after(int64_t sequence, size_t limit = 1000);
  std::vector<Event> between(Time since, Time until);

 private:
  db::Pool& pool_;
};

}  // namespace estiba::engine
