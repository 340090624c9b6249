#include "build/image_result.h"

#include "oci/platform.h"

namespace estiba::build {

image::ImageId exportImage(Session& session, const StageState& state, const std::vector<oci::Reference>& names) {
  Vertex vertex(session.progress, "exporting to image");
  try {
    image::Assembly assembly;
    assembly.layers = session.hasher.settled(state.layers);
    vertex.status("exporting layers done");
    auto& config = assembly.config;
    config.platform = oci::Platform::host();
    config.created = state.created.ns == 0 ? now() : state.created;
    config.author = state.author;
    config.config = state.config;
    for (const auto& [name, value] : session.request.labels) config.config.Labels[name] = value;
    config.history = state.history;
    assembly.names = names;
    const auto made = session.services.images.assemble(assembly, session.lease);
    vertex.status(fmt::format("writing image {} done", made.id.str()));
    for (const auto& name : names) vertex.status(fmt::format("naming to {} done", name.str()));
    vertex.done();
    return made.id;
  } catch (const Error& e) {
    vertex.fail(e.what());
    throw;
  }
}

}  // namespace estiba::build
