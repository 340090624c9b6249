#include "engine/mounts.h"

#include <algorithm>

#include "base/text.h"
#include "sys/file.h"

namespace estiba::engine {

namespace {

using apitypes::MountPoint;

const std::vector<std::string> kPropagations = {"private", "rprivate", "shared", "rshared", "slave", "rslave"};

struct ModeWords {
  bool rw = true;
  bool noCopy = false;
  std::string propagation;
};

ModeWords parseMode(const std::string& mode, const std::string& whole) {
  ModeWords out;
  for (const auto& word : split(mode, ',')) {
    if (word == "ro") out.rw = false;
    else if (word == "nocopy") out.noCopy = true;
    else if (std::find(kPropagations.begin(), kPropagations.end(), word) != kPropagations.end()) out.propagation = word;
    else if (word != "rw" && word != "z" && word != "Z" && word != "cached" && word != "delegated" &&
             word != "consistent" && !word.empty()) {
      fail(Code::invalid, "invalid volume specification: '{}': invalid mode: {}", whole, mode);
    }
  }
  return out;
}

void checkDestination(const std::string& path, const std::string& whole) {
  if (!path.starts_with('/')) {
    fail(Code::invalid, "invalid volume specification: '{}': invalid mount path: '{}' mount path must be absolute", whole,
         path);
  }
  const std::string clean = cleanPath(path);
  if (clean == "/") {
    fail(Code::invalid, "invalid volume specification: '{}': invalid specification: destination can't be '/'", whole);
  }
  if (clean == "/proc" || clean.starts_with("/proc/")) {
    fail(Code::forbidden, "invalid volume specification: '{}': mounting over '/proc' is not allowed", whole);
  }
}

class Resolver {
 public:
  explicit Resolver(Context& context) : ctx_(context) {}

  void addBind(const std::string& text) {
    // SRC:DST[:MODE]; DST alone makes an anonymous volume, which clients send in Config.Volumes instead.
    const auto parts = split(text, ':');
    if (parts.size() > 3 || parts.size() < 2 || parts[0].empty() || parts[1].empty()) {
      fail(Code::invalid, "invalid volume specification: '{}'", text);
    }
    const std::string mode = parts.size() == 3 ? parts[2] : "";
    checkDestination(parts[1], text);
    const ModeWords words = parseMode(mode, text);
    if (parts[0].starts_with('/')) {
      MountPoint m;
      m.Type = "bind";
      m.Source = cleanPath(parts[0]);
      m.Destination = cleanPath(parts[1]);
      m.Mode = mode;
      m.RW = words.rw;
      m.Propagation = words.propagation.empty() ? "rprivate" : words.propagation;
      put(std::move(m));
    } else {
      addVolume(parts[0], parts[1], mode.empty() ? "z" : mode, words.rw, {});
    }
  }

  void addVolume(const std::string& name, const std::string& destination, const std::string& mode, bool rw,
                 const std::map<std::string, std::string>& labels) {
    volume::CreateOptions options;
    options.name = name;
    options.labels = labels;
    const auto volume = ctx_.volumes.create(options);
    MountPoint m;
    m.Type = "volume";
    m.Name = volume.name;
    m.Source = volume.mountpoint;
    m.Destination = cleanPath(destination);
    m.Driver = volume.driver;
    m.Mode = mode;
    m.RW = rw;
    put(std::move(m));
  }

