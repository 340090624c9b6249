#include "build/git_source.h"

#include "base/error.h"
#include "base/text.h"
#include "build/dockerfile/flags.h"
#include "sys/file.h"
#include "sys/process.h"

namespace estiba::build {

namespace {

// One `name=value` after the '?', each name once.
class Query {
 public:
  Query(GitSource& to, const std::string& text) : to_(to) {
    for (const auto& part : split(text, '&')) {
      if (part.empty()) continue;
      const auto [name, value] = cut(part, '=');
      take(urlDecode(name, true), urlDecode(value.value_or(""), true));
    }
    if (!tag_.empty() && !branch_.empty()) fail(Code::invalid, "branch conflicts with tag");
    full(tag_, "refs/tags/");
    full(branch_, "refs/heads/");
  }

 private:
  void take(const std::string& name, const std::string& value) {
    for (const auto& seen : seen_) {
      if (seen == name) fail(Code::invalid, "query {} has multiple values", quoted(name));
    }
    seen_.push_back(name);
    const bool flag = name == "submodules" || name == "keep-git-dir" || name == "fetch-by-commit";
    if (value.empty() && !flag) fail(Code::invalid, "query {} has no value", quoted(name));
    if (name == "ref") set(to_.ref, value, "ref");
    else if (name == "subdir") set(to_.subdir, value, "subdir");
    else if (name == "tag") tag_ = value;
    else if (name == "branch") branch_ = value;
    else if (name == "checksum" || name == "commit") to_.checksum = value;
    else if (name == "keep-git-dir") to_.keepGitDir = boolean(name, value);
    else if (name == "submodules") to_.submodules = boolean(name, value);
    else if (name == "fetch-by-commit" || name == "mtime") refuse(name, value);
    else fail(Code::invalid, "unexpected query {}", quoted(name));
  }

  static void refuse(const std::string& name, const std::string& value) {
    if ((name == "mtime" && value == "checkout") || (name == "fetch-by-commit" && !boolean(name, value))) return;
    fail(Code::not_implemented, "git source: {}={} is not supported yet", name, value);
  }

  static bool boolean(const std::string& name, const std::string& value) {
    const auto parsed = value.empty() ? std::optional<bool>(true) : parseGoBool(value);
    if (!parsed) fail(Code::invalid, "invalid {} value: {}", name, quoted(value));
    return *parsed;
  }

  static void set(std::string& to, const std::string& value, std::string_view what) {
    if (!to.empty() && to != value) fail(Code::invalid, "{} conflicts: {} vs {}", what, quoted(to), quoted(value));
    to = value;
  }

  void full(const std::string& name, const std::string& prefix) {
    if (!name.empty()) set(to_.ref, name.starts_with(prefix) ? name : prefix + name, "ref");
  }

  GitSource& to_;
  std::string tag_, branch_;
  std::vector<std::string> seen_;
};

std::string git(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"git", "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto result = runCaptured(command);
  if (result.status.shellCode() != 0) {
    fail(Code::unavailable, "git {}: {}", arguments.at(0) == "-C" ? arguments.at(2) : arguments.at(0), trim(result.err));
  }
  return std::string(trim(result.out));
}

}  // namespace

GitSource parseGitSource(const std::string& text) {
  GitSource out;
  const auto [url, fragment] = cut(text, '#');
  out.url = url;
  if (fragment) {
    const auto [ref, subdir] = cut(*fragment, ':');
    out.ref = ref;
    out.subdir = subdir.value_or("");
  }
  if (const auto [plain, query] = cut(url, '?'); query && url.find("://") != std::string::npos) {
    out.url = plain;
    Query(out, *query);
  }
  if (out.url.starts_with("github.com/")) out.url.insert(0, "https://");
  if (out.url.starts_with('-') || out.ref.starts_with('-')) fail(Code::invalid, "invalid git source {}", quoted(text));
  return out;
}

std::string checkOut(const GitSource& source, const std::string& dir, bool keepGitDir) {
  git({"init", "-q", "--", dir});
  git({"-C", dir, "remote", "add", "origin", "--", source.url});
  git({"-C", dir, "fetch", "-q", "--depth", "1", "origin", "--", source.ref.empty() ? "HEAD" : source.ref});
  git({"-C", dir, "checkout", "-q", "FETCH_HEAD"});
  if (source.submodules) git({"-C", dir, "submodule", "update", "-q", "--init", "--recursive", "--depth=1"});
  const std::string commit = git({"-C", dir, "rev-parse", "HEAD"});
  if (!source.checksum.empty() && !commit.starts_with(source.checksum)) {
    fail(Code::invalid, "expected checksum to match {}, got {}", source.checksum, commit);
  }
  if (!source.keepGitDir.value_or(keepGitDir)) removeTree(dir + "/.git");
  return commit;
}

}  // namespace estiba::build
