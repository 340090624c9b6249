#pragma once
// What the services of one engine share: configuration, stores, records.

#include <functional>
#include <mutex>
#include <optional>

#include "container/record.h"
#include "container/spec_builder.h"
#include "content/store.h"
#include "db/db.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/presence.h"
#include "image/images.h"
#include "net/network.h"
#include "snapshot/snapshotter.h"
#include "sys/lock.h"
#include "volume/volumes.h"

namespace estiba::engine {

/// Members are made in this order; nothing here is mounted or running when it goes.
class Context {
 public:
  /// Makes the directories, opens and migrates the database. Throws Error(conflict) where a newer estiba wrote it.
  explicit Context(Config config);

  Config config;
  Layout layout;
  Presence presence;

 private:
  FileLock rootLock_;  // shared: an upgrade of the root takes it exclusively

 public:
  db::Pool pool;
  Events events;
  content::Store content;
  snapshot::Snapshotter snapshots;
  image::Images images;
  volume::Volumes volumes;
  net::Networks networks;
  container::Records records;

  /// Read once. `withDevices`: with the host's device nodes.
  const container::HostFacts& hostFacts(bool withDevices);
  /// Whether housekeeping is due that no command should wait for: something was thrown away that is still to be deleted
  /// (Layers::emptyTrash), or the database's log has grown.
  bool needsSweep() const;
  /// Tells those who wait for this container (WaitFor, attach before start) that its row has changed.
  void poke(const std::string& containerId) noexcept;
  /// A directory with the mount points that every container needs (/proc, /etc/hosts …): it lies on top of the image's
  /// layers, so that none of them shows up in a container's changes or a build's layers.
  const std::string& initLayer();
  /// Tidying up that must not fail: on a full disk it is tried again with the reserve; when it fails all the same, that is
  /// logged and the next command recovers. Whether it was done.
  bool tidy(std::string_view what, const std::function<void()>& up) noexcept;
  /// Who uses an image, for Images::remove.
  image::UsersOf imageUsers();

 private:
  std::mutex factsMutex_;
  std::optional<container::HostFacts> facts_[2];
  std::once_flag initOnce_;
  std::string initLayer_;
};

}  // namespace estiba::engine
