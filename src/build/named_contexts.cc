#include "build/named_contexts.h"

#include "base/text.h"
#include "build/dockerfile/stages.h"
#include "build/fetch.h"
#include "image/transfer.h"

namespace estiba::build {

namespace {

constexpr std::string_view kImage = "docker-image://", kLayout = "oci-layout://";
constexpr uint64_t kIgnoreLimit = 16U << 20;

bool isRemote(const std::string& where) {
  return isHttpSource(where) || isGitSource(where) || where.starts_with("github.com/");
}

// "oci-layout://DIR:tag@digest"
image::LayoutChoice choiceOf(const std::string& where) {
  image::LayoutChoice out;
  const auto [path, digest] = cut(where.substr(kLayout.size()), '@');
  if (digest) out.digest = oci::Digest::parse(*digest);
  const size_t colon = path.rfind(':');
  const size_t slash = path.rfind('/');
  if (colon != std::string::npos && (slash == std::string::npos || colon > slash)) out.tag = path.substr(colon + 1);
  return out;
}

}  // namespace

NamedContexts::NamedContexts(Session& session) : s_(session) {
  for (const auto& [name, given] : s_.request.buildContexts) {
    Context context{name, given.where, s_.claim(given.fd), {}, {}};
    if (!context.dir && !given.where.starts_with(kImage) && !isRemote(given.where)) {
      const std::string scheme = given.where.substr(0, given.where.find(':'));
      fail(Code::invalid, "unsupported context source {} for {}", scheme, name);
    }
    contexts_.insert_or_assign(contextKey(name), std::move(context));
  }
}

bool NamedContexts::isImage(const std::string& key) const {
  const std::string& where = at(key).where;
  return where.starts_with(kImage) || where.starts_with(kLayout);
}

std::string NamedContexts::imageName(const std::string& key) const {
  const std::string& where = at(key).where;
  if (!where.starts_with(kImage)) return "";
  std::string name = where.substr(kImage.size());
  return name == "scratch" ? "" : name;
}

const image::Resolved& NamedContexts::image(const std::string& key) {
  std::lock_guard lock(mutex_);
  Context& context = contexts_.at(key);
  if (context.image) return *context.image;
  if (context.where.starts_with(kLayout)) {
    context.image = openLayout(context);
  } else {
    context.image.emplace();
    const std::string& wanted = s_.request.platform;
    context.image->config.platform = wanted.empty() ? oci::Platform::host() : oci::Platform::parse(wanted);
  }
  return *context.image;
}

image::Resolved NamedContexts::openLayout(Context& context) {
  Vertex vertex(s_.progress, fmt::format("[context {}] OCI load from client", context.name));
  try {
    image::LayoutChoice choice = choiceOf(context.where);
    if (!s_.request.platform.empty()) choice.platform = oci::Platform::parse(s_.request.platform);
    auto out = image::openLayout(s_.services.images, RootDir(std::move(context.dir), context.where), choice, s_.lease);
    vertex.done();
    return out;
  } catch (const Error& e) {
    vertex.fail(e.what());
    throw;
  }
}

std::shared_ptr<SourceTree> NamedContexts::files(const std::string& key) {
  std::lock_guard lock(mutex_);
  Context& context = contexts_.at(key);
  if (context.files) return context.files;
  Vertex vertex(s_.progress, fmt::format("[context {}] load from client", context.name));
  try {
    Fd dir = std::move(context.dir);
    if (!dir) dir = fetchNamedContext(context.where, s_.temp.next(), s_.stop);
    RootDir root(std::move(dir), "context " + context.name);
    SourceTree::Options options;
    options.label = context.name + ":";
    if (const auto text = root.tryRead(".dockerignore", kIgnoreLimit)) options.ignore = parseIgnoreFile(*text);
    context.files = std::make_shared<SourceTree>(std::move(root), std::move(options), std::make_shared<DigestIndex>());
    vertex.done();
    return context.files;
  } catch (const Error& e) {
    vertex.fail(e.what());
    throw;
  }
}

}  // namespace estiba::build
