#include "build/fetch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>

#include "archive/compression.h"
#include "archive/extract.h"
#include "archive/stream.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "http/client.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba::build {

namespace {

struct GitSource {
  std::string url, ref, subdir;
};

// "https://host/repo.git#ref:subdir"
GitSource parseGit(const std::string& text) {
  GitSource out;
  const auto [url, fragment] = cut(text, '#');
  out.url = url;
  if (fragment) {
    const auto [ref, subdir] = cut(*fragment, ':');
    out.ref = ref;
    out.subdir = subdir.value_or("");
  }
  // git would take these for options (CVE-2019-13139).
  if (out.url.starts_with('-') || out.ref.starts_with('-')) fail(Code::invalid, "invalid git source {}", quoted(text));
  return out;
}

std::string git(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"git", "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto result = runCaptured(command);
  if (result.status.shellCode() != 0) {
    fail(Code::unavailable, "git {}: {}", arguments.at(0) == "-C" ? arguments.at(2) : arguments.at(0), trim(result.err));
  }
  return std::string(trim(result.out));
}

// Returns the commit.
std::string cloneInto(const GitSource& source, const std::string& dir, bool keepGitDir) {
  git({"init", "-q", "--", dir});
  git({"-C", dir, "remote", "add", "origin", "--", source.url});
  git({"-C", dir, "fetch", "-q", "--depth", "1", "origin", "--", source.ref.empty() ? "HEAD" : source.ref});
  git({"-C", dir, "checkout", "-q", "FETCH_HEAD"});
  git({"-C", dir, "submodule", "update", "-q", "--init", "--recursive", "--depth=1"});
  const std::string commit = git({"-C", dir, "rev-parse", "HEAD"});
  if (!keepGitDir) removeTree(dir + "/.git");
  return commit;
}

http::ClientResponse get(http::Client& client, const std::string& url, std::stop_token stop) {
  http::ClientRequest request;
  request.url = url;
  request.followRedirects = true;
  request.stop = std::move(stop);
  auto reply = client.request(request);
  if (!reply.ok()) fail(Code::not_found, "failed to load {}: {} {}", url, reply.status, reply.reason);
  return reply;
}

std::string nameOf(const std::string& url) {
  std::string path = url.substr(0, url.find_first_of("?#"));
  path = path.substr(path.find("://") + 3);
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? "" : urlDecode(path.substr(slash + 1), false);
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) return "download";
  return name;
}

}  // namespace

Fetched fetchSource(const std::string& source, const CopyInstruction& copy, const std::string& dir,
                    std::stop_token stop) {
  Fetched out;
  if (isGitSource(source)) {
    const GitSource parsed = parseGit(source);
    out.tree = true;
    out.path = dir + "/tree";
    out.digest = cloneInto(parsed, out.path, copy.keepGitDir.value_or(false));
    out.name = source;
    if (!copy.checksum.empty() && !out.digest.starts_with(copy.checksum)) {
      fail(Code::invalid, "expected checksum to match {}, got {}", copy.checksum, out.digest);
    }
    if (!parsed.subdir.empty()) {
      const RootDir root = RootDir::open(out.path);
      if (!root.stat(parsed.subdir)) fail(Code::not_found, "subdir {} not found in {}", parsed.subdir, parsed.url);
      out.path += estiba::cleanPath(parsed.subdir);
    }
    return out;
  }
  http::Client client;
  auto reply = get(client, source, std::move(stop));
  out.name = nameOf(source);
  out.path = dir + "/" + out.name;
  Sha256 hash;
  {
    const Fd file = openFile(out.path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    char buffer[65536];
    for (size_t n = 0; (n = reply.body().read(buffer, sizeof buffer)) > 0;) {
      hash.update(buffer, n);
      writeAll(file.get(), {buffer, n}, out.path);
    }
    // The same file at the next build: its time is the server's, or none at all.
    timespec times[2] = {{0, 0}, {0, 0}};
    std::tm modified{};
    if (::strptime(reply.headers.get("Last-Modified").c_str(), "%a, %d %b %Y %H:%M:%S GMT", &modified) != nullptr) {
      times[0].tv_sec = times[1].tv_sec = ::timegm(&modified);
    }
    ::futimens(file.get(), times);
  }
  out.digest = "sha256:" + hash.finishHex();
  if (!copy.checksum.empty() && out.digest != copy.checksum) {
    fail(Code::invalid, "digest mismatch {}: {}", out.digest, copy.checksum);
  }
  return out;
}

void fetchContext(const std::string& remote, const std::string& dir, std::stop_token stop) {
  if (isGitSource(remote)) {
    const GitSource parsed = parseGit(remote);
    cloneInto(parsed, dir, false);
    if (!parsed.subdir.empty()) fail(Code::not_implemented, "a subdirectory of a git context is not supported yet");
    return;
  }
  http::Client client;
  auto reply = get(client, remote, std::move(stop));
  const std::string temp = dir + "/.download";
  {
    const Fd file = openFile(temp, O_WRONLY | O_CREAT | O_EXCL, 0600);
    char buffer[65536];
    for (size_t n = 0; (n = reply.body().read(buffer, sizeof buffer)) > 0;) writeAll(file.get(), {buffer, n}, temp);
  }
  Fd file = openFile(temp, O_RDONLY);
  if (archive::looksLikeArchive(file.get())) {
    archive::FdSource from(std::move(file), remote);
    archive::ExtractOptions options;
    options.devices = false;
    archive::extractArchive(from, RootDir::open(dir), "/", options);
    removeTree(temp);
  } else {
    sys([&] { return ::rename(temp.c_str(), (dir + "/Dockerfile").c_str()); }, "rename '{}'", temp);
  }
}

}  // namespace estiba::build
