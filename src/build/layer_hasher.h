#pragma once

#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "build/step_cache.h"
#include "snapshot/layers.h"

namespace estiba::build {

/// Hashes finished layers while the next steps run, then enters them into the cache. Any thread; waits for what is
/// unfinished when it goes.
class LayerHasher {
 public:
  /// All three outlive it.
  LayerHasher(snapshot::Layers& layers, StepCache& cache, Lease& lease)
      : layers_(layers), cache_(cache), lease_(lease) {}
  ~LayerHasher();
  LayerHasher(const LayerHasher&) = delete;
  LayerHasher& operator=(const LayerHasher&) = delete;

  void start(StepRecord record, Inputs inputs);
  /// The layers that stand for these once they are hashed: others, where the same content was there already.
  std::vector<snapshot::LayerId> settled(const std::vector<snapshot::LayerId>& layers);

 private:
  snapshot::LayerId settled(const snapshot::LayerId& id);

  snapshot::Layers& layers_;
  StepCache& cache_;
  Lease& lease_;
  std::mutex mutex_;
  std::vector<std::pair<snapshot::LayerId, std::shared_future<snapshot::LayerId>>> running_;
};

}  // namespace estiba::build
