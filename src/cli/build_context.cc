#include "cli/build_context.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/text.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

constexpr uint64_t kMaxDockerfile = 64U << 20;

bool isRemote(const std::string& context) {
  return context.starts_with("http://") || context.starts_with("https://") || context.starts_with("git://") ||
         context.starts_with("git@") || context.starts_with("ssh://") || context.starts_with("github.com/");
}

std::string readStdin(Session& s) { return readAll(s.streams().inFd, "standard input", 64U << 20); }

// All of a stream in a file without a name: the engine looks at it more than once.
Fd spool(int from) {
  Fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) file = anonymousFile("", "context");
  char buffer[65536];
  for (;;) {
    const ssize_t n = sys([&] { return ::read(from, buffer, sizeof buffer); }, "read the context");
    if (n == 0) break;
    writeAll(file.get(), {buffer, static_cast<size_t>(n)}, "context");
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

bool looksLikeTar(int fd) {
  char head[512] = {};
  const ssize_t n = ::pread(fd, head, sizeof head, 0);
  if (n < 4) return false;
  const std::string_view start(head, static_cast<size_t>(n));
  return start.starts_with("\x1f\x8b") || start.starts_with("BZh") || start.starts_with("\xfd" "7zXZ") ||
         start.starts_with("\x28\xb5\x2f\xfd") || (n >= 262 && start.substr(257, 5) == "ustar");
}

std::string absolute(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return "";
  std::string out = real;
  ::free(real);
  return out;
}

// What a lint calls the Dockerfile: the path as it was given.
std::string shownDockerfile(const std::string& context, const std::string& file) {
  if (file == "-") return "stdin";
  if (!file.empty()) return file;
  if (context == "-" || isRemote(context)) return "";
  std::string dir = context;
  while (dir.starts_with("./")) dir.erase(0, 2);
  while (dir.ends_with('/') && dir.size() > 1) dir.pop_back();
  return dir.empty() || dir == "." ? "Dockerfile" : dir == "/" ? "/Dockerfile" : dir + "/Dockerfile";
}

// The context, and where the Dockerfile is.
Fd openContext(Session& s, const std::string& context, const std::string& file, apitypes::BuildRequest& request) {
  if (context == "-") {
    if (file == "-") fail(Code::invalid, "invalid argument: can't use stdin for both build context and dockerfile");
    Fd spooled = spool(s.streams().inFd);
    if (looksLikeTar(spooled.get())) {
      request.contextTar = true;
      if (!file.empty()) request.dockerfile = file;
      return spooled;
    }
    request.dockerfileContent = readAll(spooled.get(), "standard input");
    return {};
  }
  if (isRemote(context)) {
    request.remote = context;
    if (!file.empty()) request.dockerfile = file;
    return {};
  }
  const std::string dir = absolute(context);
  struct stat st{};
  if (dir.empty() || ::stat(dir.c_str(), &st) != 0) {
    fail(Code::not_found, "unable to prepare context: path {} not found", quoted(context));
  }
  if (!S_ISDIR(st.st_mode)) {
    fail(Code::invalid, "unable to prepare context: context must be a directory: {}", context);
  }
  Fd opened = openFile(dir, O_PATH | O_DIRECTORY);
  if (file == "-") {
    request.dockerfileContent = readStdin(s);
    return opened;
  }
  if (file.empty()) return opened;
  const std::string path = absolute(file);
  if (path.empty()) {
    fail(Code::not_found, "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {}: no such file or directory",
         file);
  }
  if (path.starts_with(dir + "/")) {
    request.dockerfile = path.substr(dir.size() + 1);
    return opened;
  }
  request.dockerfile = file.substr(file.rfind('/') + 1);
  request.dockerfileContent = readFile(path);
  request.ignoreContent = tryReadFile(path + ".dockerignore");
  return opened;
}

// Of --file URL.
std::string download(const std::string& url) {
  http::Client client;
  http::ClientRequest request;
  request.url = url;
  request.followRedirects = true;
  auto reply = client.request(request);
  if (!reply.ok()) fail(Code::not_found, "failed to load {}: {} {}", url, reply.status, reply.reason);
  return reply.body().readAll(kMaxDockerfile);
}

// "oci-layout://DIR:tag@digest" -> DIR
std::string layoutDirectory(const std::string& where) {
  std::string path = where.substr(std::string_view("oci-layout://").size());
  path = path.substr(0, path.find('@'));
  const size_t colon = path.rfind(':');
  const size_t slash = path.rfind('/');
  if (colon != std::string::npos && (slash == std::string::npos || colon > slash)) path.resize(colon);
  return path;
}

Fd openNamedDirectory(const std::string& name, const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    throw SysError(errno, fmt::format("failed to get build context {}: stat {}", name, path));
  }
  if (!S_ISDIR(st.st_mode)) fail(Code::invalid, "failed to get build context path {{{} <nil>}}: not a directory", path);
  return openFile(path, O_PATH | O_DIRECTORY);
}

}  // namespace

void addContext(Session& s, const Parsed& p, apitypes::BuildRequest& request, Descriptors& descriptors) {
  const std::string context = p.args[0];
  const std::string file = p.str("file");
  request.contextName = context;
  request.shownDockerfile = shownDockerfile(context, file);
  const bool remoteFile = file.starts_with("http://") || file.starts_with("https://");
  Fd opened = openContext(s, context, remoteFile ? "" : file, request);
  if (remoteFile) request.dockerfileContent = download(file);
  if (opened) request.contextFd = descriptors.add(std::move(opened));
}

void addNamedContexts(const Parsed& p, apitypes::BuildRequest& request, Descriptors& descriptors) {
  for (const auto& text : p.list("build-context")) {
    if (text.empty()) continue;
    const auto [name, where] = cut(text, '=');
    if (!where) fail(Code::invalid, "invalid context value: {}, expected key=value", text);
    if (toLower(name) != name) {
      fail(Code::invalid, "invalid context name {}: invalid reference format: repository name ({}) must be lowercase",
           name, name);
    }
    apitypes::NamedContext out{*where, std::nullopt};
    if (where->starts_with("oci-layout://")) {
      out.fd = descriptors.add(openNamedDirectory(name, layoutDirectory(*where)));
    } else if (!isRemote(*where) && !where->starts_with("docker-image://") && !where->starts_with("target:")) {
      out.fd = descriptors.add(openNamedDirectory(name, *where));
    }
    request.buildContexts[name] = std::move(out);
  }
}

}  // namespace estiba::cli
