// container ls (ps) and inspect of containers.
#include <algorithm>
#include <set>

#include "apitypes/container.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/flag_values.h"
#include "cli/formatter.h"
#include "cli/listing.h"
#include "cli/session.h"
#include "cli/table.h"

namespace estiba::cli {

namespace {

struct Row {
  apitypes::ContainerSummary c;
  bool trunc = true;
};

std::string names(const Row& r) {
  std::vector<std::string> out;
  for (const auto& name : r.c.Names) {
    const std::string bare = name.starts_with('/') ? name.substr(1) : name;
    if (r.trunc && bare.find('/') != std::string::npos) continue;  // names that links gave
    out.push_back(bare);
  }
  return join(out, ",");
}

std::string image(const Row& r) {
  if (r.c.Image.empty()) return "<no image>";
  if (r.trunc && (r.c.Image.starts_with("sha256:") || r.c.Image == r.c.ImageID)) return truncateId(r.c.Image);
  return r.c.Image;
}

std::string command(const Row& r) { return quoted(r.trunc ? ellipsis(r.c.Command, 20) : r.c.Command); }

std::string portText(const apitypes::PortSummary& p) {
  if (!p.PublicPort) return fmt::format("{}/{}", p.PrivatePort, p.Type);
  return fmt::format("{}:{}->{}/{}", p.IP.value_or(""), *p.PublicPort, p.PrivatePort, p.Type);
}

std::string ports(const Row& r) {
  std::vector<std::string> out;
  for (const auto& p : r.c.Ports) out.push_back(portText(p));
  std::sort(out.begin(), out.end());
  return join(out, ", ");
}

std::string size(const Row& r) {
  const std::string rw = humanSize(static_cast<double>(r.c.SizeRw.value_or(0)), 3);
  const int64_t all = r.c.SizeRootFs.value_or(0);
  return all > 0 ? fmt::format("{} (virtual {})", rw, humanSize(static_cast<double>(all), 3)) : rw;
}

std::string labels(const Row& r) {
  std::vector<std::string> out;
  for (const auto& [key, value] : r.c.Labels) out.push_back(key + "=" + value);
  return join(out, ",");
}

std::string mounts(const Row& r) {
  std::vector<std::string> out;
  for (const auto& m : r.c.Mounts) {
    const std::string name = m.Name && !m.Name->empty() ? *m.Name : m.Source;
    out.push_back(r.trunc ? ellipsis(name, 15) : name);
  }
  return join(out, ",");
}

std::string networks(const Row& r) {
  std::vector<std::string> out;
  for (const auto& [name, settings] : r.c.NetworkSettings.Networks) out.push_back(name);
  return join(out, ",");
}

std::string createdAt(const Row& r) { return goTimeText(r.c.Created); }
std::string runningFor(const Row& r) {
  return humanDuration(std::chrono::seconds(now().ns / 1'000'000'000 - r.c.Created)) + " ago";
}

constexpr Column<Row> kColumns[] = {
    {"ID", "CONTAINER ID", [](const Row& r) -> Value { return r.trunc ? truncateId(r.c.Id) : r.c.Id; }},
    {"Names", "NAMES", [](const Row& r) -> Value { return names(r); }},
    {"Image", "IMAGE", [](const Row& r) -> Value { return image(r); }},
    {"Command", "COMMAND", [](const Row& r) -> Value { return command(r); }},
    {"CreatedAt", "CREATED AT", [](const Row& r) -> Value { return createdAt(r); }},
    {"RunningFor", "CREATED", [](const Row& r) -> Value { return runningFor(r); }},
    {"Ports", "PORTS", [](const Row& r) -> Value { return ports(r); }},
    {"State", "STATE", [](const Row& r) -> Value { return r.c.State; }},
    {"Status", "STATUS", [](const Row& r) -> Value { return r.c.Status; }},
    {"Size", "SIZE", [](const Row& r) -> Value { return size(r); }},
    {"Labels", "LABELS", [](const Row& r) -> Value { return labels(r); }},
    {"Mounts", "MOUNTS", [](const Row& r) -> Value { return mounts(r); }},
    {"LocalVolumes", "LOCAL VOLUMES",
     [](const Row& r) -> Value {
       return std::to_string(std::count_if(r.c.Mounts.begin(), r.c.Mounts.end(), [](const auto& m) { return m.Driver == "local"; }));
     }},
    {"Networks", "NETWORKS", [](const Row& r) -> Value { return networks(r); }},
};

std::optional<Value> method(const Row& row, std::string_view name, std::span<const Value> args) {
  if (name != "Label" || args.size() != 1 || args[0].kind() != Value::Kind::string) return std::nullopt;
  const auto found = row.c.Labels.find(args[0].asString());
  return Value(found == row.c.Labels.end() ? std::string() : found->second);
}

int listCommand(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  std::string format = p.str("format");
  if (format.empty() && !p.flag("quiet")) format = configFormat(s.configDir(), "psFormat");
  // A template that shows sizes asks for them.
  const bool size = p.flag("size") || format.find(".Size") != std::string::npos;
  std::string query = fmt::format("all={}&size={}", p.flag("all") ? 1 : 0, size ? 1 : 0);
  int64_t last = p.integer("last");
  if (p.flag("latest")) last = 1;
  if (last > 0) query += fmt::format("&limit={}", last);
  if (!p.list("filter").empty()) query += "&filters=" + filtersParam(p.list("filter"));
  std::vector<std::shared_ptr<const Object>> rows;
  const auto answer = s.get("/containers/json?" + query);
  for (const auto& item : answer.as_array()) {
    Row row;
    fromJson(item, row.c);
    row.trunc = !p.flag("no-trunc");
    rows.push_back(std::make_shared<RowObject<Row>>(std::move(row), kColumns, "*formatter.ContainerContext", method));
  }
  const ListFormat list{
      size ? "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}"
           : "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
      "{{.ID}}",
      "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{.State}}\n"
      "status: {{.Status}}\nnames: {{.Names}}\nlabels: {{.Labels}}\nports: {{.Ports}}\n"};
  printRows(cli.out(), list, format, p.flag("quiet"), headersOf<Row>(kColumns), rows);
  return 0;
}

}  // namespace

const Command& containerLsCommandSpec() {
  static const Command command{.name = "ls",
                               .summary = "List containers",
                               .flags = {
      boolFlag("all", 'a', "Show all containers"),
      filterFlag('f', "Filter output based on conditions provided"),
      stringFlag("format", 0, "Format output using a custom template: 'table':            Print output in table format with column headers (default) 'table TEMPLATE':   Print output in table format using the given Go template 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      intFlag("last", 'n', "Show n last created containers (includes all states)", "-1"),
      boolFlag("latest", 'l', "Show the latest created container (includes all states)"),
      boolFlag("no-trunc", 0, "Don't truncate output"),
      boolFlag("quiet", 'q', "Only display container IDs"),
      boolFlag("size", 's', "Display total file sizes"),
                               },
                               .aliases = {"list", "ps"},
                               .shortcut = "ps",
                               .shortcutGroup = HelpGroup::common,
                               .run = listCommand};
  return command;
}

}  // namespace estiba::cli
