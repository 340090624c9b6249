// /build: Engine API, tags Image (ImageBuild, BuildPrune) and, for our own command line, a richer request.
#include <fcntl.h>

#include "api/params.h"
#include "api/router.h"
#include "apitypes/build.h"
#include "apitypes/build_trace.h"
#include "apitypes/image.h"
#include "apitypes/system.h"
#include "base/json.h"
#include "base/text.h"
#include "http/json_stream.h"
#include "sys/file.h"

namespace estiba::api {

namespace {

constexpr const char* kOwnType = "application/vnd.estiba.build+json";
constexpr const char* kTraceId = "estiba.build.trace";
constexpr const char* kDoneId = "estiba.build.done";
constexpr const char* kCallId = "estiba.build.call";

apitypes::BuildRequest requestOf(const http::Query& query) {
  apitypes::BuildRequest out;
  out.dockerfile = query.get("dockerfile", "Dockerfile");
  if (out.dockerfile.empty()) out.dockerfile = "Dockerfile";
  out.tags = query.all("t");
  out.target = query.get("target");
  const auto json = [&](const char* name, auto& into) {
    const std::string text = query.get(name);
    if (!text.empty()) fromJson(parseJson(text, name), into, name);
  };
  json("buildargs", out.buildArgs);
  json("labels", out.labels);
  json("ulimits", out.limits.Ulimits);
  out.remote = query.get("remote");
  out.noCache = query.flag("nocache");
  out.pull = query.flag("pull");
  out.platform = query.get("platform");
  out.network = query.get("networkmode");
  out.extraHosts = query.all("extrahosts");
  out.squash = query.flag("squash");
  auto& limits = out.limits;
  limits.Memory = query.integer("memory").value_or(0);
  limits.MemorySwap = query.integer("memswap").value_or(0);
  limits.CpuShares = query.integer("cpushares").value_or(0);
  limits.CpuPeriod = query.integer("cpuperiod").value_or(0);
  limits.CpuQuota = query.integer("cpuquota").value_or(0);
  limits.CpusetCpus = query.get("cpusetcpus");
  limits.CpusetMems = query.get("cpusetmems");
  limits.CgroupParent = query.get("cgroupparent");
  limits.ShmSize = query.integer("shmsize").value_or(0);
  out.contextTar = true;
  return out;
}

// The tar of a request's body as a file without a name: the builder wants to look at it more than once.
Fd spooled(Call& call) {
  Fd file(sys(
      [&] {
        return ::open(call.engine.context.config.root.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
      },
      "make a temporary file under '{}'", call.engine.context.config.root));
  char buffer[65536];
  for (size_t n = 0; (n = call.request.body->read(buffer, sizeof buffer)) > 0;) {
    writeAll(file.get(), {buffer, n}, "build context");
  }
  sys([&] { return ::lseek(file.get(), 0, SEEK_SET); }, "rewind the build context");
  return file;
}

// What classic clients read: a line per step, its output, the ID at the end.
std::string classicText(const apitypes::BuildTrace& trace) {
  if (trace.name) return *trace.name + "\n";
  if (trace.log) return base64Decode(*trace.log).value_or("");
  if (trace.cached) return " ---> Using cache\n";
  if (trace.status) return " ---> " + *trace.status + "\n";
  return "";
}

// POST /build
void build(Call& call) {
  const bool own = call.request.headers.get("Content-Type") == kOwnType;
  apitypes::BuildRequest request;
  std::vector<Fd> fds;
  if (own) {
    request = call.body<apitypes::BuildRequest>();
    fds = std::move(call.request.fds);
  } else {
    if (call.request.query.get("version") == "2") {
      fail(Code::not_implemented, "BuildKit's protocol is not supported yet: build with DOCKER_BUILDKIT=0");
    }
    request = requestOf(call.request.query);
    if (request.remote.empty()) {
      fds.push_back(spooled(call));
      request.contextFd = 0;
    }
  }
  for (const auto& tag : request.tags) oci::Reference::parse(tag);  // while there still is a status to refuse it with
  call.response.stream(200, {{"Content-Type", "application/json"}});
  http::JsonStreamWriter stream([&](std::string_view bytes) { call.response.write(bytes); });
  build::Progress progress([&](const apitypes::BuildTrace& trace) {
    apitypes::JsonMessage message;
    if (own) {
      message.id = kTraceId;
      message.aux = toJson(trace);
    } else {
      message.stream = classicText(trace);
      if (message.stream->empty()) return;
    }
    stream.writeAs(message);
  });
  try {
    const auto result = call.engine.builds.run(request, std::move(fds), progress, call.response.goneToken());
    if (result.call) {
      apitypes::JsonMessage answer;
      answer.id = kCallId;
      answer.aux = toJson(*result.call);
      stream.writeAs(answer);
      return;
    }
    if (request.explain) {
      apitypes::BuildTrace trace;
      trace.explain = build::explanation(result.reports);
      progress.emit(trace);
    }
    apitypes::JsonMessage message;
    if (own) {
      message.id = kDoneId;
      message.aux = toJson(apitypes::BuildDone{result.id, result.metadata});
      stream.writeAs(message);
    } else {
      message.aux = toJson(apitypes::BuildResult{result.id});
      stream.writeAs(message);
      apitypes::JsonMessage text;
      text.stream = "Successfully built " + oci::Digest::parse(result.id).shortHex() + "\n";
      stream.writeAs(text);
      for (const auto& tag : request.tags) {
        text.stream = "Successfully tagged " + oci::Reference::parse(tag).withDefaultTag().familiar() + "\n";
        stream.writeAs(text);
      }
    }
  } catch (const std::exception& e) {
    apitypes::JsonMessage message;
    message.errorDetail = apitypes::ErrorDetail{std::nullopt, e.what()};
    message.error = e.what();
    stream.writeAs(message);
  }
}

// POST /build/prune
void prune(Call& call) {
  const auto& query = call.request.query;
  const int64_t keep = query.integer("keep-storage").value_or(query.integer("reserved-space").value_or(0));
  call.response.sendJson(200, toJson(call.engine.builds.prune(query.flag("all"), filtersOf(query), keep)));
}

// GET /system/df
void diskUsage(Call& call) {
  apitypes::DiskUsage out;
  auto& engine = call.engine;
  const auto usage = engine.context.images.diskUsage();
  out.LayersSize = usage.layersSize;
  out.Images.emplace();
  engine::ListOptions all;
  all.all = true;
  all.size = true;
  out.Containers = engine.containers.list(all);
  for (const auto& image : engine.context.images.list({})) {
    apitypes::ImageSummary item;
    item.Id = image.id.str();
    item.Created = image.created.ns / 1'000'000'000;
    item.RepoTags = image.repoTags;
    item.RepoDigests = image.repoDigests;
    item.Size = image.size;
    item.Containers = 0;
    for (const auto& container : *out.Containers) item.Containers += container.ImageID == item.Id ? 1 : 0;
    for (const auto& u : usage.images) {
      if (u.id == image.id) item.SharedSize = u.shared;
    }
    out.Images->push_back(std::move(item));
  }
  out.Volumes.emplace();
  for (const auto& v : engine.context.volumes.list()) {
    apitypes::Volume item;
    item.Name = v.name;
    item.Mountpoint = v.mountpoint;
    item.CreatedAt = rfc3339Nano(v.created);
    apitypes::VolumeUsage used;
    used.RefCount = static_cast<int64_t>(engine.context.volumes.usersOf(v.name).size());
    used.Size = snapshot::diskUsage(v.mountpoint).bytes;
    item.UsageData = used;
    out.Volumes->push_back(std::move(item));
  }
  out.BuildCache = engine.builds.cache();
  call.response.sendJson(200, toJson(out));
}

constexpr Route kRoutes[] = {
    {"POST", "/build", build},
    {"POST", "/build/prune", prune},
    {"GET", "/system/df", diskUsage},
};

}  // namespace

std::span<const Route> buildRoutes() { return kRoutes; }

}  // namespace estiba::api
