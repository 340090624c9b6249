// /images: Engine API, tag Image.
#include "api/params.h"
#include "api/router.h"
#include "apitypes/image.h"
#include "archive/compression.h"
#include "archive/stream.h"
#include "base/json.h"
#include "base/text.h"
#include "build/apply_config.h"
#include "http/client.h"
#include "http/json_stream.h"
#include "image/transfer.h"
#include "oci/platform.h"

namespace estiba::api {

namespace {

image::Images& images(Call& call) { return call.engine.context.images; }

void record(Call& call, const char* action, const std::string& id, const std::string& name) {
  call.engine.context.events.record("image", action, id, {{"name", name}});
}

// A request's body, or a descriptor that came with it (a local file, read in place).
class BodySource : public archive::Source {
 public:
  explicit BodySource(http::BodyReader& body) : body_(body) {}
  size_t read(void* to, size_t size) override { return body_.read(static_cast<char*>(to), size); }

 private:
  http::BodyReader& body_;
};

class ReplySource : public archive::Source {
 public:
  explicit ReplySource(http::ClientResponse reply) : reply_(std::move(reply)) {}
  size_t read(void* to, size_t size) override { return reply_.body().read(static_cast<char*>(to), size); }

 private:
  http::ClientResponse reply_;
};

std::unique_ptr<archive::Source> uploadOf(Call& call) {
  if (!call.request.fds.empty()) {
    return std::make_unique<archive::FdSource>(std::move(call.request.fds.front()), "archive");
  }
  return std::make_unique<BodySource>(*call.request.body);
}

class ChunkSink : public archive::Sink {
 public:
  explicit ChunkSink(http::ResponseWriter& response) : response_(response) {}
  using Sink::write;
  void write(const void* from, size_t size) override {
    response_.write({static_cast<const char*>(from), size});
  }

