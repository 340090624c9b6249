#include "build/run_mounts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "archive/copy.h"
#include "base/sha256.h"
#include "base/text.h"
#include "build/dockerfile/describe.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

class MountPreparer {
 public:
  explicit MountPreparer(const Step& step) : step_(step), s_(step.session) {}

  PreparedMounts prepare(const RunInstruction& run) {
    for (size_t i = 0; i < run.mounts.size(); ++i) add(run.mounts[i], i);
    return std::move(out_);
  }

 private:
  void add(const RunMount& m, size_t which) {
    const bool defaultSecret = m.type == MountType::secret && m.target.empty() && !m.env;
    StepMount mount;
    mount.target = resolveWorkdir(step_.state.config.WorkingDir, defaultSecret ? "/run/secrets/" + m.id : m.target);
    mount.readonly = m.readOnly;
    const std::string what = fmt::format("mount {} {}", mountTypeName(m.type), mount.target);
    switch (m.type) {
      case MountType::tmpfs:
        mount.tmpfsSize = m.sizeBytes;
        mount.readonly = false;
        out_.inputs.emplace_back(what, std::to_string(m.sizeBytes));
        break;
      case MountType::cache: cache(m, which, mount); break;
      case MountType::bind: bind(m, which, mount); break;
      case MountType::secret:
        out_.inputs.emplace_back(what, m.id);
        if (!secret(m, mount)) return;
        break;
      case MountType::ssh:
        if (m.required) fail(Code::not_implemented, "ssh mounts are not supported yet");
        return;
    }
    out_.mounts.push_back(std::move(mount));
  }

  void cache(const RunMount& m, size_t which, StepMount& mount) {
    const std::string id = m.id.empty() ? mount.target : m.id;
    mount.readonly = m.readOnly;
    out_.inputs.emplace_back("mount cache " + mount.target, id);
    const std::string caches = s_.services.root + "/buildcache";
    std::string dir = caches + "/" + sha256Hex(id);  // an id is never a path
    makeDirs(caches, 0700);
    lockCache(m.sharing.value_or(CacheSharing::shared), dir);
    if (!exists(dir)) makeCache(m, which, id, dir);
    mount.hostPath = dir;
  }

  // A private cache that is in use is left alone: `dir` becomes another one.
  void lockCache(CacheSharing sharing, std::string& dir) {
    if (sharing != CacheSharing::private_) {
      out_.locks.push_back(FileLock::acquire(dir + ".lock", sharing == CacheSharing::locked ? FileLock::Kind::exclusive
                                                                                            : FileLock::Kind::shared));
      return;
    }
    for (int n = 0;; ++n) {
      const std::string candidate = n == 0 ? dir : dir + "." + std::to_string(n);
      auto lock = FileLock::tryAcquire(candidate + ".lock", FileLock::Kind::exclusive);
      if (!lock) continue;
      out_.locks.push_back(std::move(lock));
      dir = candidate;
      return;
    }
  }

  void makeCache(const RunMount& m, size_t which, const std::string& id, const std::string& dir) {
    const std::string fresh = s_.temp.next();
    if (!m.from.empty()) {
      const auto tree = step_.sources.treeOf(step_.origin(which));
      archive::copyTree(tree->root(), m.source.empty() ? "/" : m.source, RootDir::open(fresh), "/", {});
    }
    sys([&] { return ::chown(fresh.c_str(), m.uid.value_or(0), m.gid.value_or(0)); }, "chown '{}'", fresh);
    sys([&] { return ::chmod(fresh.c_str(), m.mode.value_or(0755)); }, "chmod '{}'", fresh);
    if (::rename(fresh.c_str(), dir.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST) {
      throw SysError(errno, fmt::format("make cache '{}'", id));
    }
  }

  // What is bound is a copy: of the context without what .dockerignore leaves out, of a stage or image. Writes to it
  // are lost, as they are to be.
  void bind(const RunMount& m, size_t which, StepMount& mount) {
    const auto tree = step_.sources.treeOf(step_.origin(which));
    const std::string source = m.source.empty() ? "/" : m.source;
    out_.inputs.emplace_back("mount bind " + mount.target, source);
    const auto paths = tree->expand(source);
    const IgnoreMatcher none;
    tree->digest(paths.at(0), none, out_.inputs);
    const std::string dir = s_.temp.next();
    archive::CopyOptions options;
    if (!tree->keepOwner()) options.chown = {{0, 0}};
    options.filter = [&](const std::string& below, const struct stat& st) {
      return tree->wanted(paths[0], below, S_ISDIR(st.st_mode), none) ? archive::Pick::take : archive::Pick::skip;
    };
    const auto st = tree->root().stat(paths[0]);
    const bool directory = st && S_ISDIR(st->st_mode);
    archive::copyTree(tree->root(), paths[0], RootDir::open(dir), directory ? "/" : "/file", options);
    if (directory) ::chmod(dir.c_str(), 0755);
    mount.hostPath = directory ? dir : dir + "/file";
  }

  bool secret(const RunMount& m, StepMount& mount) {
    const auto& known = s_.request.secrets;
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& s) { return s.id == m.id; });
    if (found == known.end()) {
      if (m.required) fail(Code::not_found, "secret {}: not found", m.id);
      return false;
    }
    const std::string value = base64Decode(found->value).value_or("");
    if (m.env) {
      out_.secretEnv.emplace_back(m.env->empty() ? m.id : *m.env, value);
      if (m.target.empty()) return false;
    }
    const std::string path = s_.temp.next() + "/secret";
    writeFile(path, value, 0600);
    sys([&] { return ::chown(path.c_str(), m.uid.value_or(0), m.gid.value_or(0)); }, "chown a secret");
    sys([&] { return ::chmod(path.c_str(), m.mode.value_or(0400)); }, "chmod a secret");
    mount.hostPath = path;
    mount.readonly = true;
    return true;
  }

  const Step& step_;
  Session& s_;
  PreparedMounts out_;
};

}  // namespace

PreparedMounts prepareMounts(const Step& step, const RunInstruction& run) {
  return MountPreparer(step).prepare(run);
}

std::vector<std::string> missingTargets(const Step& step, const std::vector<StepMount>& mounts) {
  std::vector<std::string> out;
  if (mounts.empty()) return out;
  std::optional<RootDir> root;
  if (!step.state.layers.empty()) root.emplace(step.session.snapshots().mountReadOnly(step.state.layers), "stage");
  for (const auto& m : mounts) {
    std::string path;
    for (const auto& part : split(m.target, '/')) {
      if (part.empty()) continue;
      path += "/" + part;
      if (!root || !root->lstat(path)) out.push_back(path);
    }
  }
  return out;
}

void removeStubs(const std::string& upper, const std::vector<std::string>& stubs) {
  const RootDir root = RootDir::open(upper, RootDir::Confine::beneath);
  for (auto path = stubs.rbegin(); path != stubs.rend(); ++path) {
    try {
      const auto [parent, name] = root.parentOf(*path);
      struct stat st{};
      if (::fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (S_ISDIR(st.st_mode)) ::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR);
      else if (S_ISREG(st.st_mode) && st.st_size == 0) ::unlinkat(parent.get(), name.c_str(), 0);
    } catch (const Error&) {  // a parent that is gone, or is a link now
    }
  }
}

}  // namespace estiba::build
