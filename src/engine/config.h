#pragma once

#include <string>
#include <vector>

namespace estiba::engine {

/// What an engine is started with. Names as in daemon.json.
struct Config {
  std::string root = "/var/lib/estiba";  ///< data-root
  std::string execRoot = "/run/estiba";  ///< exec-root
  std::string executable = "/proc/self/exe";  ///< our own binary, for the monitor and reap roles
  bool debug = false;
};

/// Where things lie under the two roots.
class Layout {
 public:
  explicit Layout(const Config& config) : root_(config.root), exec_(config.execRoot) {}
  const std::string& root() const { return root_; }
  std::string database() const { return root_ + "/estiba.db"; }
  std::string rootLock() const { return root_ + "/lock"; }
  std::string engines() const { return root_ + "/engines"; }
  std::string cache() const { return exec_ + "/cache"; }
  /// hosts, hostname, resolv.conf, the log: as long as the container.
  std::string containerDir(const std::string& id) const { return root_ + "/containers/" + id; }
  std::string logPath(const std::string& id) const { return containerDir(id) + "/" + id + "-json.log"; }
  /// Bundle, socket, exit.json: while it runs.
  std::string runDir(const std::string& id) const { return exec_ + "/containers/" + id; }
  std::string runBase() const { return exec_ + "/containers"; }

 private:
  std::string root_;
  std::string exec_;
};

}  // namespace estiba::engine
