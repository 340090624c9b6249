#include "build/fetch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#include "archive/compression.h"
#include "archive/extract.h"
#include "archive/stream.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "build/git_source.h"
#include "http/client.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

http::ClientResponse get(http::Client& client, const std::string& url, std::stop_token stop) {
  http::ClientRequest request;
  request.url = url;
  request.followRedirects = true;
  request.stop = std::move(stop);
  auto reply = client.request(request);
  if (!reply.ok()) fail(Code::not_found, "failed to load {}: {} {}", url, reply.status, reply.reason);
  return reply;
}

bool isGitContext(const std::string& remote) { return isGitSource(remote) || remote.starts_with("github.com/"); }

std::string nameOf(const std::string& url) {
  std::string path = url.substr(0, url.find_first_of("?#"));
  path = path.substr(path.find("://") + 3);
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? "" : urlDecode(path.substr(slash + 1), false);
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) return "download";
  return name;
}

// The reply's body as the file `path`, its time the server's, or none at all: the same at the next build.
std::string download(http::Client& client, const std::string& url, const std::string& path, std::stop_token stop) {
  auto reply = get(client, url, std::move(stop));
  Sha256 hash;
  const Fd file = openFile(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  char buffer[65536];
  for (size_t n = 0; (n = reply.body().read(buffer, sizeof buffer)) > 0;) {
    hash.update(buffer, n);
    writeAll(file.get(), {buffer, n}, path);
  }
  timespec times[2] = {{0, 0}, {0, 0}};
  std::tm modified{};
  if (::strptime(reply.headers.get("Last-Modified").c_str(), "%a, %d %b %Y %H:%M:%S GMT", &modified) != nullptr) {
    times[0].tv_sec = times[1].tv_sec = ::timegm(&modified);
  }
  ::futimens(file.get(), times);
  return "sha256:" + hash.finishHex();
}

Fd openSubdir(const std::string& dir, const GitSource& source) {
  if (source.subdir.empty()) return openFile(dir, O_PATH | O_DIRECTORY);
  const RootDir root = RootDir::open(dir);
  const auto st = root.stat(source.subdir);
  if (!st) fail(Code::not_found, "subdir {} not found in {}", source.subdir, source.url);
  if (!S_ISDIR(st->st_mode)) fail(Code::invalid, "subdir {} not a directory", source.subdir);
  return root.openPath(source.subdir, O_PATH | O_DIRECTORY);
}

// Without links: one in the repository must not lead out of it when the path is opened again.
std::string pathOf(const Fd& dir) {
  std::string out(PATH_MAX, '\0');
  const std::string link = fmt::format("/proc/self/fd/{}", dir.get());
  out.resize(static_cast<size_t>(
      sys([&] { return ::readlink(link.c_str(), out.data(), out.size()); }, "read link '{}'", link)));
  return out;
}

Fetched fetchRepository(const std::string& source, const CopyInstruction& copy, const std::string& dir) {
  GitSource parsed = parseGitSource(source);
  if (!copy.checksum.empty()) {
    if (!parsed.checksum.empty() && parsed.checksum != copy.checksum) {
      fail(Code::invalid, "checksum mismatch {} != {}", copy.checksum, parsed.checksum);
    }
    parsed.checksum = copy.checksum;
  }
  Fetched out;
  out.tree = true;
  out.name = source;
  out.path = dir + "/tree";
  out.digest = checkOut(parsed, out.path, copy.keepGitDir.value_or(false));
  out.path = pathOf(openSubdir(out.path, parsed));
  return out;
}

}  // namespace

Fetched fetchSource(const std::string& source, const CopyInstruction& copy, const std::string& dir,
                    std::stop_token stop) {
  if (isGitSource(source)) return fetchRepository(source, copy, dir);
  http::Client client;
  Fetched out;
  out.name = nameOf(source);
  out.path = dir + "/" + out.name;
  out.digest = download(client, source, out.path, std::move(stop));
  if (!copy.checksum.empty() && out.digest != copy.checksum) {
    fail(Code::invalid, "digest mismatch {}: {}", out.digest, copy.checksum);
  }
  return out;
}

Fd fetchContext(const std::string& remote, const std::string& dir, bool keepGitDir, std::stop_token stop) {
  const std::string tree = dir + "/tree";
  if (isGitContext(remote)) {
    const GitSource parsed = parseGitSource(remote);
    checkOut(parsed, tree, keepGitDir);
    return openSubdir(tree, parsed);
  }
  const std::string file = dir + "/download";
  http::Client client;
  download(client, remote, file, std::move(stop));
  makeDir(tree, 0755);
  Fd opened = openFile(file, O_RDONLY);
  if (archive::looksLikeArchive(opened.get())) {
    const auto from = archive::decompressing(std::make_unique<archive::FdSource>(std::move(opened), remote));
    archive::ExtractOptions options;
    options.devices = false;
    archive::extractArchive(*from, RootDir::open(tree), "/", options);
  } else {
    sys([&] { return ::rename(file.c_str(), (tree + "/Dockerfile").c_str()); }, "rename '{}'", file);
  }
  return openFile(tree, O_PATH | O_DIRECTORY);
}

Fd fetchNamedContext(const std::string& remote, const std::string& dir, std::stop_token stop) {
  if (isGitContext(remote)) return fetchContext(remote, dir, false, std::move(stop));
  http::Client client;
  download(client, remote, dir + "/context", std::move(stop));
  return openFile(dir, O_PATH | O_DIRECTORY);
}

}  // namespace estiba::build
