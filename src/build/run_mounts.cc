#include "build/run_mounts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "archive/copy.h"
#include "base/sha256.h"
#include "base/text.h"
#include "build/dockerfile/describe.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

std::string lastName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string secretId(const RunMount& m) {
  if (!m.source.empty()) return m.source;
  return m.id.empty() ? lastName(m.target) : m.id;
}

std::string sshId(const RunMount& m) {
  return m.id.empty() ? kDefaultSshId : m.id;
}

// By the target as it is written: a relative one names the same cache in every working directory.
std::string cacheId(const RunMount& m) {
  if (!m.id.empty()) return m.id;
  const std::string clean = cleanPath(m.target);
  return m.target.starts_with('/') ? clean : clean.substr(1);
}

std::string sourceOf(const RunMount& m) {
  return cleanPath(m.source);
}

// The directory itself, as the host knows it: nullopt where its path leads somewhere else for us (another mount
// namespace, a removed directory).
std::optional<std::string> hostPathOf(const RootDir& root) {
  const std::string path = readLinkAt(AT_FDCWD, fmt::format("/proc/self/fd/{}", root.fd()));
  struct stat mine{}, there{};
  if (::fstat(root.fd(), &mine) != 0 || ::stat(path.c_str(), &there) != 0) return std::nullopt;
  if (mine.st_dev != there.st_dev || mine.st_ino != there.st_ino) return std::nullopt;
  return path;
}

}  // namespace

RunMounts::RunMounts(const Step& step, const RunInstruction& run) : step_(step), s_(step.session) {
  for (size_t i = 0; i < run.mounts.size(); ++i) planned_.push_back(plan(run.mounts[i], step.origin(i)));
}

std::string RunMounts::targetOf(const RunMount& m) const {
  std::string target = m.target;
  if (m.type == MountType::secret && target.empty() && !m.env) target = "/run/secrets/" + lastName(secretId(m));
  if (m.type == MountType::ssh && target.empty()) {
    const auto before = std::count_if(planned_.begin(), planned_.end(),
                                      [](const auto& p) { return p.mount->type == MountType::ssh; });
    target = fmt::format("/run/buildkit/ssh_agent.{}", before);
  }
  return resolveWorkdir(step_.state.config.WorkingDir, target);
}

std::string RunMounts::sshSocket() const {
  const auto first = std::find_if(planned_.begin(), planned_.end(),
                                  [](const auto& p) { return p.mount->type == MountType::ssh; });
  return first == planned_.end() ? "" : first->target;
}

RunMounts::Planned RunMounts::plan(const RunMount& m, const Origin& origin) {
  Planned p;
  p.mount = &m;
  p.origin = &origin;
  p.target = targetOf(m);
  const bool mounted = !(m.type == MountType::secret && m.target.empty() && m.env);
  if (mounted && p.target == "/") fail(Code::invalid, "invalid mount target {}", quoted(p.target));
  std::string value;
  switch (m.type) {
    case MountType::bind: value = sourceOf(m); break;
    case MountType::cache: value = cacheId(m) + (m.from.empty() ? "" : " from " + step_.sources.keyOf(origin)); break;
    case MountType::tmpfs: value = std::to_string(m.sizeBytes); break;
    case MountType::secret: value = secretId(m); break;
    case MountType::ssh: value = sshId(m); break;
  }
  inputs_.emplace_back(fmt::format("mount {} {}", mountTypeName(m.type), p.target),
                       value + (m.readOnly ? "" : " writable"));
  if (m.type == MountType::bind) {
    try {
      p.tree = step_.sources.treeOf(origin);
      p.path = p.tree->find(m.source);
    } catch (const Error& e) {
      if (e.code() != Code::not_found) throw;
      fail(Code::not_found, "failed to calculate checksum of ref: {}", e.what());
    }
    p.met = p.tree->digest(p.path, {}, inputs_);
    const auto st = p.tree->root().stat(p.path);
    p.directory = st && S_ISDIR(st->st_mode);
  }
  return p;
}

MadeMounts RunMounts::make() {
  MadeMounts out;
  std::map<const Planned*, std::string> caches;
  lockCaches(out, caches);
  for (const auto& p : planned_) {
    switch (p.mount->type) {
      case MountType::bind: out.mounts.push_back(makeBind(p, out)); break;
      case MountType::cache: out.mounts.push_back(makeCache(p, caches.at(&p))); break;
      case MountType::tmpfs:
        out.mounts.push_back({p.target, p.mount->readOnly, false, TmpfsMount{p.mount->sizeBytes}});
        break;
      case MountType::secret: addSecret(p, out); break;
      case MountType::ssh: addSsh(p, out); break;
    }
  }
  return out;
}

// --- caches ---

std::string RunMounts::cacheDirOf(const Planned& p) const {
  const RunMount& m = *p.mount;
  std::string name = cacheId(m);
  // What it starts with is part of what it is.
  if (!m.from.empty()) name += "\n" + step_.sources.keyOf(*p.origin) + "\n" + sourceOf(m);
  return s_.services.root + "/buildcache/" + sha256Hex(name);  // an id is never a path
}

