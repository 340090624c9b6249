#include "build/outputs.h"

#include <fcntl.h>

#include <ctime>

#include "archive/layer.h"
#include "base/text.h"
#include "build/dockerfile/flags.h"
#include "build/squash.h"
#include "image/transfer.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

using apitypes::BuildOutput;

std::string sizeText(int64_t bytes) { return humanSize(static_cast<double>(bytes), 3); }

std::string attribute(const BuildOutput& output, const std::string& name) {
  const auto found = output.attributes.find(name);
  return found == output.attributes.end() ? "" : found->second;
}

std::optional<bool> boolAttribute(const BuildOutput& output, const std::string& name) {
  const std::string text = attribute(output, name);
  if (text.empty()) return std::nullopt;
  const auto value = parseGoBool(text);
  if (!value) fail(Code::invalid, "non-bool value specified for {}", name);
  return value;
}

bool toStore(const BuildOutput& output) {
  return output.type == "image" || (output.type == "docker" && !output.fd);
}

std::vector<oci::Reference> namesOf(const BuildOutput& output, const std::vector<oci::Reference>& tags) {
  if (!tags.empty()) return tags;
  std::vector<oci::Reference> out;
  const std::string text = attribute(output, "name");
  if (text.empty()) return out;
  for (const auto& name : split(text, ',')) out.push_back(oci::Reference::parse(name).withDefaultTag());
  return out;
}

archive::Compression compressionOf(const BuildOutput& output) {
  const std::string text = attribute(output, "compression");
  if (text.empty() || text == "gzip") return archive::Compression::gzip;
  if (text == "uncompressed") return archive::Compression::none;
  if (text == "zstd") return archive::Compression::zstd;
  if (text == "estargz") fail(Code::not_implemented, "compression=estargz is not supported yet");
  fail(Code::invalid, "unsupported compression type {}", text);
}

std::optional<int> levelOf(const BuildOutput& output, archive::Compression kind) {
  const std::string text = attribute(output, "compression-level");
  if (text.empty()) return std::nullopt;
  const auto level = parseInt(text);
  if (!level) fail(Code::invalid, "non-integer value {} specified for compression-level", text);
  const int most = kind == archive::Compression::zstd ? 19 : 9;
  if (*level < 1 || *level > most) {
    fail(Code::invalid, "compression-level {}: 1 to {} for {}", text, most, archive::compressionName(kind));
  }
  return static_cast<int>(*level);
}

// Of annotations only those of one manifest and its descriptor have a place: there is no index over several platforms.
image::Annotations annotationsOf(const BuildOutput& output, const oci::Platform& platform) {
  image::Annotations out;
  for (const auto& a : output.annotations) {
    if (a.type.starts_with("index")) fail(Code::invalid, "index annotations not supported for single platform export");
    if (!a.platform.empty() && !oci::matches(oci::Platform::parse(a.platform), platform)) continue;
    (a.type == "manifest-descriptor" ? out.descriptor : out.manifest)[a.key] = a.value;
  }
  return out;
}

image::ExportOptions exportOptionsOf(const BuildOutput& output, const oci::Platform& platform) {
  image::ExportOptions out;
  out.dockerManifest = output.type == "docker";
  out.compression = compressionOf(output);
  out.level = levelOf(output, out.compression);
  out.annotations = annotationsOf(output, platform);
  const auto wanted = boolAttribute(output, "oci-mediatypes");
  const bool needed = out.compression == archive::Compression::zstd || !out.annotations.manifest.empty();
  if (needed && wanted == false) {
    fail(Code::invalid, "exporter option {} conflicts with \"oci-mediatypes=false\"",
         out.annotations.manifest.empty() ? "\"compression=zstd\"" : "\"annotation\"");
  }
  out.ociTypes = wanted.value_or(output.type == "oci" || needed);
  return out;
}

