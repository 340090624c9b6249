#pragma once
// What the names in a Dockerfile lead to: images, stages, the build context.

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "build/context.h"
#include "build/dockerfile/stages.h"
#include "build/stage_graph.h"

namespace estiba::build {

/// The images of this build, each looked up once and held. Any thread.
class BaseImages {
 public:
  explicit BaseImages(Session& session) : s_(session) {}
  /// `origin`: of kind image or named. `platform`: of FROM --platform; empty: the build's. Throws Error(not_found), also
  /// for an image of another platform than was asked for.
  const image::Resolved& open(const Origin& origin, const std::string& platform = {});

 private:
  const image::Resolved& find(const std::string& name);

  Session& s_;
  std::mutex mutex_;
  std::map<std::string, image::Resolved> images_;
};

/// Where steps take files from. Any thread.
class Sources {
 public:
  /// All outlive it.
  Sources(Session& session, BuildContext& context, BaseImages& images, const StageGraph& graph, const Plan& plan)
      : s_(session), context_(context.files()), images_(images), graph_(graph), plan_(plan) {}
  /// The stack of layers of a stage or an image, bottom first.
  std::vector<snapshot::LayerId> layersOf(const Origin& origin);
  std::shared_ptr<SourceTree> treeOf(const Origin& origin);

 private:
  std::string labelOf(const Origin& origin) const;

  Session& s_;
  std::shared_ptr<SourceTree> context_;
  BaseImages& images_;
  const StageGraph& graph_;
  const Plan& plan_;
};

}  // namespace estiba::build
