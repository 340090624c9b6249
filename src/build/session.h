#pragma once
// What all parts of one build share. (Internal to this module, as the headers that include it but builder.h.)

#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "build/builder.h"
#include "build/layer_hasher.h"
#include "sys/lease.h"

namespace estiba::build {

/// A directory of this build's own under <root>/tmp, gone with the object.
class TempDir {
 public:
  explicit TempDir(const std::string& root);
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  /// A new, empty directory in it (0700). Any thread.
  std::string next();

 private:
  std::mutex mutex_;
  std::string path_;
  Fd held_;  ///< what nobody holds is swept
  int count_ = 0;
};

/// How the steps went, told by several stages at a time.
class Reports {
 public:
  /// `key`: of the step in the cache.
  void add(const std::string& key, StepReport report);
  std::vector<StepReport> all() const;
  std::vector<std::string> usedKeys() const;  ///< of the steps that were cached

 private:
  mutable std::mutex mutex_;
  std::vector<StepReport> reports_;
  std::vector<std::string> used_;
};

struct Session {
  Session(const BuildServices& s, const apitypes::BuildRequest& r, std::vector<Fd> fds, Progress& p,
          std::stop_token token)
      : services(s),
        request(r),
        descriptors(std::move(fds)),
        progress(p),
        stop(std::move(token)),
        temp(s.root),
        hasher(s.images.snapshots().layers(), s.cache, lease) {
    for (const auto& agent : r.ssh) sshAgents[agent.id] = claim(agent.fd);
  }

  snapshot::Snapshotter& snapshots() const { return services.images.snapshots(); }

  /// Takes one of the request's descriptors; empty for none. Throws Error(invalid) where it is not there (any more).
  Fd claim(std::optional<int> which);

  BuildServices services;
  const apitypes::BuildRequest& request;
  std::vector<Fd> descriptors;
  std::map<std::string, Fd> sshAgents;  ///< their sockets, by id
  Progress& progress;
  std::stop_token stop;
  TempDir temp;
  Reports reports;
  Lease lease;         ///< of every layer that the build stands on or has made
  LayerHasher hasher;  ///< after the lease, under which it works
};

}  // namespace estiba::build
