#pragma once
// Building. Source: Engine API, ImageBuild (its query parameters), BuildCache, BuildPrune.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apitypes/extern_json.h"

namespace estiba::apitypes {

/// POST /build. The member names are the query parameters; maps travel as JSON text, vectors but `cachefrom`, `outputs`
/// (JSON too) as repeated parameters. The defaults are the server's for what is not sent.
struct BuildOptions {
  std::string dockerfile = "Dockerfile";
  std::vector<std::string> t;           ///< tags
  std::vector<std::string> extrahosts;  ///< "name:address"
  std::string remote;                   ///< git or http context; "client-session" is BuildKit's
  bool q = false;
  bool nocache = false;
  std::vector<std::string> cachefrom;
  std::string pull;  ///< "", "true", "1": always look for newer base images
  bool rm = true;
  bool forcerm = false;
  int64_t memory = 0;
  int64_t memswap = 0;
  int64_t cpushares = 0;
  std::string cpusetcpus;
  std::string cpusetmems;
  int64_t cpuperiod = 0;
  int64_t cpuquota = 0;
  std::string cgroupparent;
  std::map<std::string, Nullable<std::string>> buildargs;  ///< null: from nowhere, only declared
  int64_t shmsize = 0;
  bool squash = false;
  std::map<std::string, std::string> labels;
  std::string networkmode;
  std::string platform;
  std::string target;
  std::string outputs;
  std::vector<std::string> securityopt;
  std::string ulimits;
  std::string isolation;
  std::string buildid;
  std::string version = "1";  ///< 1 classic, 2 BuildKit
};
BOOST_DESCRIBE_STRUCT(BuildOptions, (),
                      (dockerfile, t, extrahosts, remote, q, nocache, cachefrom, pull, rm, forcerm, memory, memswap,
                       cpushares, cpusetcpus, cpusetmems, cpuperiod, cpuquota, cgroupparent, buildargs, shmsize, squash,
                       labels, networkmode, platform, target, outputs, securityopt, ulimits, isolation, buildid,
                       version))

/// One record of the build cache.
struct BuildCache {
  std::string ID;
  std::optional<std::vector<std::string>> Parents;
  std::string Type;  ///< internal, frontend, source.local, source.git.checkout, exec.cachemount, regular
  std::string Description;
  bool InUse = false;
  bool Shared = false;
  int64_t Size = 0;
  std::string CreatedAt;
  Nullable<std::string> LastUsedAt;
  int64_t UsageCount = 0;
};
BOOST_DESCRIBE_STRUCT(BuildCache, (),
                      (ID, Parents, Type, Description, InUse, Shared, Size, CreatedAt, LastUsedAt, UsageCount))

struct BuildCachePruneReport {
  Nullable<std::vector<std::string>> CachesDeleted;
  uint64_t SpaceReclaimed = 0;
};
BOOST_DESCRIBE_STRUCT(BuildCachePruneReport, (), (CachesDeleted, SpaceReclaimed))

}  // namespace estiba::apitypes

#define ESTIBA_BUILD_TYPES(X) \
  X(apitypes::BuildOptions)   \
  X(apitypes::BuildCache)     \
  X(apitypes::BuildCachePruneReport)

namespace estiba {
ESTIBA_BUILD_TYPES(ESTIBA_EXTERN_JSON)
}
