// image ls, tag, rm, history, prune, save, load, import.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "apitypes/image.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/flag_values.h"
#include "cli/formatter.h"
#include "cli/listing.h"
#include "cli/session.h"
#include "cli/table.h"
#include "http/json_stream.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

// One line of the listing: an image under one of its names.
struct ImageRow {
  apitypes::ImageSummary image;
  std::string repository = "<none>", tag = "<none>", digest = "<none>";
  bool trunc = true;
};

std::string ago(int64_t seconds) {
  return humanDuration(std::chrono::seconds(now().ns / 1'000'000'000 - seconds)) + " ago";
}

std::string countOrNone(int64_t count) { return count < 0 ? "N/A" : std::to_string(count); }

constexpr Column<ImageRow> kImageColumns[] = {
    {"ID", "IMAGE ID", [](const ImageRow& r) -> Value { return r.trunc ? truncateId(r.image.Id) : r.image.Id; }},
    {"Repository", "REPOSITORY", [](const ImageRow& r) -> Value { return r.repository; }},
    {"Tag", "TAG", [](const ImageRow& r) -> Value { return r.tag; }},
    {"Digest", "DIGEST", [](const ImageRow& r) -> Value { return r.digest; }},
    {"CreatedSince", "CREATED",
     [](const ImageRow& r) -> Value { return r.image.Created <= 0 ? std::string("N/A") : ago(r.image.Created); }},
    {"CreatedAt", "CREATED AT", [](const ImageRow& r) -> Value { return goTimeText(r.image.Created); }},
    {"Size", "SIZE", [](const ImageRow& r) -> Value { return humanSize(static_cast<double>(r.image.Size), 3); }},
    {"Containers", "CONTAINERS", [](const ImageRow& r) -> Value { return countOrNone(r.image.Containers); }},
    {"VirtualSize", "SIZE", [](const ImageRow& r) -> Value { return humanSize(static_cast<double>(r.image.Size), 3); }},
    {"SharedSize", "SHARED SIZE",
     [](const ImageRow& r) -> Value {
       return r.image.SharedSize < 0 ? std::string("N/A") : humanSize(static_cast<double>(r.image.SharedSize), 3);
     }},
    {"UniqueSize", "UNIQUE SIZE", [](const ImageRow& r) -> Value {
       return r.image.SharedSize < 0 ? std::string("N/A")
                                     : humanSize(static_cast<double>(r.image.Size - r.image.SharedSize), 3);
     }}};

// "host:5000/a/b:tag" -> {"host:5000/a/b", "tag"}.
std::pair<std::string, std::string> splitTag(const std::string& name) {
  const size_t slash = name.rfind('/');
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) return {name, "<none>"};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

void addRows(const apitypes::ImageSummary& image, bool digests, bool trunc, std::vector<ImageRow>& out) {
  std::map<std::string, std::string> digestOf;
  for (const auto& d : image.RepoDigests) {
    const auto [repository, digest] = cut(d, '@');
    digestOf[repository] = digest.value_or("<none>");
  }
  std::vector<ImageRow> rows;
  for (const auto& name : image.RepoTags) {
    ImageRow row;
    row.image = image;
    row.trunc = trunc;
    std::tie(row.repository, row.tag) = splitTag(name);
    if (const auto found = digestOf.find(row.repository); found != digestOf.end()) row.digest = found->second;
    rows.push_back(std::move(row));
  }
  for (const auto& [repository, digest] : digestOf) {
    const bool shown = std::any_of(rows.begin(), rows.end(), [&, r = repository](const auto& row) { return row.repository == r; });
    if (shown) continue;
    ImageRow row;
    row.image = image;
    row.trunc = trunc;
    row.repository = repository;
    if (digests) row.digest = digest;
    rows.push_back(std::move(row));
  }
  if (rows.empty()) {
    ImageRow row;
    row.image = image;
    row.trunc = trunc;
    rows.push_back(std::move(row));
  }
  out.insert(out.end(), rows.begin(), rows.end());
}

int imageList(Cli& cli, const Parsed& p) {
  if (p.flag("tree")) fail(Code::not_implemented, "--tree is not supported yet");
  Session& s = session(cli);
  auto filters = p.list("filter");
  if (!p.args.empty()) filters.push_back("reference=" + p.args[0]);
  std::string query = fmt::format("all={}", p.flag("all") ? 1 : 0);
  if (!filters.empty()) query += "&filters=" + filtersParam(filters);
  std::vector<ImageRow> rows;
  const auto answer = s.get("/images/json?" + query);
  for (const auto& item : answer.as_array()) {
    addRows(fromJson<apitypes::ImageSummary>(item), p.flag("digests"), !p.flag("no-trunc"), rows);
  }
  std::vector<std::shared_ptr<const Object>> objects;
  std::vector<std::string> seen;
  const std::string format = p.str("format").empty() && !p.flag("quiet") ? configFormat(s.configDir(), "imagesFormat")
                                                                          : p.str("format");
  for (auto& row : rows) {
    if (p.flag("quiet") && format.empty()) {
      if (std::find(seen.begin(), seen.end(), row.image.Id) != seen.end()) continue;
      seen.push_back(row.image.Id);
    }
    objects.push_back(std::make_shared<RowObject<ImageRow>>(std::move(row), kImageColumns, "*formatter.imageContext"));
  }
  const ListFormat list{
      p.flag("digests") ? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
                        : "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
      "{{.ID}}",
      "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"};
  printRows(cli.out(), list, format, p.flag("quiet"), headersOf<ImageRow>(kImageColumns), objects);
  return 0;
}

struct HistoryRow {
  apitypes::HistoryItem item;
  bool trunc = true, human = true;
};

constexpr Column<HistoryRow> kHistoryColumns[] = {
    {"ID", "IMAGE", [](const HistoryRow& r) -> Value { return r.trunc ? truncateId(r.item.Id) : r.item.Id; }},
    {"CreatedSince", "CREATED",
     [](const HistoryRow& r) -> Value {
       if (!r.human) return rfc3339Nano({r.item.Created * 1'000'000'000});
       return r.item.Created <= 0 ? std::string("N/A") : ago(r.item.Created);
     }},
    {"CreatedAt", "CREATED AT", [](const HistoryRow& r) -> Value { return rfc3339Nano({r.item.Created * 1'000'000'000}); }},
    {"CreatedBy", "CREATED BY",
     [](const HistoryRow& r) -> Value {
       const std::string text = replaceAll(r.item.CreatedBy, "\t", " ");
       return r.trunc ? ellipsis(text, 45) : text;
     }},
    {"Size", "SIZE",
     [](const HistoryRow& r) -> Value {
       return r.human ? humanSize(static_cast<double>(r.item.Size), 3) : std::to_string(r.item.Size);
     }},
    {"Comment", "COMMENT", [](const HistoryRow& r) -> Value { return r.item.Comment; }},
};

int imageHistory(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  std::vector<std::shared_ptr<const Object>> rows;
  const auto answer = s.get(target("/images/{}/history", encoded(p.args[0])));
  for (const auto& item : answer.as_array()) {
    HistoryRow row;
    fromJson(item, row.item);
    row.trunc = !p.flag("no-trunc");
    row.human = p.flag("human");
    rows.push_back(std::make_shared<RowObject<HistoryRow>>(std::move(row), kHistoryColumns, "*formatter.historyContext"));
  }
  const ListFormat list{"table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}", "{{.ID}}", ""};
  printRows(cli.out(), list, p.str("format"), p.flag("quiet"), headersOf<HistoryRow>(kHistoryColumns), rows);
  return 0;
}

int imageTag(Cli& cli, const Parsed& p) {
  const auto [repository, tag] = splitTag(p.args[1]);
  std::string query = "repo=" + urlEncode(repository);
  if (tag != "<none>") query += "&tag=" + urlEncode(tag);
  session(cli).post(target("/images/{}/tag?{}", encoded(p.args[0]), query));
  return 0;
}

void printRemovals(Cli& cli, const json::value& items) {
  for (const auto& item : items.as_array()) {
    const auto removed = fromJson<apitypes::ImageDeleteItem>(item);
    if (removed.Deleted) cli.out() << "Deleted: " << *removed.Deleted << '\n';
    else if (removed.Untagged) cli.out() << "Untagged: " << *removed.Untagged << '\n';
  }
}

int imageRm(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  if (!p.list("platform").empty()) fail(Code::not_implemented, "--platform is not supported yet");
  const std::string query = fmt::format("?force={}&noprune={}", p.flag("force") ? 1 : 0, p.flag("no-prune") ? 1 : 0);
  return cli.eachArg(p, [&](const std::string& name) {
    http::ClientRequest request;
    request.method = "DELETE";
    request.url = target("/images/{}{}", encoded(name), query);
    printRemovals(cli, s.send(std::move(request)).body().readJson());
  });
}

int imagePrune(Cli& cli, const Parsed& p) {
  const bool all = p.flag("all");
  const std::string what = all ? "WARNING! This will remove all images without at least one container associated to them."
                               : "WARNING! This will remove all dangling images.";
  if (!p.flag("force") && !cli.confirm(what + "\nAre you sure you want to continue?")) throw ExitError(1, "");
  auto filters = p.list("filter");
  filters.push_back(all ? "dangling=false" : "dangling=true");
  const auto answer = session(cli).post("/images/prune?filters=" + filtersParam(filters));
  if (const auto* deleted = answer.at("ImagesDeleted").if_array(); deleted != nullptr && !deleted->empty()) {
    cli.out() << "Deleted Images:\n";
    for (const auto& item : *deleted) {
      const auto removed = fromJson<apitypes::ImageDeleteItem>(item);
      if (removed.Untagged) cli.out() << "untagged: " << *removed.Untagged << '\n';
      else cli.out() << "deleted: " << removed.Deleted.value_or("") << '\n';
    }
    cli.out() << '\n';
  }
  cli.out() << "Total reclaimed space: " << humanSize(answer.at("SpaceReclaimed").to_number<double>()) << '\n';
  return 0;
}

// Prints what a stream of progress says; an error in it ends the command.
void printMessages(Cli& cli, http::BodyReader& body, bool quiet) {
  http::JsonStreamReader reader(body);
  while (const auto message = reader.nextAs<apitypes::JsonMessage>()) {
    if (message->errorDetail) throw ExitError(1, message->errorDetail->message);
    if (message->stream) cli.out() << *message->stream;
    else if (message->status && !quiet) cli.out() << *message->status << '\n';
    cli.out().flush();
  }
}

// The bytes of a file or of standard input, with the request: by descriptor where the engine is here.
void upload(Session& s, http::ClientRequest& request, int fd, std::optional<Fd>& keep) {
  request.headers.set("Content-Type", "application/x-tar");
  if (s.local()) {
    keep = Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    request.passFds = {keep->get()};
    return;
  }
  request.source = [fd](char* data, size_t size) {
    return static_cast<size_t>(sys([&] { return ::read(fd, data, size); }, "read standard input"));
  };
}

int imageSave(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  const std::string path = p.str("output");
  if (path.empty() && s.outIsTerminal()) {
    fail(Code::invalid, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
  }
  std::string query;
  for (const auto& name : p.args) query += (query.empty() ? "?names=" : "&names=") + urlEncode(name);
  http::ClientRequest request;
  request.url = "/images/get" + query;
  // Written beside its place: a half archive is never taken for a whole one.
  const std::string temp = path.empty() ? "" : path + ".part";
  std::optional<Fd> file;
  if (!path.empty()) {
    struct stat st{};
    const bool special = ::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode);
    file = openFile(special ? path : temp, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  }
  try {
    const int out = file ? file->get() : s.streams().outFd;
    if (s.local()) {
      request.passFds = {out};
      s.send(std::move(request)).body().readAll();
    } else {
      auto response = s.send(std::move(request));
      std::string buffer(1 << 17, '\0');
      for (size_t n = 0; (n = response.body().read(buffer.data(), buffer.size())) > 0;) writeAll(out, {buffer.data(), n}, path);
    }
    if (!temp.empty() && exists(temp)) sys([&] { return ::rename(temp.c_str(), path.c_str()); }, "rename '{}'", temp);
  } catch (...) {
    if (!temp.empty()) ::unlink(temp.c_str());
    throw;
  }
  return 0;
}

int imageLoad(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  std::optional<Fd> file;
  int from = s.streams().inFd;
  if (p.given("input")) {
    file = openFile(p.str("input"), O_RDONLY);
    from = file->get();
  } else if (s.inIsTerminal()) {
    fail(Code::invalid, "requested load from stdin, but stdin is empty");
  }
  http::ClientRequest request;
  request.method = "POST";
  request.url = fmt::format("/images/load?quiet={}", p.flag("quiet") ? 1 : 0);
  std::optional<Fd> keep;
  upload(s, request, from, keep);
  printMessages(cli, s.send(std::move(request)).body(), p.flag("quiet"));
  return 0;
}

int imageImport(Cli& cli, const Parsed& p) {
  Session& s = session(cli);
  const std::string source = p.args[0];
  const bool url = source.starts_with("http://") || source.starts_with("https://");
  std::string query = "fromSrc=" + urlEncode(url ? source : "-");
  if (p.args.size() > 1) {
    const auto [repository, tag] = splitTag(p.args[1]);
    query += "&repo=" + urlEncode(repository);
    if (tag != "<none>") query += "&tag=" + urlEncode(tag);
  }
  if (p.given("message")) query += "&message=" + urlEncode(p.str("message"));
  for (const auto& change : p.list("change")) query += "&changes=" + urlEncode(change);
  http::ClientRequest request;
  request.method = "POST";
  request.url = "/images/create?" + query;
  std::optional<Fd> file;
  std::optional<Fd> keep;
  if (!url) {
    if (source != "-") file = openFile(source, O_RDONLY);
    upload(s, request, file ? file->get() : s.streams().inFd, keep);
  }
  printMessages(cli, s.send(std::move(request)).body(), false);
  return 0;
}

}  // namespace

#define ESTIBA_COMMAND(function, ...)          \
  const Command& function() {                  \
    static const Command command{__VA_ARGS__}; \
    return command;                            \
  }

ESTIBA_COMMAND(imageLsCommandSpec, .name = "ls", .args = "[REPOSITORY[:TAG]]", .summary = "List images",
               .flags = {
      boolFlag("all", 'a', "Show all images"),
      boolFlag("digests", 0, "Show digests"),
      filterFlag('f', "Filter output based on conditions provided"),
      stringFlag("format", 0, "Format output using a custom template: 'table':            Print output in table format with column headers (default) 'table TEMPLATE':   Print output in table format using the given Go template 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("no-trunc", 0, "Don't truncate output"),
      boolFlag("quiet", 'q', "Only show image IDs"),
      boolFlag("tree", 0, "List multi-platform images as a tree (EXPERIMENTAL)"),
               },
               .arity = atMost(1), .aliases = {"list"}, .shortcut = "images", .shortcutGroup = HelpGroup::common,
               .run = imageList)
ESTIBA_COMMAND(imageHistoryCommandSpec, .name = "history", .args = "IMAGE", .summary = "Show the history of an image",
               .flags = {
      stringFlag("format", 0, "Format output using a custom template: 'table':            Print output in table format with column headers (default) 'table TEMPLATE':   Print output in table format using the given Go template 'json':             Print in JSON format 'TEMPLATE':         Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"),
      boolFlag("human", 'H', "Print sizes and dates in human readable format", true),
      boolFlag("no-trunc", 0, "Don't truncate output"),
      stringFlag("platform", 0, "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
      boolFlag("quiet", 'q', "Only show image IDs"),
               },
               .arity = exactly(1), .shortcut = "history", .run = imageHistory)
ESTIBA_COMMAND(imageTagCommandSpec, .name = "tag", .args = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
               .summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", .arity = exactly(2), .shortcut = "tag",
               .run = imageTag)
ESTIBA_COMMAND(imageRmCommandSpec, .name = "rm", .args = "IMAGE [IMAGE...]", .summary = "Remove one or more images",
               .flags = {
      boolFlag("force", 'f', "Force removal of the image"),
      boolFlag("no-prune", 0, "Do not delete untagged parents"),
      stringsFlag("platform", 0, "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
               },
               .arity = atLeast(1), .aliases = {"remove"}, .shortcut = "rmi", .run = imageRm)
ESTIBA_COMMAND(imagePruneCommandSpec, .name = "prune", .summary = "Remove unused images",
               .flags = {
      boolFlag("all", 'a', "Remove all unused images, not just dangling ones"),
      filterFlag(0, "Provide filter values (e.g. \"until=<timestamp>\")"),
      boolFlag("force", 'f', "Do not prompt for confirmation"),
               },
               .run = imagePrune)
ESTIBA_COMMAND(imageSaveCommandSpec, .name = "save", .args = "IMAGE [IMAGE...]",
               .summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
               .flags = {
      stringFlag("output", 'o', "Write to a file, instead of STDOUT"),
      stringFlag("platform", 0, "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
               },
               .arity = atLeast(1), .shortcut = "save", .run = imageSave)
ESTIBA_COMMAND(imageLoadCommandSpec, .name = "load", .summary = "Load an image from a tar archive or STDIN",
               .flags = {
      stringFlag("input", 'i', "Read from tar archive file, instead of STDIN"),
      stringFlag("platform", 0, "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
      boolFlag("quiet", 'q', "Suppress the load output"),
               },
               .shortcut = "load", .run = imageLoad)
ESTIBA_COMMAND(imageImportCommandSpec, .name = "import", .args = "file|URL|- [REPOSITORY[:TAG]]",
               .summary = "Import the contents from a tarball to create a filesystem image",
               .flags = {
      listFlag("change", 'c', "Apply Dockerfile instruction to the created image"),
      stringFlag("message", 'm', "Set commit message for imported image"),
      stringFlag("platform", 0, "Set platform if server is multi-platform capable"),
               },
               .arity = between(1, 2), .shortcut = "import", .run = imageImport)

}  // namespace estiba::cli
