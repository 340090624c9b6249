// inspect in all its forms, version, info, system df|check|recover, builder prune, networks, volumes.
#include <algorithm>
#include <set>

#include "apitypes/network.h"
#include "apitypes/system.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/flag_values.h"
#include "cli/formatter.h"
#include "cli/listing.h"
#include "cli/session.h"
#include "cli/shapes.h"
#include "cli/table.h"

namespace estiba::cli {

namespace {

struct Kind {
  std::string_view name;
  const char* path;  ///< fmt pattern of one argument
  const Shape& (*shape)();
};
constexpr Kind kKinds[] = {{"container", "/containers/{}/json", containerShape},
                           {"image", "/images/{}/json", imageShape},
                           {"network", "/networks/{}", networkShape},
                           {"volume", "/volumes/{}", volumeShape}};

// One object of one of `kinds`: the first that has it.
void addObject(Session& s, const std::string& name, std::span<const Kind> kinds, bool size, InspectPrinter& printer,
               std::string_view word) {
  for (const Kind& kind : kinds) {
    try {
      std::string target = fmt::format(fmt::runtime(kind.path), encoded(name));
      if (size && kind.name == "container") target += "?size=1";
      printer.add(s.get(target), &kind.shape());
      return;
    } catch (const ApiError& e) {
      if (e.status() != 404 && !(e.status() == 400 && kinds.size() > 1)) throw;
      if (kinds.size() == 1) throw Error(Code::not_found, kind.name == "image" || kind.name == "container" ? e.what() : e.what());
    }
  }
  fail(Code::not_found, "Error: No such {}: {}", word, name);
}

int inspectAs(Cli& cli, const Parsed& p, std::span<const Kind> kinds, std::string_view word) {
  Session& s = session(cli);
  InspectPrinter printer(p.str("format"));
  const bool size = kinds.front().name == "container" && p.flag("size");
  int code = 0;
  std::vector<std::string> errors;
  for (const auto& name : p.args) {
    try {
      addObject(s, name, kinds, size, printer, word);
    } catch (const Error& e) {
      errors.emplace_back(e.what());
      code = 1;
    }
  }
  printer.flush(cli.out());
  cli.out().flush();
  for (const auto& error : errors) cli.err() << error << '\n';
  return code;
}

int inspectAny(Cli& cli, const Parsed& p) {
  const std::string type = p.str("type");
  if (type.empty()) return inspectAs(cli, p, kKinds, "object");
  for (const Kind& kind : kKinds) {
    if (kind.name == type) return inspectAs(cli, p, {&kind, 1}, type);
  }
  fail(Code::invalid, "{} is not a valid value for --type", quoted(type));
}
int inspectContainer(Cli& cli, const Parsed& p) { return inspectAs(cli, p, {&kKinds[0], 1}, "container"); }
int inspectImage(Cli& cli, const Parsed& p) { return inspectAs(cli, p, {&kKinds[1], 1}, "image"); }
int inspectNetwork(Cli& cli, const Parsed& p) { return inspectAs(cli, p, {&kKinds[2], 1}, "network"); }
int inspectVolume(Cli& cli, const Parsed& p) { return inspectAs(cli, p, {&kKinds[3], 1}, "volume"); }

int version(Cli& cli, const Parsed& p) {
  const auto server = session(cli).get("/version");
  const json::object client = {{"Version", ESTIBA_VERSION}, {"ApiVersion", "1.48"}, {"DefaultAPIVersion", "1.48"},
                               {"Os", "linux"}, {"Arch", "amd64"}, {"Context", "default"}};
  if (p.given("format")) {
    InspectPrinter printer(p.str("format"));
    printer.add(json::object{{"Client", client}, {"Server", server}});
    printer.flush(cli.out());
    return 0;
  }
  const auto text = [&](const char* key) { return std::string(server.at(key).as_string()); };
  cli.out() << "Client: estiba\n Version:           " ESTIBA_VERSION "\n API version:       1.48\n OS/Arch:           "
               "linux/amd64\n Context:           default\n\nServer: estiba\n Engine:\n  Version:          "
            << text("Version") << "\n  API version:      " << text("ApiVersion") << " (minimum version "
            << text("MinAPIVersion") << ")\n  OS/Arch:          " << text("Os") << '/' << text("Arch")
            << "\n  Kernel:           " << text("KernelVersion") << '\n';
  return 0;
}

int info(Cli& cli, const Parsed& p) {
  const auto value = session(cli).get("/info");
  if (p.given("format")) {
    InspectPrinter printer(p.str("format"));
    printer.add(value);
    printer.flush(cli.out());
    return 0;
  }
  const auto i = fromJson<apitypes::Info>(value);
  auto& out = cli.out();
  out << "Client: estiba\n Version:    " ESTIBA_VERSION "\n Context:    default\n Debug Mode: false\n\nServer:\n"
      << " Containers: " << i.Containers << "\n  Running: " << i.ContainersRunning << "\n  Paused: " << i.ContainersPaused
      << "\n  Stopped: " << i.ContainersStopped << "\n Images: " << i.Images << "\n Server Version: " << i.ServerVersion
      << "\n Storage Driver: " << i.Driver << '\n';
  for (const auto& row : i.DriverStatus) out << "  " << row.at(0) << ": " << row.at(1) << '\n';
  out << " Logging Driver: " << i.LoggingDriver << "\n Cgroup Driver: " << i.CgroupDriver
      << "\n Cgroup Version: " << i.CgroupVersion.value_or("1") << "\n Plugins:\n  Volume: local\n  Network: bridge host null\n"
      << "  Log: json-file none\n Swarm: inactive\n Runtimes: " << i.DefaultRuntime
      << "\n Default Runtime: " << i.DefaultRuntime << "\n Security Options:\n  seccomp\n   Profile: builtin\n"
      << " Kernel Version: " << i.KernelVersion << "\n Operating System: " << i.OperatingSystem << "\n OSType: linux\n"
      << " Architecture: " << i.Architecture << "\n CPUs: " << i.NCPU
      << "\n Total Memory: " << bytesSize(static_cast<double>(i.MemTotal)) << "\n Name: " << i.Name << "\n ID: " << i.ID
      << "\n Docker Root Dir: " << i.DockerRootDir << "\n Debug Mode: " << (i.Debug ? "true" : "false") << '\n';
  return 0;
}

struct UsageRow {
  std::string type;
  int64_t total = 0, active = 0, size = 0, reclaimable = 0;
  bool percent = true;
};

std::string reclaimable(const UsageRow& r) {
  const std::string bytes = humanSize(static_cast<double>(r.reclaimable), 4);
  if (!r.percent || r.size == 0) return bytes;
  return fmt::format("{} ({}%)", bytes, r.reclaimable * 100 / r.size);
}

constexpr Column<UsageRow> kUsageColumns[] = {
    {"Type", "TYPE", [](const UsageRow& r) -> Value { return r.type; }},
    {"TotalCount", "TOTAL", [](const UsageRow& r) -> Value { return std::to_string(r.total); }},
    {"Active", "ACTIVE", [](const UsageRow& r) -> Value { return std::to_string(r.active); }},
    {"Size", "SIZE", [](const UsageRow& r) -> Value { return humanSize(static_cast<double>(r.size), 4); }},
    {"Reclaimable", "RECLAIMABLE", [](const UsageRow& r) -> Value { return reclaimable(r); }},
};

void verboseUsage(Cli& cli, const apitypes::DiskUsage& usage) {
  std::string text = "Images space usage:\n\nREPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE\tCONTAINERS\n";
  const auto size = [](int64_t bytes) { return humanSize(static_cast<double>(std::max<int64_t>(bytes, 0)), 3); };
  const auto ago = [](int64_t created) {
    return humanDuration(std::chrono::seconds(now().ns / 1'000'000'000 - created)) + " ago";
  };
  for (const auto& image : *usage.Images) {
    const std::string name = image.RepoTags.empty() ? "<none>:<none>" : image.RepoTags.front();
    const size_t colon = name.rfind(':');
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", name.substr(0, colon), name.substr(colon + 1),
                        truncateId(image.Id), ago(image.Created), size(image.Size), size(image.SharedSize),
                        size(image.Size - std::max<int64_t>(image.SharedSize, 0)), image.Containers);
  }
  cli.out() << alignTabs(text);
  text = "\nContainers space usage:\n\nCONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES\n";
  for (const auto& c : *usage.Containers) {
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", truncateId(c.Id), c.Image, quoted(ellipsis(c.Command, 20)),
                        c.Mounts.size(), size(c.SizeRw.value_or(0)), ago(c.Created), c.Status,
                        c.Names.empty() ? "" : c.Names.front().substr(1));
  }
  cli.out() << alignTabs(text);
  text = "\nLocal Volumes space usage:\n\nVOLUME NAME\tLINKS\tSIZE\n";
  for (const auto& v : *usage.Volumes) text += fmt::format("{}\t{}\t{}\n", v.Name, v.UsageData->RefCount, size(v.UsageData->Size));
  cli.out() << alignTabs(text);
  int64_t total = 0;
  text = "CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED\tDESCRIPTION\n";
  for (const auto& b : *usage.BuildCache) {
    total += b.Size;
    const auto since = [&](const std::string& at) {
      return humanDuration(std::chrono::nanoseconds(now().ns - parseRfc3339(at).value_or(Time{}).ns)) + " ago";
    };
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", b.ID.substr(0, 12), b.Type, size(b.Size), since(b.CreatedAt),
                        b.LastUsedAt ? since(*b.LastUsedAt) : "", b.UsageCount, b.Shared ? "true" : "false",
                        ellipsis(b.Description, 60));
  }
  cli.out() << "\nBuild cache usage: " << humanSize(static_cast<double>(total)) << "\n\n" << alignTabs(text);
}

int diskUsage(Cli& cli, const Parsed& p) {
  const auto usage = fromJson<apitypes::DiskUsage>(session(cli).get("/system/df"));
  if (p.flag("verbose")) {
    verboseUsage(cli, usage);
    return 0;
  }
  UsageRow images{"Images"};
  images.size = usage.LayersSize;
  int64_t used = 0;
  for (const auto& image : *usage.Images) {
    ++images.total;
    if (image.Containers > 0) {
      ++images.active;
      used += image.Size;
    }
  }
  images.reclaimable = std::max<int64_t>(images.size - used, 0);
  UsageRow containers{"Containers"};
  for (const auto& c : *usage.Containers) {
    ++containers.total;
    containers.size += c.SizeRw.value_or(0);
    if (c.State == "running" || c.State == "paused" || c.State == "restarting") ++containers.active;
    else containers.reclaimable += c.SizeRw.value_or(0);
  }
  UsageRow volumes{"Local Volumes"};
  for (const auto& v : *usage.Volumes) {
    ++volumes.total;
    volumes.size += v.UsageData->Size;
    if (v.UsageData->RefCount > 0) ++volumes.active;
    else volumes.reclaimable += v.UsageData->Size;
  }
  UsageRow cache{"Build Cache"};
  cache.percent = false;
  for (const auto& b : *usage.BuildCache) {
    ++cache.total;
    if (b.Shared) continue;
    cache.size += b.Size;
    cache.reclaimable += b.Size;
  }
  std::vector<std::shared_ptr<const Object>> rows;
  for (const auto& row : {images, containers, volumes, cache}) {
    rows.push_back(std::make_shared<RowObject<UsageRow>>(row, kUsageColumns, "*formatter.diskUsageContext"));
  }
  const ListFormat list{"table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}", "", ""};
  printRows(cli.out(), list, p.str("format"), false, headersOf<UsageRow>(kUsageColumns), rows);
  return 0;
}

int check(Cli& cli, const Parsed& p) {
  const auto answer = session(cli).get(target("/system/check?digests={}", p.flag("quick") ? 0 : 1));
  const auto& findings = answer.at("Findings").as_array();
  for (const auto& finding : findings) cli.out() << std::string(finding.as_string()) << '\n';
  if (findings.empty()) cli.out() << "everything is as its rows and digests say\n";
  return findings.empty() ? 0 : 1;
}

int recover(Cli& cli, const Parsed&) {
  session(cli).post("/system/recover");
  return 0;
}

int builderPrune(Cli& cli, const Parsed& p) {
  const bool all = p.flag("all");
  const std::string what = all ? "WARNING! This will remove all build cache." : "WARNING! This will remove all dangling build cache.";
  if (!p.flag("force") && !cli.confirm(what + " Are you sure you want to continue?")) throw ExitError(1, "");
  std::string query = fmt::format("all={}", all ? 1 : 0);
  if (!p.list("filter").empty()) query += "&filters=" + filtersParam(p.list("filter"));
  if (p.given("keep-storage")) query += fmt::format("&keep-storage={}", p.integer("keep-storage"));
  const auto answer = session(cli).post("/build/prune?" + query);
  if (const auto* deleted = answer.at("CachesDeleted").if_array()) {
    cli.out() << "Deleted build cache objects:\n";
    for (const auto& id : *deleted) cli.out() << std::string(id.as_string()) << '\n';
    cli.out() << '\n';
  }
  cli.out() << "Total reclaimed space: " << humanSize(answer.at("SpaceReclaimed").to_number<double>()) << '\n';
  return 0;
}

struct NetworkRow {
  apitypes::Network network;
  bool trunc = true;
};
constexpr Column<NetworkRow> kNetworkColumns[] = {
    {"ID", "NETWORK ID", [](const NetworkRow& r) -> Value { return r.trunc ? truncateId(r.network.Id) : r.network.Id; }},
    {"Name", "NAME", [](const NetworkRow& r) -> Value { return r.network.Name; }},
    {"Driver", "DRIVER", [](const NetworkRow& r) -> Value { return r.network.Driver; }},
    {"Scope", "SCOPE", [](const NetworkRow& r) -> Value { return r.network.Scope; }},
};

int networkList(Cli& cli, const Parsed& p) {
  std::vector<std::shared_ptr<const Object>> rows;
  const auto answer = session(cli).get("/networks?filters=" + filtersParam(p.list("filter")));
  for (const auto& item : answer.as_array()) {
    NetworkRow row;
    fromJson(item, row.network);
    row.trunc = !p.flag("no-trunc");
    rows.push_back(std::make_shared<RowObject<NetworkRow>>(std::move(row), kNetworkColumns, "*formatter.networkContext"));
  }
  const ListFormat list{"table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", "{{.ID}}", ""};
  printRows(cli.out(), list, p.str("format"), p.flag("quiet"), headersOf<NetworkRow>(kNetworkColumns), rows);
  return 0;
}

constexpr Column<apitypes::Volume> kVolumeColumns[] = {
    {"Name", "VOLUME NAME", [](const apitypes::Volume& v) -> Value { return v.Name; }},
    {"Driver", "DRIVER", [](const apitypes::Volume& v) -> Value { return v.Driver; }},
    {"Scope", "SCOPE", [](const apitypes::Volume& v) -> Value { return v.Scope; }},
    {"Mountpoint", "MOUNTPOINT", [](const apitypes::Volume& v) -> Value { return v.Mountpoint; }},
};

int volumeList(Cli& cli, const Parsed& p) {
  std::vector<std::shared_ptr<const Object>> rows;
  const auto answer = session(cli).get("/volumes?filters=" + filtersParam(p.list("filter")));
  for (const auto& item : answer.at("Volumes").as_array()) {
    rows.push_back(std::make_shared<RowObject<apitypes::Volume>>(fromJson<apitypes::Volume>(item), kVolumeColumns,
                                                                 "*formatter.volumeContext"));
  }
  const ListFormat list{"table {{.Driver}}\t{{.Name}}", "{{.Name}}", ""};
  printRows(cli.out(), list, p.str("format"), p.flag("quiet"), headersOf<apitypes::Volume>(kVolumeColumns), rows);
  return 0;
}

int volumeCreate(Cli& cli, const Parsed& p) {
  apitypes::VolumeCreateRequest request;
  if (!p.args.empty()) request.Name = p.args[0];
  request.Driver = p.str("driver");
  request.DriverOpts = p.map("opt");
  std::map<std::string, std::string> labels;
  for (const auto& label : p.list("label")) labels.insert(parseKeyValue(label));
  request.Labels = labels;
  cli.out() << std::string(session(cli).post("/volumes/create", toJson(request)).at("Name").as_string()) << '\n';
  return 0;
}

int volumeRm(Cli& cli, const Parsed& p) {
  return cli.eachArg(p, [&](const std::string& name) {
    session(cli).del(target("/volumes/{}?force={}", encoded(name), p.flag("force") ? 1 : 0));
    cli.out() << name << '\n';
  });
}

}  // namespace