std::string nowText() {
  char text[32];
  const time_t seconds = now().ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// Counts what passes.
class CountingSink : public archive::Sink {
 public:
  explicit CountingSink(archive::Sink& to) : to_(to) {}
  using archive::Sink::write;
  void write(const void* from, size_t size) override {
    to_.write(from, size);
    bytes_ += static_cast<int64_t>(size);
  }
  int64_t bytes() const noexcept { return bytes_; }

 private:
  archive::Sink& to_;
  int64_t bytes_ = 0;
};

class Outputs {
 public:
  Outputs(Session& session, const StageState& state, const std::vector<oci::Reference>& names,
          const std::optional<TargetBase>& base)
      : s_(session), names_(names) {
    assembly_.layers = s_.hasher.settled(state.layers);
    assembly_.config = configOf(s_, state);
    if (base) squash(s_, assembly_, *base);
  }

  OutputResult make() {
    if (s_.request.outputs.empty()) image({.type = "image"});
    for (const auto& output : s_.request.outputs) one(output);
    return std::move(result_);
  }

 private:
  void one(const BuildOutput& output) {
    if (toStore(output)) return image(output);
    if (output.type == "oci" || output.type == "docker") {
      return shown(fmt::format("exporting to {} image format", output.type), [&](Vertex& v) { layout(output, v); });
    }
    if (output.type == "local") {
      return shown("exporting to client directory", [&](Vertex& v) { files(output, "copying files", true, v); });
    }
    if (output.type == "tar") {
      return shown("exporting to client tarball", [&](Vertex& v) { files(output, "sending tarball", false, v); });
    }
  }

  void shown(const std::string& name, const std::function<void(Vertex&)>& work) {
    Vertex vertex(s_.progress, name);
    try {
      work(vertex);
      vertex.done();
    } catch (const Error& e) {
      vertex.fail(e.what());
      throw;
    }
  }

  void image(const BuildOutput& output) {
    shown("exporting to image", [&](Vertex& vertex) {
      auto assembly = assembly_;
      assembly.names = namesOf(output, names_);
      assembly.annotations = annotationsOf(output, assembly.config.platform);
      vertex.status("exporting layers done");
      const auto made = s_.services.images.assemble(assembly, s_.lease);
      vertex.status(fmt::format("writing image {} done", made.id.str()));
      for (const auto& name : assembly.names) {
        vertex.status(fmt::format("naming to {} done", name.str()));
        result_.tagged.push_back(name.familiar());
      }
      describe(made.id, made.id, assembly.names);
    });
  }

  void layout(const BuildOutput& output, Vertex& vertex) {
    const auto sealed = s_.services.images.seal(assembly_, s_.lease);
    auto options = exportOptionsOf(output, sealed.config.platform);
    options.names = namesOf(output, names_);
    options.platform = sealed.config.platform;
    options.annotations.descriptor.emplace("org.opencontainers.image.created", nowText());
    vertex.status("exporting layers done");
    archive::FdSink sink(s_.claim(output.fd), "an output of the build");
    const auto descriptor = image::exportImage(s_.services.images, sealed, options, sink, s_.stop);
    vertex.status(fmt::format("exporting manifest {} done", descriptor.digest.str()));
    vertex.status(fmt::format("exporting config {} done", sealed.id.str()));
    vertex.status("sending tarball done");
    describe(sealed.id, descriptor.digest, options.names);
    result_.metadata["containerimage.descriptor"] = toJson(descriptor);
  }

  void files(const BuildOutput& output, const char* what, bool exactTimes, Vertex& vertex) {
    archive::FdSink client(s_.claim(output.fd), "an output of the build");
    CountingSink sink(client);
    const Fd tree = assembly_.layers.empty() ? openFile(s_.temp.next(), O_RDONLY | O_DIRECTORY)
                                             : s_.snapshots().mountReadOnly(assembly_.layers);
    const Fd root = openAt(tree.get(), ".", O_RDONLY | O_DIRECTORY);
    archive::packTree(root.get(), sink, exactTimes);
    vertex.status(fmt::format("{} {} done", what, sizeText(sink.bytes())));
  }

  void describe(const image::ImageId& config, const oci::Digest& manifest, const std::vector<oci::Reference>& names) {
    result_.id = config.str();
    result_.metadata["containerimage.config.digest"] = config.str();
    result_.metadata["containerimage.digest"] = manifest.str();
    if (names.empty()) return;
    std::vector<std::string> texts;
    for (const auto& name : names) texts.push_back(name.str());
    result_.metadata["image.name"] = join(texts, ",");
  }

  Session& s_;
  const std::vector<oci::Reference>& names_;
  image::Assembly assembly_;
  OutputResult result_;
};

}  // namespace

void checkOutputs(const apitypes::BuildRequest& request) {
  for (const auto& output : request.outputs) {
    namesOf(output, {});
    if (toStore(output)) {
      annotationsOf(output, oci::Platform::host());
    } else if (output.type == "oci" || output.type == "docker") {
      exportOptionsOf(output, oci::Platform::host());
    } else if (output.type != "local" && output.type != "tar" && output.type != "cacheonly") {
      fail(Code::invalid, "exporter {} could not be found", quoted(output.type));
    }
    if (!toStore(output) && output.type != "cacheonly" && !output.fd) {
      fail(Code::invalid, "the output of type {} has no descriptor", output.type);
    }
  }
}

oci::ImageConfig configOf(const Session& session, const StageState& state) {
  oci::ImageConfig config;
  config.platform = state.platform;
  config.created = state.created.ns == 0 ? now() : state.created;
  config.author = state.author;
  config.config = state.config;
  for (const auto& [name, value] : session.request.labels) config.config.Labels[name] = value;
  config.history = state.history;
  return config;
}

OutputResult makeOutputs(Session& session, const StageState& state, const std::vector<oci::Reference>& names,
                         const std::optional<TargetBase>& base) {
  return Outputs(session, state, names, base).make();
}

}  // namespace estiba::build
