#pragma once
// One engine: the services over one pair of root directories.

#include "engine/builds.h"
#include "engine/commit.h"
#include "engine/containers.h"
#include "engine/context.h"
#include "engine/execs.h"
#include "engine/lifecycle.h"
#include "engine/recovery.h"
#include "engine/system.h"

namespace estiba::engine {

class Engine {
 public:
  explicit Engine(Config config)
      : context(std::move(config)), containers(context), lifecycle(context, containers), execs(context), builds(context), system(context) {}

  /// To be held while anything is changed. The first one recovers, where that is due.
  Presence::Work work() {
    return context.presence.begin([this] { recover(); });
  }
  void recover() { engine::recover(context, containers, lifecycle); }

  Context context;
  Containers containers;
  Lifecycle lifecycle;
  Execs execs;
  Builds builds;
  System system;
};

}  // namespace estiba::engine