#define ESTIBA_COMMAND(function, ...)          \
  const Command& function() {                  \
    static const Command command{__VA_ARGS__}; \
    return command;                            \
  }

ESTIBA_COMMAND(inspectCommandSpec, .name = "inspect", .args = "NAME|ID [NAME|ID...]",
               .summary = "Return low-level information on objects",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("size", 's', "Display total file sizes if the type is container"),
      stringFlag("type", 0, "Only inspect objects of the given type"),
               },
               .arity = atLeast(1), .run = inspectAny)
ESTIBA_COMMAND(containerInspectCommandSpec, .name = "inspect", .args = "CONTAINER [CONTAINER...]",
               .summary = "Display detailed information on one or more containers",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("size", 's', "Display total file sizes"),
               },
               .arity = atLeast(1), .run = inspectContainer)
ESTIBA_COMMAND(imageInspectCommandSpec, .name = "inspect", .args = "IMAGE [IMAGE...]",
               .summary = "Display detailed information on one or more images",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      stringFlag("platform", 0, "Inspect a specific platform of the multi-platform image. If the image or the server is not multi-platform capable, the command will error out if the platform does not match. 'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)"),
               },
               .arity = atLeast(1), .run = inspectImage)
ESTIBA_COMMAND(networkInspectCommandSpec, .name = "inspect", .args = "NETWORK [NETWORK...]",
               .summary = "Display detailed information on one or more networks",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("verbose", 'v', "Verbose output for diagnostics"),
               },
               .arity = atLeast(1), .run = inspectNetwork)
