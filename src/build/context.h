#pragma once
// The build context: the directory, tar or remote place that a build was given, with its Dockerfile and .dockerignore.

#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "build/dockerfile/stages.h"
#include "build/session.h"
#include "build/source_tree.h"

namespace estiba::build {

class BuildContext {
 public:
  /// The request's context: a directory is read where it lies, a tar is unpacked once.
  explicit BuildContext(Session& session);

  /// Reads the request's Dockerfile. Throws Error(not_found).
  void loadDockerfile();
  /// Empty before.
  const std::string& dockerfileText() const noexcept { return text_; }
  Dockerfile dockerfile();
  /// What reading the Dockerfile is shown as: where warnings about it belong.
  Vertex& definition() { return *definition_; }
  /// The files that COPY and mounts see: without what .dockerignore leaves out.
  std::shared_ptr<SourceTree> files();
  /// Keeps the digests of files for later builds.
  void remember();

 private:
  void openGiven(Fd given);
  RootDir root() const;
  std::optional<std::string> readDockerfileText() const;

  Session& s_;
  Fd dir_;
  std::string text_;
  std::optional<Vertex> definition_;
  std::string indexName_;
  bool indexed_ = false;
  std::shared_ptr<DigestIndex> index_;
  std::shared_ptr<SourceTree> files_;
};

}  // namespace estiba::build
