#include "build/context.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "archive/compression.h"
#include "archive/extract.h"
#include "archive/stream.h"
#include "base/text.h"
#include "build/dockerfile/flags.h"
#include "build/fetch.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

constexpr uint64_t kDockerfileLimit = 64U << 20, kIgnoreLimit = 16U << 20;

void unpackTar(Fd tar, const std::string& dir) {
  const RootDir root = RootDir::open(dir);
  const auto from = archive::decompressing(std::make_unique<archive::FdSource>(std::move(tar), "build context"));
  archive::ExtractOptions options;
  options.devices = false;
  archive::extractArchive(*from, root, "/", options);
}

bool keepsGitDir(const apitypes::BuildRequest& request) {
  const auto found = request.buildArgs.find("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
  return found != request.buildArgs.end() && found->second && parseGoBool(*found->second).value_or(false);
}

}  // namespace

BuildContext::BuildContext(Session& session) : s_(session) {
  openGiven(s_.claim(s_.request.contextFd));
  struct stat st{};
  sys([&] { return ::fstat(dir_.get(), &st); }, "stat the build context");
  indexName_ = fmt::format("{}:{}", st.st_dev, st.st_ino);
  indexed_ = !s_.request.contextTar && s_.request.remote.empty();
  index_ = std::make_shared<DigestIndex>(indexed_ ? s_.services.cache.contextIndex(indexName_) : "");
}

void BuildContext::openGiven(Fd given) {
  const bool tar = s_.request.contextTar && given;
  if (s_.request.remote.empty() && !tar && given) {
    dir_ = std::move(given);
    return;
  }
  const std::string dir = s_.temp.next();
  if (!s_.request.remote.empty()) {
    Vertex vertex(s_.progress, "[internal] load remote build context");
    try {
      dir_ = fetchContext(s_.request.remote, dir, keepsGitDir(s_.request), s_.stop);
    } catch (const Error& e) {
      vertex.fail(e.what());
      throw;
    }
    vertex.done();
    return;
  }
  if (tar) {
    Vertex vertex(s_.progress, "[internal] load remote build context");
    unpackTar(std::move(given), dir);
    vertex.done();
  }
  dir_ = openFile(dir, O_PATH | O_DIRECTORY);
}

RootDir BuildContext::root() const {
  return {Fd(sys([&] { return ::fcntl(dir_.get(), F_DUPFD_CLOEXEC, 3); }, "duplicate a descriptor")), "build context"};
}

std::optional<std::string> BuildContext::readDockerfileText() const {
  if (s_.request.dockerfileContent) return s_.request.dockerfileContent;
  const std::string& name = s_.request.dockerfile;
  const RootDir files = root();
  auto text = files.tryRead(name, kDockerfileLimit);
  if (!text && name == "Dockerfile") text = files.tryRead("dockerfile", kDockerfileLimit);
  return text;
}

void BuildContext::loadDockerfile() {
  const std::string& name = s_.request.dockerfile;
  definition_.emplace(s_.progress, "[internal] load build definition from " + name.substr(name.rfind('/') + 1));
  auto text = readDockerfileText();
  if (!text) {
    const std::string message = fmt::format("failed to read dockerfile: open {}: no such file or directory", name);
    definition_->fail(message);
    fail(Code::not_found, "{}", message);
  }
  text_ = std::move(*text);
  definition_->status(fmt::format("transferring dockerfile: {} done", humanSize(static_cast<double>(text_.size()), 3)));
  if (!s_.request.call.empty()) definition_->done();  // its errors are the answer's
}

Dockerfile BuildContext::dockerfile() {
  try {
    auto file = readDockerfile(text_);
    definition_->done();
    return file;
  } catch (const Error& e) {
    definition_->fail(e.what());
    throw;
  }
}

std::shared_ptr<SourceTree> BuildContext::files() {
  if (files_) return files_;
  Vertex vertex(s_.progress, "[internal] load .dockerignore");
  RootDir files = root();
  auto text = s_.request.ignoreContent;
  if (!text && !s_.request.dockerfileContent) text = files.tryRead(s_.request.dockerfile + ".dockerignore", kIgnoreLimit);
  if (!text) text = files.tryRead(".dockerignore", kIgnoreLimit);
  SourceTree::Options options;
  if (text) options.ignore = parseIgnoreFile(*text);
  vertex.status(fmt::format("transferring context: {} done", humanSize(static_cast<double>(text ? text->size() : 2), 3)));
  vertex.done();
  files_ = std::make_shared<SourceTree>(std::move(files), std::move(options), index_);
  return files_;
}

void BuildContext::remember() {
  if (indexed_ && index_->changed()) s_.services.cache.setContextIndex(indexName_, index_->bytes());
}

}  // namespace estiba::build