ESTIBA_COMMAND(volumeInspectCommandSpec, .name = "inspect", .args = "VOLUME [VOLUME...]",
               .summary = "Display detailed information on one or more volumes",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
               },
               .arity = atLeast(1), .run = inspectVolume)
ESTIBA_COMMAND(versionCommandSpec, .name = "version", .summary = "Show the version information",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
               },
               .shortcut = "version", .shortcutGroup = HelpGroup::common, .run = version)
ESTIBA_COMMAND(infoCommandSpec, .name = "info", .summary = "Display system-wide information",
               .flags = {
      stringFlag("format", 'f', "Format output using a custom template: 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
               },
               .shortcut = "info", .shortcutGroup = HelpGroup::common, .run = info)
ESTIBA_COMMAND(systemDfCommandSpec, .name = "df", .summary = "Show docker disk usage",
               .flags = {
      stringFlag("format", 0, "Format output using a custom template: 'table':            Print output in table format with column headers (default) 'table TEMPLATE':   Print output in table format using the given Go template 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("verbose", 'v', "Show detailed information on space usage"),
               },
               .run = diskUsage)
ESTIBA_COMMAND(systemCheckCommandSpec, .name = "check", .summary = "Verify the store against its rows and digests",
               .flags = {boolFlag("quick", 0, "Do not read every byte again")}, .run = check)
ESTIBA_COMMAND(systemRecoverCommandSpec, .name = "recover",
               .summary = "Sweep what engines that were killed left half-made", .run = recover)
ESTIBA_COMMAND(builderPruneCommandSpec, .name = "prune", .summary = "Remove build cache",
               .flags = {
      boolFlag("all", 'a', "Remove all unused build cache, not just dangling ones"),
      filterFlag(0, "Provide filter values (e.g. \"until=24h\")"),
      boolFlag("force", 'f', "Do not prompt for confirmation"),
      bytesFlag("keep-storage", 0, "Amount of disk space to keep for cache"),
               },
               .run = builderPrune)
ESTIBA_COMMAND(networkLsCommandSpec, .name = "ls", .summary = "List networks",
               .flags = {
      filterFlag('f', "Provide filter values (e.g. \"driver=bridge\")"),
      stringFlag("format", 0, "Format output using a custom template: 'table':            Print output in table format with column headers (default) 'table TEMPLATE':   Print output in table format using the given Go template 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("no-trunc", 0, "Do not truncate the output"),
      boolFlag("quiet", 'q', "Only display network IDs"),
               },
               .aliases = {"list"}, .run = networkList)
ESTIBA_COMMAND(volumeLsCommandSpec, .name = "ls", .summary = "List volumes",
               .flags = {
      boolFlag("cluster", 0, "Display only cluster volumes, and use cluster volume list formatting"),
      filterFlag('f', "Provide filter values (e.g. \"dangling=true\")"),
      stringFlag("format", 0, "Format output using a custom template: 'table':            Print output in table format with column headers (default) 'table TEMPLATE':   Print output in table format using the given Go template 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("quiet", 'q', "Only display volume names"),
               },
               .aliases = {"list"}, .run = volumeList)
ESTIBA_COMMAND(volumeCreateCommandSpec, .name = "create", .args = "[VOLUME]", .summary = "Create a volume",
               .flags = {
                   stringFlag("driver", 'd', "Specify volume driver name", "local"),
                   listFlag("label", 0, "Set metadata for a volume"),
                   mapFlag("opt", 'o', "Set driver specific options"),
               },
               .arity = atMost(1), .run = volumeCreate)
ESTIBA_COMMAND(volumeRmCommandSpec, .name = "rm", .args = "VOLUME [VOLUME...]", .summary = "Remove one or more volumes",
               .flags = {
      boolFlag("force", 'f', "Force the removal of one or more volumes"),
               },
               .arity = atLeast(1), .aliases = {"remove"}, .run = volumeRm)

}  // namespace estiba::cli
