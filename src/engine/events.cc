#include "engine/events.h"

#include "base/json.h"
#include "base/log.h"

namespace estiba::engine {

const db::Schema kEventSchema{"event",
                              {R"(
CREATE TABLE event (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  type TEXT NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  attributes TEXT NOT NULL
) STRICT;
CREATE INDEX event_time ON event (time);
)"}};

namespace {

constexpr int64_t kKept = 4096;  // older ones are dropped, now and then

std::vector<Event> readAll(db::Statement& row) {
  std::vector<Event> out;
  while (row.step()) {
    Event e;
    e.sequence = row.integer(0);
    e.time = {row.integer(1)};
    e.type = row.text(2);
    e.action = row.text(3);
    e.actor = row.text(4);
    fromJson(parseJson(row.text(5), "event attributes"), e.attributes);
    out.push_back(std::move(e));
  }
  return out;
}

}  // namespace

void Events::record(const std::string& type, const std::string& action, const std::string& actor,
                    const std::map<std::string, std::string>& attributes) noexcept {
  try {
    auto connection = pool_.get();
    connection->prepare("INSERT INTO event (time, type, action, actor, attributes) VALUES (?, ?, ?, ?, ?)")
        .bind(now().ns)
        .bind(type)
        .bind(action)
        .bind(actor)
        .bind(dumpJsonOf(attributes))
        .run();
    const int64_t sequence = connection->lastInsertId();
    if (sequence % 256 == 0) {
      connection->prepare("DELETE FROM event WHERE sequence <= ?").bind(sequence - kKept).run();
    }
  } catch (const std::exception& e) {
    log::error("record event {} {} of {}: {}", type, action, actor, e.what());
  }
}

std::vector<Event> Events::after(int64_t sequence, size_t limit) {
  auto connection = pool_.get();
  auto row = connection->prepare(
      "SELECT sequence, time, type, action, actor, attributes FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?");
  return readAll(row.bind(sequence).bind(static_cast<int64_t>(limit)));
}

std::vector<Event> Events::between(Time since, Time until) {
  auto connection = pool_.get();
  auto row = connection->prepare(
      "SELECT sequence, time, type, action, actor, attributes FROM event WHERE time >= ? AND time <= ? ORDER BY sequence");
  return readAll(row.bind(since.ns).bind(until.ns));
}

}  // namespace estiba::engine