 private:
  http::ResponseWriter& response_;
};

std::optional<std::vector<std::string>> unlessEmpty(const std::vector<std::string>& list) {
  if (list.empty()) return std::nullopt;
  return list;
}
std::optional<std::string> unlessEmpty(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

apitypes::ImageConfig configOf(const oci::RunConfig& c) {
  apitypes::ImageConfig out;
  out.User = unlessEmpty(c.User);
  if (!c.ExposedPorts.empty()) out.ExposedPorts = c.ExposedPorts;
  out.Env = unlessEmpty(c.Env);
  out.Entrypoint = unlessEmpty(c.Entrypoint);
  out.Cmd = unlessEmpty(c.Cmd);
  if (!c.Volumes.empty()) out.Volumes = c.Volumes;
  out.WorkingDir = unlessEmpty(c.WorkingDir);
  if (!c.Labels.empty()) out.Labels = c.Labels;
  out.StopSignal = unlessEmpty(c.StopSignal);
  if (c.ArgsEscaped) out.ArgsEscaped = true;
  if (c.Healthcheck) {
    apitypes::HealthConfig h;
    h.Test = c.Healthcheck->Test;
    const auto number = [](int64_t value) { return value == 0 ? std::nullopt : std::optional(value); };
    h.Interval = number(c.Healthcheck->Interval);
    h.Timeout = number(c.Healthcheck->Timeout);
    h.StartPeriod = number(c.Healthcheck->StartPeriod);
    h.StartInterval = number(c.Healthcheck->StartInterval);
    h.Retries = number(c.Healthcheck->Retries);
    out.Healthcheck = h;
  }
  out.OnBuild = unlessEmpty(c.OnBuild);
  out.Shell = unlessEmpty(c.Shell);
  return out;
}

// GET /images/{name}/json
void inspect(Call& call) {
  const auto found = images(call).inspect(images(call).resolve(call.param("name")));
  apitypes::ImageInspect out;
  out.Id = found.image.id.str();
  out.RepoTags = found.image.repoTags;
  out.RepoDigests = found.image.repoDigests;
  out.Parent = found.image.parent ? found.image.parent->str() : "";
  out.Comment = found.config.comment;
  if (found.config.created.ns != 0) out.Created = rfc3339Nano(found.config.created);
  out.DockerVersion = found.config.dockerVersion;
  out.Author = found.config.author;
  out.Config = configOf(found.config.config);
  out.Architecture = found.config.platform.architecture;
  out.Variant = unlessEmpty(found.config.platform.variant);
  out.Os = found.config.platform.os;
  out.Size = found.image.size;
  if (call.version < 144) out.VirtualSize = found.image.size;
  out.GraphDriver.Name = "overlay2";
  out.GraphDriver.Data = found.graphDriver;
  for (const auto& digest : found.config.rootfs.diff_ids) out.RootFS.Layers.push_back(digest.str());
  out.Metadata.LastTagTime = rfc3339Nano(found.image.lastTagged);
  call.response.sendJson(200, toJson(out));
}

// GET /images/json
void list(Call& call) {
  image::ListOptions options;
  options.all = call.request.query.flag("all");
  options.filters = filtersOf(call.request.query);
  std::vector<apitypes::ImageSummary> out;
  for (const auto& image : images(call).list(options)) {
    apitypes::ImageSummary item;
    item.Id = image.id.str();
    item.Created = image.created.ns / 1'000'000'000;
    if (!image.labels.empty()) item.Labels = image.labels;
    item.ParentId = image.parent ? image.parent->str() : "";
    item.RepoTags = image.repoTags;
    item.RepoDigests = image.repoDigests;
    item.Size = image.size;
    if (call.version < 144) item.VirtualSize = image.size;
    out.push_back(std::move(item));
  }
  call.response.sendJson(200, toJson(out));
}

// GET /images/{name}/history
void history(Call& call) {
  std::vector<apitypes::HistoryItem> out;
  for (const auto& entry : images(call).history(images(call).resolve(call.param("name")))) {
    apitypes::HistoryItem item;
    item.Comment = entry.comment;
    item.Created = entry.created.ns / 1'000'000'000;
    item.CreatedBy = entry.createdBy;
    item.Id = entry.id;
    item.Size = entry.size;
    if (!entry.tags.empty()) item.Tags = entry.tags;
    out.push_back(std::move(item));
  }
  call.response.sendJson(200, toJson(out));
}

// POST /images/{name}/tag?repo=&tag=
void tag(Call& call) {
  const auto id = images(call).resolve(call.param("name"));
  auto name = oci::Reference::parse(call.request.query.get("repo"));
  if (const std::string asked = call.request.query.get("tag"); !asked.empty()) name = name.withTag(asked);
  if (name.digest()) fail(Code::invalid, "refusing to create a tag with a digest reference");
  name = name.withDefaultTag();
  images(call).tag(id, name);
  record(call, "tag", id.str(), name.familiar());
  call.response.send(http::Response::empty(201));
}

std::vector<apitypes::ImageDeleteItem> itemsOf(Call& call, const std::vector<image::Removal>& removals) {
  std::vector<apitypes::ImageDeleteItem> out;
  for (const auto& removal : removals) {
    apitypes::ImageDeleteItem item;
    item.Untagged = removal.untagged;
    item.Deleted = removal.deleted;
    if (removal.untagged) record(call, "untag", removal.image.str(), *removal.untagged);
    if (removal.deleted && *removal.deleted == removal.image.str()) record(call, "delete", *removal.deleted, *removal.deleted);
    out.push_back(std::move(item));
  }
  return out;
}

// DELETE /images/{name}?force=&noprune=
void remove(Call& call) {
  const auto& query = call.request.query;
  const auto removed = images(call).remove(call.param("name"), query.flag("force"), !query.flag("noprune"),
                                           call.engine.context.imageUsers());
  call.response.sendJson(200, toJson(itemsOf(call, removed)));
}

// POST /images/prune
void prune(Call& call) {
  const auto report = images(call).prune(filtersOf(call.request.query), call.engine.context.imageUsers());
  apitypes::ImagesPruneReport out;
  if (!report.removed.empty()) out.ImagesDeleted = itemsOf(call, report.removed);
  out.SpaceReclaimed = static_cast<uint64_t>(report.reclaimed);
  call.response.sendJson(200, toJson(out));
}

// POST /images/create?fromSrc=&repo=&tag=&changes=&message=  (fromImage: a pull)
void create(Call& call) {
  const auto& query = call.request.query;
  if (query.has("fromImage")) fail(Code::not_implemented, "pulling images is not supported yet: import or build them");
  const std::string source = query.get("fromSrc");
  image::ImportOptions options;
  options.config.platform = oci::Platform::host();
  build::applyChanges(options.config.config, query.all("changes"));
  if (const std::string repo = query.get("repo"); !repo.empty()) {
    auto name = oci::Reference::parse(repo);
    if (const std::string asked = query.get("tag"); !asked.empty()) name = name.withTag(asked);
    options.name = name.withDefaultTag();
  }
  options.message = query.get("message");
  if (options.message.empty()) options.message = "Imported from " + source;
  std::unique_ptr<archive::Source> from;
  if (source == "-") {
    from = uploadOf(call);
  } else {
    const bool remote = source.starts_with("http://") || source.starts_with("https://");
    http::Client client;
    http::ClientRequest request;
    request.url = remote ? source : "http://" + source;
    request.followRedirects = true;
    auto reply = client.request(request);
    if (!reply.ok()) fail(Code::not_found, "import {}: the server answered {} {}", source, reply.status, reply.reason);
    from = std::make_unique<ReplySource>(std::move(reply));
  }
  const auto made = image::importTar(images(call), std::move(from), options);
  record(call, "import", made.id.str(), options.name ? options.name->familiar() : made.id.str());
  call.response.stream(200, {{"Content-Type", "application/json"}});
  http::JsonStreamWriter stream([&](std::string_view bytes) { call.response.write(bytes); });
  apitypes::JsonMessage message;
  message.status = made.id.str();
  stream.writeAs(message);
}

// POST /images/load
void load(Call& call) {
  const bool quiet = call.request.query.flag("quiet");
  image::LoadOptions options;
  const auto loaded = image::load(images(call), uploadOf(call), options);
  call.response.stream(200, {{"Content-Type", "application/json"}});
  http::JsonStreamWriter stream([&](std::string_view bytes) { call.response.write(bytes); });
  static_cast<void>(quiet);
  for (const auto& item : loaded) {
    record(call, "load", item.id.str(), item.name ? item.name->familiar() : item.id.str());
    apitypes::JsonMessage message;
    message.stream = item.text() + "\n";
    stream.writeAs(message);
  }
}

// GET /images/get?names=a&names=b, GET /images/{name}/get
void save(Call& call) {
  std::vector<std::string> names;
  if (!call.param("name").empty()) names.push_back(call.param("name"));
  for (const auto& name : call.request.query.all("names")) names.push_back(name);
  if (names.empty()) fail(Code::invalid, "no image was named");
  for (const auto& name : names) images(call).resolve(name);  // an error while there still is a status to say it with
  if (!call.request.fds.empty()) {
    // A local client gave the file itself: nothing travels through the connection.
    archive::FdSink out(std::move(call.request.fds.front()), "archive");
    image::save(images(call), names, out, call.response.goneToken());
    call.response.send(http::Response::empty(200));
    return;
  }
  call.response.stream(200, {{"Content-Type", "application/x-tar"}});
  ChunkSink out(call.response);
  image::save(images(call), names, out);
}

constexpr Route kRoutes[] = {
    {"GET", "/images/json", list},
    {"POST", "/images/create", create},
    {"POST", "/images/load", load},
    {"POST", "/images/prune", prune},
    {"GET", "/images/get", save},
    {"GET", "/images/{name*}/json", inspect},
    {"GET", "/images/{name*}/history", history},
    {"GET", "/images/{name*}/get", save},
    {"POST", "/images/{name*}/tag", tag},
    {"DELETE", "/images/{name*}", remove},
};

}  // namespace

std::span<const Route> imageRoutes() { return kRoutes; }

}  // namespace estiba::api
