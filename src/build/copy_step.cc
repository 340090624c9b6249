#include "build/copy_step.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "archive/copy.h"
#include "archive/extract.h"
#include "archive/stream.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "build/dockerfile/describe.h"
#include "sys/file.h"

namespace estiba::build {

namespace {

std::string baseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool isDirectory(const RootDir& root, const std::string& path) {
  const auto st = root.stat(path);
  return st && S_ISDIR(st->st_mode);
}

// --parents: "a/./b/c" lands as "b/c", "a/b" as "a/b".
std::string parentsName(const std::string& pattern, const std::string& path) {
  const size_t pivot = pattern.find("/./");
  if (pivot == std::string::npos) return path;
  const std::string base = cleanPath(pattern.substr(0, pivot));
  const std::string prefix = base.starts_with('/') ? base.substr(1) : base;
  return path.starts_with(prefix + "/") ? path.substr(prefix.size() + 1) : path;
}

class Copier {
 public:
  Copier(const CopyPlan& plan, const RootDir& target, const image::Accounts& accounts)
      : plan_(plan), copy_(*plan.instruction), target_(target) {
    if (!copy_.chown.empty()) {
      const auto user = image::resolveUser(accounts, copy_.chown, {});
      // "--chown=33" means 33:33, whatever group that user has.
      const bool group = copy_.chown.find(':') != std::string::npos;
      const bool number = copy_.chown.find_first_not_of("0123456789") == std::string::npos;
      owner_ = {user.uid, group || !number ? user.gid : user.uid};
    } else if (!plan.tree || !plan.tree->keepOwner()) {
      owner_ = {0, 0};
    }
    options_.chown = owner_;
    if (!copy_.chmod.empty()) {
      options_.chmod = [this](mode_t mode, bool directory) { return changedMode(copy_.chmod, mode, directory); };
    }
    options_.updateExistingDirs = false;
    options_.devices = plan.tree && plan.tree->keepOwner();
  }

  void run() {
    const size_t count = plan_.paths.size() + plan_.fetched.size() + plan_.inlineFiles.size();
    if (count > 1 && !plan_.toDirectory && !copy_.parents) {
      fail(Code::invalid,
           "When using {} with more than one source file, the destination must be a directory and end with a /",
           copy_.add ? "ADD" : "COPY");
    }
    for (size_t i = 0; i < plan_.paths.size(); ++i) copyPath(plan_.paths[i], i);
    for (const auto& file : plan_.fetched) copyFetched(file);
    for (const auto& file : plan_.inlineFiles) writeInline(file);
  }

 private:
  std::pair<uid_t, gid_t> ownerOr0() const { return owner_.value_or(std::pair<uid_t, gid_t>{0, 0}); }

  void makeParents(const std::string& path) {
    const std::string parent = path.substr(0, path.rfind('/'));
    if (parent.empty()) return;
    const auto [uid, gid] = ownerOr0();
    target_.makeDirs(parent, 0755, uid, gid);
  }

  // Where a file called `name` lands.
  std::string destinationOf(const std::string& name) {
    if (plan_.toDirectory || isDirectory(target_, plan_.destination)) {
      return (plan_.destination == "/" ? "" : plan_.destination) + "/" + name;
    }
    return plan_.destination;
  }

  void copyPath(const std::string& path, size_t index) {
    const auto& source = plan_.tree->root();
    auto options = options_;
    const bool directory = isDirectory(source, path);
    options.filter = [&](const std::string& below, const struct stat& st) {
      const bool dir = S_ISDIR(st.st_mode);
      return plan_.tree->wanted(path, below, dir, plan_.excludes) ? archive::Pick::take
             : dir && plan_.tree->wanted(path, below, true, plan_.excludes) ? archive::Pick::inside_only
                                                                            : archive::Pick::skip;
    };
    if (copy_.parents) {
      const std::string name = plan_.names[index];
      const std::string to = name == "." ? plan_.destination : (plan_.destination == "/" ? "" : plan_.destination) + "/" + name;
      makeParents(to);
      archive::copyTree(source, path, target_, to, options);
      return;
    }
    if (directory) {
      const auto [uid, gid] = ownerOr0();
      if (!isDirectory(target_, plan_.destination)) {
        const auto st = source.stat(path);
        makeParents(plan_.destination);
        const mode_t mode = options.chmod ? options.chmod(st->st_mode & 07777, true) : st->st_mode & 07777;
        target_.makeDirs(plan_.destination, mode, owner_ ? uid : st->st_uid, owner_ ? gid : st->st_gid);
      }
      archive::copyTree(source, path, target_, plan_.destination, options);
      return;
    }
    if (copy_.add && copy_.unpack.value_or(true)) {
      const Fd fd = source.openPath(path, O_RDONLY | O_NONBLOCK);
      if (unpack(fd.get(), copy_.unpack.value_or(false))) return;
    }
    const std::string to = destinationOf(baseName(path));
    makeParents(to);
    options.replace = true;
    archive::copyTree(source, path, target_, to, options);
  }

  // A local archive lands as its content. `foreign`: zip, 7z and rar too.
  bool unpack(int fd, bool foreign) {
    struct stat st{};
    sys([&] { return ::fstat(fd, &st); }, "stat an archive");
    if (!S_ISREG(st.st_mode)) return false;
    archive::ExtractOptions extract;
    if (!copy_.chown.empty()) {
      extract.uid = owner_->first;
      extract.gid = owner_->second;
    }
    if (archive::looksLikeArchive(fd)) {
      archive::FdSource from(fd, "archive");
      archive::extractArchive(from, target_, plan_.destination, extract);
      return true;
    }
    if (!foreign || !archive::looksLikeForeignArchive(fd)) return false;
    archive::extractForeign(fd, target_, plan_.destination, extract);
    return true;
  }