  void addMount(const apitypes::Mount& asked) {
    const std::string type = asked.Type.value_or("volume");
    const std::string target = asked.Target.value_or("");
    if (target.empty()) fail(Code::invalid, "invalid mount config for type \"{}\": field Target must not be empty", type);
    checkDestination(target, target);
    const bool rw = !asked.ReadOnly.value_or(false);
    if (type == "bind") {
      const std::string source = asked.Source.value_or("");
      if (source.empty()) fail(Code::invalid, "invalid mount config for type \"bind\": field Source must not be empty");
      if (!source.starts_with('/')) {
        fail(Code::invalid, "invalid mount config for type \"bind\": invalid mount path: '{}' mount path must be absolute",
             source);
      }
      if (!exists(source)) {
        fail(Code::invalid, "invalid mount config for type \"bind\": bind source path does not exist: {}", source);
      }
      MountPoint m;
      m.Type = "bind";
      m.Source = cleanPath(source);
      m.Destination = cleanPath(target);
      m.RW = rw;
      m.Propagation = asked.BindOptions && asked.BindOptions->Propagation ? *asked.BindOptions->Propagation : "rprivate";
      put(std::move(m));
    } else if (type == "volume") {
      const auto labels = asked.VolumeOptions && asked.VolumeOptions->Labels ? *asked.VolumeOptions->Labels
                                                                            : std::map<std::string, std::string>{};
      if (asked.VolumeOptions && asked.VolumeOptions->Subpath) {
        fail(Code::not_implemented, "--mount volume-subpath is not supported yet");
      }
      addVolume(asked.Source.value_or(""), target, "z", rw, labels);
    } else if (type == "tmpfs") {
      std::string options;
      if (asked.TmpfsOptions && asked.TmpfsOptions->SizeBytes) {
        options += fmt::format("size={}", *asked.TmpfsOptions->SizeBytes);
      }
      if (asked.TmpfsOptions && asked.TmpfsOptions->Mode) {
        options += fmt::format("{}mode={:o}", options.empty() ? "" : ",", *asked.TmpfsOptions->Mode);
      }
      addTmpfs(target, options, rw);
    } else {
      fail(Code::not_implemented, "--mount type={} is not supported yet", type);
    }
  }

  void addTmpfs(const std::string& target, const std::string& options, bool rw = true) {
    checkDestination(target, target);
    MountPoint m;
    m.Type = "tmpfs";
    m.Destination = cleanPath(target);
    m.Mode = options;
    m.RW = rw;
    put(std::move(m));
  }

  void addFrom(const std::string& text) {
    const auto [ref, mode] = cut(text, ':');
    const auto other = ctx_.records.get(ref);
    for (auto m : other.body.mounts) {
      if (mode == "ro") m.RW = false;
      put(std::move(m));
    }
  }

  bool has(const std::string& destination) const {
    return std::any_of(mounts_.begin(), mounts_.end(), [&](const auto& m) { return m.Destination == destination; });
  }

  std::vector<MountPoint> take() { return std::move(mounts_); }

 private:
  // What comes later at the same place wins.
  void put(MountPoint m) {
    std::erase_if(mounts_, [&](const auto& o) { return o.Destination == m.Destination; });
    mounts_.push_back(std::move(m));
  }
  Context& ctx_;
  std::vector<MountPoint> mounts_;
};

}  // namespace

std::vector<MountPoint> resolveMounts(Context& context, const apitypes::ContainerConfig& config,
                                      const apitypes::HostConfig& host) {
  Resolver resolver(context);
  if (host.VolumesFrom) {
    for (const auto& from : *host.VolumesFrom) resolver.addFrom(from);
  }
  if (host.Binds) {
    for (const auto& bind : *host.Binds) resolver.addBind(bind);
  }
  if (host.Mounts) {
    for (const auto& mount : *host.Mounts) resolver.addMount(mount);
  }
  if (host.Tmpfs) {
    for (const auto& [path, options] : *host.Tmpfs) resolver.addTmpfs(path, options);
  }
  if (config.Volumes) {
    for (const auto& [path, empty] : *config.Volumes) {
      checkDestination(path, path);
      if (!resolver.has(cleanPath(path))) resolver.addVolume("", path, "", true, {});
    }
  }
  return resolver.take();
}

void prepareMounts(Context& context, const container::Record& record, const std::function<Fd()>& mountImage) {
  std::optional<RootDir> image;
  for (const auto& m : record.body.mounts) {
    if (m.Type == "bind") {
      if (!exists(m.Source)) makeDirs(m.Source, 0755);
    } else if (m.Type == "volume") {
      const auto volume = context.volumes.get(*m.Name);
      if (!listDir(volume.mountpoint).empty()) continue;
      if (!image) image.emplace(mountImage(), "image of " + record.name);
      context.volumes.fillFrom(volume, *image, m.Destination);
    }
  }
}

}  // namespace estiba::engine
