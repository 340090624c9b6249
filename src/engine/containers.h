#pragma once
// Containers as things: made, named, looked at, compared, removed. Their life is in lifecycle.h.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apitypes/container.h"
#include "container/record.h"
#include "engine/context.h"

namespace estiba::engine {

struct ListOptions {
  bool all = false;
  int64_t limit = 0;  ///< newest N, whatever their state; 0: no limit
  bool size = false;
  std::map<std::string, std::vector<std::string>> filters;
};

struct RemoveOptions {
  bool force = false;
  bool volumes = false;  ///< anonymous volumes go too
};

class Containers {
 public:
  explicit Containers(Context& context) : ctx_(context) {}

  /// Throws Error(not_found) "No such image: …", conflict for a name in use, invalid, not_implemented.
  apitypes::ContainerCreateResponse create(const std::string& name, apitypes::ContainerCreateRequest request);
  apitypes::ContainerInspect inspect(const std::string& ref, bool size);
  std::vector<apitypes::ContainerSummary> list(const ListOptions& options);
  std::vector<apitypes::ChangeItem> changes(const std::string& ref);
  void rename(const std::string& ref, const std::string& name);
  apitypes::ContainersPruneReport prune(const std::map<std::string, std::vector<std::string>>& filters);
  /// Takes a container that does not run away: rows, writable layer, files. Throws Error(conflict) where it runs.
  void removeStopped(const container::Record& record, bool volumes);
  /// Bytes in its writable layer, and with its image.
  std::pair<int64_t, int64_t> sizes(const container::Record& record);
  /// The directories of its stack of layers, topmost first, without the writable one.
  std::vector<std::string> lowerLayers(const container::Record& record) const;
  /// Asked of each record that list() and inspect() come by: true where it was changed, as its monitor had been killed.
  void onLook(std::function<bool(const container::Record&)> settle) { settle_ = std::move(settle); }

 private:
  std::optional<container::Record> look(const container::Record& record);
  apitypes::ContainerSummary summary(const container::Record& record, bool size);
  Context& ctx_;
  std::function<bool(const container::Record&)> settle_;
};

/// "Up 3 seconds (healthy)", "Exited (0) 2 minutes ago", "Created".
std::string statusText(const container::Record& record, Time at);

}  // namespace estiba::engine
