#include "build/stage_graph.h"

#include <thread>
#include <vector>

#include "base/error.h"

namespace estiba::build {

StageGraph::StageGraph(const Plan& plan) : plan_(plan) {
  for (const size_t stage : plan.order) results_[stage] = promises_[stage].get_future().share();
}

std::exception_ptr StageGraph::run(const std::function<StageState(size_t)>& runStage) {
  {
    std::vector<std::jthread> threads;
    for (const size_t stage : plan_.order) {
      threads.emplace_back([this, &runStage, stage] {
        try {
          promises_.at(stage).set_value(runStage(stage));
        } catch (...) {
          failed_ = true;
          promises_.at(stage).set_exception(std::current_exception());
        }
      });
    }
  }  // joins
  std::exception_ptr first;
  for (const size_t stage : plan_.order) {
    try {
      results_.at(stage).get();
    } catch (const Error& e) {
      if (e.code() != Code::cancelled) return std::current_exception();
      if (!first) first = std::current_exception();
    } catch (...) {
      return std::current_exception();
    }
  }
  return first;
}

StageState StageGraph::result(size_t stage) const {
  try {
    return results_.at(stage).get();
  } catch (const std::exception&) {
    fail(Code::cancelled, "another stage has failed");  // run() tells what failed, and where
  }
}

void StageGraph::checkGoingOn() const {
  if (failed_) fail(Code::cancelled, "another stage has failed");
}

}  // namespace estiba::build