// In the order of their names, so that no two steps wait for each other; once each, as one step may mount one twice.
void RunMounts::lockCaches(MadeMounts& out, std::map<const Planned*, std::string>& dirs) {
  std::map<std::string, CacheSharing> wanted;
  for (const auto& p : planned_) {
    if (p.mount->type != MountType::cache) continue;
    const std::string dir = dirs[&p] = cacheDirOf(p);
    const auto sharing = p.mount->sharing.value_or(CacheSharing::shared);
    const auto [found, fresh] = wanted.emplace(dir, sharing);
    if (!fresh && sharing != CacheSharing::shared) found->second = sharing;
  }
  if (!wanted.empty()) makeDirs(s_.services.root + "/buildcache", 0700);
  std::map<std::string, std::string> chosen;
  for (const auto& [dir, sharing] : wanted) {
    std::string own = dir;
    FileLock lock;
    if (sharing == CacheSharing::private_) {
      // One that is in use is left alone.
      for (int n = 1; !(lock = FileLock::tryAcquire(own + ".lock", FileLock::Kind::exclusive)); ++n) {
        own = fmt::format("{}.{}", dir, n);
      }
    } else {
      lock = FileLock::acquire(own + ".lock", sharing == CacheSharing::locked ? FileLock::Kind::exclusive
                                                                              : FileLock::Kind::shared);
    }
    out.locks.emplace(own, std::move(lock));
    chosen[dir] = own;
  }
  for (auto& [p, dir] : dirs) dir = chosen.at(dir);
}

StepMount RunMounts::makeCache(const Planned& p, const std::string& dir) {
  const RunMount& m = *p.mount;
  if (!exists(dir)) {
    const std::string fresh = s_.temp.next();
    if (!m.from.empty()) {
      const auto tree = step_.sources.treeOf(*p.origin);
      archive::copyTree(tree->root(), sourceOf(m), RootDir::open(fresh), "/", {});
    }
    if (m.from.empty() || m.uid || m.gid) {
      sys([&] { return ::chown(fresh.c_str(), m.uid.value_or(0), m.gid.value_or(0)); }, "chown '{}'", fresh);
    }
    if (m.from.empty() || m.mode) {
      sys([&] { return ::chmod(fresh.c_str(), m.mode.value_or(0755) & 07777); }, "chmod '{}'", fresh);
    }
    if (::rename(fresh.c_str(), dir.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST) {
      throw SysError(errno, fmt::format("make cache '{}'", cacheId(m)));
    }
  }
  if (!m.from.empty() || sourceOf(m) == "/") return {p.target, m.readOnly, false, HostMount{dir}};
  return {p.target, m.readOnly, false, TreeMount{{}, dir, sourceOf(m)}};
}

// --- binds ---

StepMount RunMounts::makeBind(const Planned& p, MadeMounts& out) {
  const bool readonly = p.mount->readOnly;
  const bool file = !p.directory;
  if (const auto layers = step_.sources.layersOf(*p.origin)) {
    if (layers->empty()) return copied(p);
    StepStack stack;
    if (readonly) {
      stack.lowers = s_.snapshots().layers().lowers(*layers);
    } else {
      const auto mounts = out.thrownAway.emplace_back(s_.snapshots().prepare(*layers, s_.lease)).mounts();
      stack = {mounts.lowers, mounts.upper, mounts.work};
    }
    return {p.target, readonly, file, TreeMount{std::move(stack), "", p.path}};
  }
  // A step sees of the context what COPY would bring: nothing that is ignored, and all of it root's.
  const bool asItLies = readonly && !p.met.leftOut && !p.met.otherOwner;
  const auto place = asItLies ? hostPathOf(p.tree->root()) : std::nullopt;
  return place ? StepMount{p.target, true, file, TreeMount{{}, *place, p.path}} : copied(p);
}

// Of files that are not mounted in place; what is written to it is lost.
StepMount RunMounts::copied(const Planned& p) {
  const std::string dir = s_.temp.next();
  const IgnoreMatcher none;
  archive::CopyOptions options;
  if (!p.tree->keepOwner()) options.chown = {{0, 0}};
  options.filter = [&](const std::string& below, const struct stat& st) {
    return p.tree->wanted(p.path, below, S_ISDIR(st.st_mode), none) ? archive::Pick::take : archive::Pick::skip;
  };
  const std::string name = p.directory ? "/dir" : "/file";
  archive::copyTree(p.tree->root(), p.path, RootDir::open(dir), name, options);
  return {p.target, p.mount->readOnly, !p.directory, HostMount{dir + name}};
}

// --- secrets ---

void RunMounts::addSecret(const Planned& p, MadeMounts& out) {
  const RunMount& m = *p.mount;
  const std::string id = secretId(m);
  const auto& known = s_.request.secrets;
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& s) { return s.id == id; });
  if (found == known.end()) {
    if (m.required) fail(Code::not_found, "secret {}: not found", id);
    return;
  }
  std::string value = base64Decode(found->value).value_or("");
  if (m.env) out.env.emplace_back(m.env->empty() ? id : *m.env, value);
  if (m.env && m.target.empty()) return;
  FileMount file{std::move(value), m.mode.value_or(0400) & 0777, m.uid.value_or(0), m.gid.value_or(0)};
  out.mounts.push_back({p.target, true, true, std::move(file)});
}

// --- ssh agents ---

void RunMounts::addSsh(const Planned& p, MadeMounts& out) {
  const RunMount& m = *p.mount;
  const auto agent = s_.sshAgents.find(sshId(m));
  if (agent == s_.sshAgents.end()) {
    if (!m.required) return;
    if (s_.sshAgents.empty()) fail(Code::not_found, "no SSH key {} forwarded from the client", quoted(sshId(m)));
    fail(Code::not_found, "unset ssh forward key {}", sshId(m));
  }
  auto relay = std::make_unique<SshRelay>(s_.temp.next(), m.mode.value_or(0600) & 0777, m.uid.value_or(0),
                                          m.gid.value_or(0), agent->second.get());
  out.mounts.push_back({p.target, false, true, HostMount{relay->path()}});
  out.relays.push_back(std::move(relay));
}

}  // namespace estiba::build
