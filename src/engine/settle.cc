// Containers whose engine, or monitor, was killed while they were between two states.
#include <poll.h>

#include "engine/lifecycle.h"
#include "monitor/client.h"
#include "sys/file.h"
#include "sys/lease.h"

namespace estiba::engine {

namespace {

using container::Record;
using container::State;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kMonitorEnds{5};
constexpr milliseconds kClaimPause{10};

bool isHalfWay(State state) { return state == State::starting || state == State::removing; }

}  // namespace

bool Lifecycle::isSettled(const Record& record) const {
  if (isHalfWay(record.state)) return false;
  return !record.isUp() || monitor::isHeld(ctx_.layout.runDir(record.id));
}

void Lifecycle::settle(const std::string& id, milliseconds patience) {
  const std::string dir = ctx_.layout.containerDir(id);
  auto record = ctx_.records.find(id);
  if (!record || isSettled(*record)) return;
  const auto work = ctx_.presence.join();
  if (isHalfWay(record->state)) {
    // An engine that is at it holds the directory, most often for milliseconds only.
    Fd claim = claimDir(dir);
    for (auto left = patience; !claim && left.count() > 0 && exists(dir); left -= kClaimPause) {
      ::poll(nullptr, 0, kClaimPause.count());
      claim = claimDir(dir);
    }
    record = ctx_.records.find(id);
    if (!record || (!claim && exists(dir))) return;
    if (record->state == State::starting) settleStart(*record);
    if (record->state == State::removing) ctx_.records.move(id, State::removing, State::dead);
  }
  record = ctx_.records.find(id);
  if (record && record->isUp() && !monitor::isHeld(ctx_.layout.runDir(id))) tryReap(id);
}

void Lifecycle::settleStart(const Record& record) {
  const std::string run = ctx_.layout.runDir(record.id);
  if (monitor::isHeld(run)) {
    const auto monitor = monitor::Monitor::at(run);
    try {
      const auto state = monitor.state();
      if (state.status == "running" || state.status == "paused") {
        const auto started = parseRfc3339(state.startedAt).value_or(now());
        ctx_.records.setRunning(record.id, state.pid, state.startTime, started);
        if (state.status == "paused") ctx_.records.move(record.id, State::running, State::paused);
        return;
      }
    } catch (const Error&) {  // it is about to end: nobody will start what it made
    }
    if (!monitor.waitGone(kMonitorEnds)) return;
  }
  const auto ended = monitor::readExit(run);
  if (ended && !ended->startedAt.empty()) {  // it ran and has ended: reaped like any other
    ctx_.records.setRunning(record.id, 0, 0, parseRfc3339(ended->startedAt).value_or(now()));
    return;
  }
  launcher_.removeGroups(record.id);
  launcher_.release(record.id);
  ctx_.records.setExited(record.id, record.startedAt.ns == 0 ? State::created : State::exited, 128, false,
                         "the engine was killed while it started the container", now());
  ctx_.poke(record.id);
}

}  // namespace estiba::engine
