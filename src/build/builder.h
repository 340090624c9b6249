#pragma once
// From a Dockerfile and its context to an image: stages, steps, cache.

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "apitypes/build_trace.h"
#include "build/progress.h"
#include "build/step_cache.h"
#include "build/step_runner.h"
#include "image/images.h"

namespace estiba::build {

/// What a build works with. Outlives it.
struct BuildServices {
  image::Images& images;
  StepCache& cache;
  StepRunner& runner;
  std::string root;      ///< the engine's: <root>/tmp and <root>/buildcache are ours
  std::string initLayer; ///< a directory that lies on top of every RUN's layers: mount points of /proc and the like
};

/// How one step went: what `--explain` is made of.
struct StepReport {
  std::string text;                 ///< the instruction
  std::string shown;                ///< "[2/5] RUN …"
  bool cached = false;
  std::chrono::nanoseconds took{};
  std::vector<std::string> reasons; ///< why it was not cached, its own reasons first; empty where it was
  bool onlyParent = false;          ///< nothing of its own changed: an earlier step did
};

struct BuildResult {
  std::string id;                  ///< of the image; empty where none was made
  std::vector<std::string> tagged;  ///< the names that it was given in the store
  json::object metadata;            ///< what is known of it: "containerimage.digest" …
  std::optional<apitypes::BuildCall> call;  ///< of a request that was a call: there is no image then
  std::vector<StepReport> reports;          ///< of steps that make layers, in the order of the file
};

/// `given`: the directory, or with request.contextTar a tar file; empty for none. Throws DockerfileError, Error.
/// The excerpt of the Dockerfile that belongs to an error has been told to `progress` then.
BuildResult build(const BuildServices& services, const apitypes::BuildRequest& request, std::vector<Fd> fds,
                  Progress& progress, std::stop_token stop);

/// The text of `--explain`.
std::string explanation(const std::vector<StepReport>& reports);

}  // namespace estiba::build
