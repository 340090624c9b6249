#pragma once
// What the names in a Dockerfile lead to: images, stages, the build context.

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "build/context.h"
#include "build/dockerfile/stages.h"
#include "build/named_contexts.h"
#include "build/stage_graph.h"

namespace estiba::build {

/// The images of this build, each looked up once and held. Any thread.
class BaseImages {
 public:
  /// Both outlive it.
  BaseImages(Session& session, NamedContexts& contexts) : s_(session), contexts_(contexts) {}
  /// Of kind image, or of kind named where an image is behind the name: those that open() takes.
  bool isImage(const Origin& origin) const;
  /// `platform`: of FROM --platform; empty: the build's. Throws Error(not_found), also
  /// for an image of another platform than was asked for.
  const image::Resolved& open(const Origin& origin, const std::string& platform = {});

 private:
  const image::Resolved& find(const std::string& name);

  Session& s_;
  NamedContexts& contexts_;
  std::mutex mutex_;
  std::map<std::string, image::Resolved> images_;
};

/// Where steps take files from. Any thread.
class Sources {
 public:
  /// All outlive it.
  Sources(Session& session, BuildContext& context, NamedContexts& contexts, BaseImages& images, const StageGraph& graph,
          const Plan& plan)
      : s_(session), context_(context.files()), contexts_(contexts), images_(images), graph_(graph), plan_(plan) {}
  /// The layers of a stage or an image, bottom first; nullopt: it is a directory (of treeOf()) and no stack.
  std::optional<std::vector<snapshot::LayerId>> layersOf(const Origin& origin);
  /// Names the content of such a stack.
  std::string keyOf(const Origin& origin);
  std::shared_ptr<SourceTree> treeOf(const Origin& origin);

 private:
  std::string labelOf(const Origin& origin) const;

  Session& s_;
  std::shared_ptr<SourceTree> context_;
  NamedContexts& contexts_;
  BaseImages& images_;
  const StageGraph& graph_;
  const Plan& plan_;
};

}  // namespace estiba::build