  void copyFetched(const Fetched& file) {
    if (file.tree) {
      const RootDir root = RootDir::open(file.path);
      if (!isDirectory(target_, plan_.destination)) {
        const auto [uid, gid] = ownerOr0();
        target_.makeDirs(plan_.destination, 0755, uid, gid);
      }
      archive::copyTree(root, ".", target_, plan_.destination, options_);
      return;
    }
    if (copy_.unpack.value_or(false)) {
      const Fd fd = openFile(file.path, O_RDONLY);
      if (unpack(fd.get(), true)) return;
    }
    const std::string to = destinationOf(file.name);
    makeParents(to);
    const RootDir root = RootDir::open(file.path.substr(0, file.path.rfind('/')));
    auto options = options_;
    options.replace = true;
    archive::copyTree(root, baseName(file.path), target_, to, options);
  }

  void writeInline(const InlineFile& file) {
    const std::string to = destinationOf(file.name);
    makeParents(to);
    const auto [parent, name] = target_.parentOf(to);
    ::unlinkat(parent.get(), name.c_str(), 0);
    const Fd fd = openAt(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    writeAll(fd.get(), file.content, to);
    const auto [uid, gid] = ownerOr0();
    sys([&] { return ::fchown(fd.get(), uid, gid); }, "chown '{}'", to);
    const mode_t mode = options_.chmod ? options_.chmod(0644, false) : 0644;
    sys([&] { return ::fchmod(fd.get(), mode); }, "chmod '{}'", to);
  }

  const CopyPlan& plan_;
  const CopyInstruction& copy_;
  const RootDir& target_;
  std::optional<std::pair<uid_t, gid_t>> owner_;
  archive::CopyOptions options_;
};

}  // namespace

mode_t changedMode(const std::string& chmod, mode_t mode, bool directory) {
  if (chmod.find_first_not_of("01234567") == std::string::npos) return static_cast<mode_t>(std::stoul(chmod, nullptr, 8));
  checkChmod(chmod);
  mode_t out = mode & 07777;
  for (const auto& clause : split(chmod, ',')) {
    const size_t op = clause.find_first_of("+-=");
    if (op == std::string::npos) fail(Code::invalid, "invalid chmod parameter: '{}'", chmod);
    const std::string who = op == 0 ? "a" : clause.substr(0, op);
    mode_t mask = 0;
    for (const char c : who) {
      if (c == 'u' || c == 'a') mask |= 04700;
      if (c == 'g' || c == 'a') mask |= 02070;
      if (c == 'o' || c == 'a') mask |= 01007;
    }
    mode_t bits = 0;
    for (const char c : clause.substr(op + 1)) {
      if (c == 'r') bits |= 0444;
      if (c == 'w') bits |= 0222;
      if (c == 'x' || (c == 'X' && (directory || (mode & 0111) != 0))) bits |= 0111;
      if (c == 's') bits |= 06000;
      if (c == 't') bits |= 01000;
    }
    bits &= mask;
    if (clause[op] == '+') out |= bits;
    else if (clause[op] == '-') out &= ~bits;
    else out = (out & ~(mask & 0777)) | bits;
  }
  return out;
}

CopyPlan planCopy(const CopyInstruction& instruction, std::shared_ptr<SourceTree> tree, std::vector<Fetched> fetched,
                  const std::string& workdir) {
  CopyPlan plan;
  plan.instruction = &instruction;
  plan.tree = std::move(tree);
  plan.fetched = std::move(fetched);
  plan.inlineFiles = instruction.inlineFiles;
  const std::string& to = instruction.destination;
  plan.destination = resolveWorkdir(workdir, to);
  plan.toDirectory = to.ends_with('/') || to == "." || to.ends_with("/.") || to == "..";
  plan.excludes = IgnoreMatcher(instruction.excludes);
  for (const auto& source : instruction.sources) {
    if (instruction.add && (isHttpSource(source) || isGitSource(source))) continue;
    for (auto& path : plan.tree->expand(source)) {
      if (instruction.parents) plan.names.push_back(parentsName(source, path));
      plan.paths.push_back(std::move(path));
    }
  }
  return plan;
}

void addInputs(const CopyPlan& plan, Inputs& inputs) {
  const auto& copy = *plan.instruction;
  inputs.emplace_back("destination", plan.destination + (plan.toDirectory ? "/" : ""));
  const auto option = [&](const char* name, const std::string& value) {
    if (!value.empty()) inputs.emplace_back(name, value);
  };
  option("--chown", copy.chown);
  option("--chmod", copy.chmod);
  option("--parents", copy.parents ? join(plan.names, "\n") : "");
  option("--unpack", copy.unpack ? (*copy.unpack ? "true" : "false") : "");
  option("kind", copy.add ? "ADD" : "COPY");
  for (const auto& path : plan.paths) {
    option("source", path);
    plan.tree->digest(path, plan.excludes, inputs);
  }
  for (const auto& file : plan.fetched) inputs.emplace_back("file " + file.name, file.digest);
  for (const auto& file : plan.inlineFiles) inputs.emplace_back("file " + file.name, sha256Hex(file.content));
}

void runCopy(const CopyPlan& plan, const RootDir& target, const image::Accounts& accounts) {
  Copier(plan, target, accounts).run();
}

}  // namespace estiba::build
