#pragma once
// Building images: the builder with this engine's containers under its RUN steps.

#include "apitypes/build.h"
#include "apitypes/build_trace.h"
#include "build/builder.h"
#include "engine/context.h"
#include "engine/launcher.h"

namespace estiba::engine {

/// A build step is a bundle without a container record.
class StepProcesses : public build::StepRunner {
 public:
  explicit StepProcesses(Context& context) : ctx_(context), launcher_(context) {}
  int run(const build::StepProcess& process, const build::StepOutput& output, std::stop_token stop) override;

 private:
  Context& ctx_;
  Launcher launcher_;
};

class Builds {
 public:
  explicit Builds(Context& context) : ctx_(context), runner_(context), cache_(context.pool) {}
  build::BuildResult run(const apitypes::BuildRequest& request, std::vector<Fd> fds, build::Progress& progress,
                         std::stop_token stop);
  std::vector<apitypes::BuildCache> cache();
  /// Filters: until (or unused-for), id. `keepBytes` 0: keep nothing.
  apitypes::BuildCachePruneReport prune(bool all, const std::map<std::string, std::vector<std::string>>& filters,
                                        int64_t keepBytes);

 private:
  Context& ctx_;
  StepProcesses runner_;
  build::StepCache cache_;
};

}  // namespace estiba::engine
