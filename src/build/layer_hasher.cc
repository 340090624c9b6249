#include "build/layer_hasher.h"

namespace estiba::build {

LayerHasher::~LayerHasher() {
  for (auto& [id, future] : running_) {
    if (future.valid()) future.wait();
  }
}

void LayerHasher::start(StepRecord record, Inputs inputs) {
  const auto id = record.layer;
  std::lock_guard lock(mutex_);
  running_.emplace_back(id, std::async(std::launch::async, [this, record, inputs = std::move(inputs)]() mutable {
                          const auto hashed = layers_.hash(record.layer, lease_);
                          record.layer = hashed.id;
                          cache_.put(record, inputs);
                          return hashed.id;
                        }).share());
}

snapshot::LayerId LayerHasher::settled(const snapshot::LayerId& id) {
  std::shared_future<snapshot::LayerId> future;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [known, f] : running_) {
      if (known == id) future = f;
    }
  }
  return future.valid() ? future.get() : id;
}

std::vector<snapshot::LayerId> LayerHasher::settled(const std::vector<snapshot::LayerId>& layers) {
  std::vector<snapshot::LayerId> out;
  for (const auto& layer : layers) out.push_back(settled(layer));
  return out;
}

}  // namespace estiba::build
