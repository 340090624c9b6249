#include "cli/build_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <set>

#include "archive/extract.h"
#include "archive/stream.h"
#include "base/text.h"
#include "cli/build_annotations.h"
#include "cli/flag_values.h"
#include "http/pump.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace estiba::cli {

namespace {

// "type=local,dest=out", "out", "-".
Output parseOutput(const std::string& text) {
  Output out;
  const auto fields = parseCsvRecord(text);
  if (fields.size() == 1 && fields[0] == text && !text.starts_with("type=")) {
    out.request.type = text == "-" ? "tar" : "local";
    out.dest = text;
    return out;
  }
  for (const auto& field : fields) {
    const auto [name, value] = cut(field, '=');
    if (!value) fail(Code::invalid, "invalid value {}", field);
    const std::string key = toLower(trim(name));
    if (key == "type") out.request.type = *value;
    else if (key == "dest") out.dest = *value;
    else out.request.attributes[key] = *value;
  }
  if (out.request.type.empty()) fail(Code::invalid, "type is required for output");
  return out;
}

bool boolAttribute(const Output& output, const std::string& name, bool fallback) {
  const auto found = output.request.attributes.find(name);
  if (found == output.request.attributes.end()) return fallback;
  try {
    return parseGoBool(found->second);
  } catch (const Error&) {
    return fallback;
  }
}

void checkDirectory(const Output& output) {
  const auto& type = output.request.type;
  if (output.dest.empty()) fail(Code::invalid, "dest is required for {} exporter", type);
  if (output.dest == "-") fail(Code::invalid, "dest cannot be stdout for {} exporter", type);
  struct stat st {};
  if (::stat(output.dest.c_str(), &st) != 0) {
    if (errno == ENOENT) return;
    throw SysError(errno, fmt::format("invalid destination directory: {}: stat {}", output.dest, output.dest));
  }
  if (!S_ISDIR(st.st_mode)) fail(Code::invalid, "destination directory {} is a file", output.dest);
}

void checkFile(Session& s, Output& output, bool& stdoutUsed) {
  const auto& type = output.request.type;
  if (output.dest.empty() && type != "docker") output.dest = "-";
  if (output.dest == "-") {
    if (stdoutUsed) fail(Code::invalid, "multiple outputs configured to write to stdout");
    if (s.outIsTerminal()) {
      fail(Code::invalid, "dest file is required for {} exporter. refusing to write to console", type);
    }
    stdoutUsed = true;
    return;
  }
  struct stat st {};
  if (output.dest.empty() || ::stat(output.dest.c_str(), &st) != 0) return;
  if (S_ISDIR(st.st_mode)) fail(Code::invalid, "destination file {} is a directory", output.dest);
}

// What an output may say beyond its type and dest; all else would be swallowed.
void checkAttributes(const Output& output) {
  static const std::set<std::string> kLocal = {"platform-split"};
  static const std::set<std::string> kImage = {"name", "push", "unpack", "store"};
  static const std::set<std::string> kLayout = {"name", "tar",  "compression", "compression-level", "force-compression",
                                                "oci-mediatypes"};
  const auto& type = output.request.type;
  const bool layout = type == "oci" || type == "docker";
  const auto& known = type == "local" || type == "tar" ? kLocal : type == "image" ? kImage : kLayout;
  for (const auto& [name, value] : output.request.attributes) {
    if (type == "cacheonly" || known.contains(name)) continue;
    if ((layout || type == "image") && name.starts_with("annotation")) continue;
    if (type == "local" && name == "mode" && (value.empty() || value == "copy")) continue;
    fail(Code::not_implemented, "--output type={}: {}={} is not supported yet", type, name, value);
  }
  if (boolAttribute(output, "push", false)) fail(Code::not_implemented, "--output push=true: pushing is not supported yet");
  if (layout && output.request.attributes.contains("tar") && !boolAttribute(output, "tar", true) &&
      exists(output.dest + "/index.json")) {
    fail(Code::not_implemented, "{} holds an OCI layout: adding to one is not supported yet", output.dest);
  }
}

// --annotation is said of every output that can have some.
void addAnnotations(const Parsed& p, std::vector<Output>& outputs) {
  std::vector<apitypes::BuildAnnotation> all;
  for (const auto& text : p.list("annotation")) {
    if (text.empty()) continue;
    const auto more = parseAnnotation(text);
    all.insert(all.end(), more.begin(), more.end());
  }
  if (all.empty()) return;
  if (outputs.empty()) {
    outputs.emplace_back();
    outputs.back().request.type = "image";
  }
  for (auto& output : outputs) {
    auto& have = output.request.annotations;
    have.insert(have.end(), all.begin(), all.end());
  }
}

}  // namespace

