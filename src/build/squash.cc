#include "build/squash.h"

namespace estiba::build {

void squash(Session& session, image::Assembly& assembly, const TargetBase& base) {
  auto& layers = assembly.layers;
  auto& config = assembly.config;
  const auto whole = session.services.images.seal(assembly, session.lease).id;
  const auto first = layers.begin() + static_cast<ptrdiff_t>(std::min(base.layers, layers.size()));
  const std::vector<snapshot::LayerId> own(first, layers.end());
  for (size_t i = base.history; i < config.history.size(); ++i) config.history[i].emptyLayer = true;
  config.created = now();
  oci::History entry;
  entry.created = config.created;
  entry.comment = base.id.empty() ? fmt::format("create new from {}", whole.str())
                                  : fmt::format("merge {} to {}", whole.str(), base.id);
  entry.emptyLayer = own.empty();
  config.history.push_back(std::move(entry));
  if (own.empty()) return;
  const auto merged = session.snapshots().merge(own, session.lease);
  layers.erase(first, layers.end());
  layers.push_back(session.snapshots().layers().hash(merged, session.lease).id);
}

}  // namespace estiba::build
