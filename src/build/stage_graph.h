#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <map>

#include "build/dockerfile/stages.h"
#include "build/stage_state.h"

namespace estiba::build {

/// The stages that a plan's target needs, run at the same time: each waits for another only where an instruction needs
/// that one's result.
class StageGraph {
 public:
  explicit StageGraph(const Plan& plan);

  /// Runs them all to their end. Returns the failure that ended the build, not the cancellations that came of it;
  /// null where all went well.
  std::exception_ptr run(const std::function<StageState(size_t stage)>& runStage);
  /// What a stage was at its end; waits for it. Throws Error(cancelled) where it has failed. Any thread.
  StageState result(size_t stage) const;
  /// Throws Error(cancelled) where a stage has failed: the others need not go on.
  void checkGoingOn() const;

 private:
  const Plan& plan_;
  std::map<size_t, std::promise<StageState>> promises_;
  std::map<size_t, std::shared_future<StageState>> results_;
  std::atomic<bool> failed_{false};
};

}  // namespace estiba::build