std::vector<Output> parseOutputs(Session& s, const Parsed& p) {
  std::vector<Output> out;
  bool stdoutUsed = false;
  for (const auto& text : p.list("output")) {
    if (text.empty()) continue;
    Output output = parseOutput(text);
    const std::string type = output.request.type;
    if (type == "registry") fail(Code::not_implemented, "--output type=registry: pushing is not supported yet");
    if (type == "local") output.directory = true;
    else if (type == "oci" || type == "docker") output.directory = !boolAttribute(output, "tar", true);
    else if (type != "tar" && type != "image" && type != "cacheonly") {
      fail(Code::invalid, "exporter {} could not be found", quoted(type));
    }
    if (output.directory) checkDirectory(output);
    else if (type == "tar" || type == "oci" || type == "docker") checkFile(s, output, stdoutUsed);
    else if (!output.dest.empty()) fail(Code::invalid, "dest is not a field of the {} exporter", type);
    checkAttributes(output);
    auto& attributes = output.request.attributes;
    for (auto it = attributes.begin(); it != attributes.end();) {
      if (!it->first.starts_with("annotation")) {
        ++it;
        continue;
      }
      output.request.annotations.push_back(annotationAttribute(it->first, it->second));
      it = attributes.erase(it);
    }
    out.push_back(std::move(output));
  }
  const auto loads = [](const Output& o) { return o.request.type == "docker" && o.dest.empty(); };
  if (p.flag("load") && std::none_of(out.begin(), out.end(), loads)) {
    out.emplace_back();
    out.back().request.type = "docker";
  }
  addAnnotations(p, out);
  return out;
}

struct OutputStreams::Stream {
  Stream(const Output& output, int stdoutFd) : dest(output.dest), directory(output.directory), out(stdoutFd) {
    std::tie(reader, writer) = makePipe();
    thread = std::thread([this] {
      try {
        take();
      } catch (...) {
        failure = std::current_exception();
        reader.reset();  // the engine hears of it by its next write
      }
    });
  }
  ~Stream() {
    writer.reset();
    if (thread.joinable()) thread.join();
    if (!named && !temp.empty()) ::unlink(temp.c_str());
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // A build that fails sends nothing: no file is touched then.
  void take() {
    char first = 0;
    if (sys([&] { return ::read(reader.get(), &first, 1); }, "read an output of the build") == 0) return;
    if (directory) {
      unpack(first);
      return;
    }
    Fd file;
    if (dest != "-") file = openDestination();
    const int to = file ? file.get() : out;
    writeAll(to, {&first, 1}, dest);
    http::copyStream(reader.get(), to);
  }

  void unpack(char first) {
    makeDirs(dest, 0700);
    archive::PrefixedSource source(std::string(1, first),
                                   std::make_unique<archive::FdSource>(reader.get(), "an output of the build"));
    archive::ExtractOptions options;
    options.uid = ::geteuid();
    options.gid = ::getegid();
    archive::extractArchive(source, RootDir::open(dest), "/", options);
  }

  // Beside its place: a half archive is never taken for a whole one. Devices and fifos are written as they are.
  Fd openDestination() {
    struct stat st {};
    const bool special = ::stat(dest.c_str(), &st) == 0 && !S_ISREG(st.st_mode);
    if (!special) temp = dest + ".part";
    return openFile(special ? dest : temp, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  }

  void finish(bool good) {
    thread.join();
    if (failure) std::rethrow_exception(failure);
    if (temp.empty() || !good) return;
    sys([&] { return ::rename(temp.c_str(), dest.c_str()); }, "rename '{}'", temp);
    named = true;
  }

  std::string dest, temp;
  bool directory = false;
  int out = -1;
  bool named = false;
  Fd reader, writer;
  std::exception_ptr failure;
  std::thread thread;
};

OutputStreams::OutputStreams(Session& s, const std::vector<Output>& outputs) {
  for (const auto& output : outputs) {
    if (!output.dest.empty()) streams_.push_back(std::make_unique<Stream>(output, s.streams().outFd));
  }
}

OutputStreams::~OutputStreams() = default;

std::vector<int> OutputStreams::writers() const {
  std::vector<int> out;
  for (const auto& stream : streams_) out.push_back(stream->writer.get());
  return out;
}

void OutputStreams::sent() {
  for (const auto& stream : streams_) stream->writer.reset();
}

void OutputStreams::finish(bool good) {
  sent();
  for (const auto& stream : streams_) stream->finish(good);
}

bool OutputStreams::usesStdout() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const auto& s) { return s->dest == "-"; });
}

}  // namespace estiba::cli
