#include "build/layer_step.h"

#include "build/explain.h"
#include "sys/overlay.h"

namespace estiba::build {

const Origin& Step::origin(size_t which) const {
  static const Origin context;
  return which < origins.size() ? origins[which] : context;
}

void layerStep(const Step& step, const Inputs& inputs, const std::function<snapshot::LayerId(Vertex&)>& make) {
  auto& [session, sources, origins, raw, state, shown, ignoreCache] = step;
  const std::string key = keyOf(inputs);
  Vertex vertex(session.progress, shown);
  StepReport report;
  report.text = raw.text;
  report.shown = shown;
  if (!ignoreCache) {
    if (auto hit = session.services.cache.find(key); hit && session.snapshots().layers().hold(hit->layer, session.lease)) {
      state.layers.push_back(hit->layer);
      state.created = hit->created;
      state.key = key;
      report.cached = true;
      report.took = hit->took;
      vertex.cached();
      session.reports.add(key, std::move(report));
      return;
    }
  }
  if (ignoreCache) report.reasons = {"the cache was not to be used (--no-cache)"};
  else explainMiss(session.services.cache, raw.text, inputs, report);
  const auto begin = monotonic();
  snapshot::LayerId layer;
  try {
    layer = make(vertex);
  } catch (const Error& e) {
    vertex.fail(e.what());
    throw;
  }
  StepRecord record;
  record.key = key;
  record.text = raw.text;
  record.layer = layer;
  record.created = now();
  record.took = monotonic() - begin;
  report.took = record.took;
  state.layers.push_back(layer);
  state.created = record.created;
  state.key = key;
  session.hasher.start(record, inputs);
  vertex.done();
  session.reports.add(key, std::move(report));
}

image::Accounts accountsOf(const Step& step) {
  if (step.state.layers.empty()) return {};
  const RootDir root(step.session.snapshots().mountReadOnly(step.state.layers), "stage");
  return image::readAccounts(root);
}

RootDir mounted(const Step& step, const snapshot::Active& active) {
  const auto mounts = active.mounts();
  if (mounts.lowers.empty()) return RootDir::open(mounts.upper);
  OverlayStack stack;
  stack.lowers = mounts.lowers;
  stack.upper = mounts.upper;
  stack.work = mounts.work;
  stack.volatile_ = true;
  return {mountOverlay(stack, [&] { return step.session.temp.next(); }), "root of a build step"};
}

}  // namespace estiba::build
