#pragma once
// --build-context: names that stand for images or for trees of files. (Internal to this module.)

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "build/session.h"
#include "build/source_tree.h"

namespace estiba::build {

/// The named contexts of one build, each fetched once, when it is asked for. Any thread.
class NamedContexts {
 public:
  /// Throws Error(invalid) for a context that cannot be: "unsupported context source target for x".
  explicit NamedContexts(Session& session);

  /// Of docker-image:// and oci-layout://; else it is files. `key`: contextKey() of the name.
  bool isImage(const std::string& key) const;
  /// The name of the engine's image behind docker-image://; empty for scratch and for a layout.
  std::string imageName(const std::string& key) const;
  /// Of a layout, or of docker-image://scratch: no layers then.
  const image::Resolved& image(const std::string& key);
  /// Without what a .dockerignore of its own leaves out.
  std::shared_ptr<SourceTree> files(const std::string& key);

 private:
  struct Context {
    std::string name;   ///< as given
    std::string where;  ///< "docker-image://…", a URL, a directory's path
    Fd dir;             ///< the client's directory, where there is one
    std::optional<image::Resolved> image;
    std::shared_ptr<SourceTree> files;
  };
  const Context& at(const std::string& key) const { return contexts_.at(key); }
  image::Resolved openLayout(Context& context);

  Session& s_;
  std::mutex mutex_;
  std::map<std::string, Context> contexts_;
};

}  // namespace estiba::build
