#pragma once
// Named and anonymous volumes of the `local` driver: directories under <root>/volumes that outlive containers.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "db/db.h"
#include "sys/root_dir.h"

namespace estiba::volume {

struct Volume {
  std::string name;
  std::string driver = "local";
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> options;
  Time created;
  bool anonymous = false;
  std::string mountpoint;  ///< <root>/volumes/<name>/_data
};

struct CreateOptions {
  std::string name;  ///< empty: a random one of 64 hex digits, marked anonymous
  std::string driver = "local";
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> options;
};

/// Tables volume and volume_use. A use is a foreign key: a volume in use cannot be removed.
extern const db::Schema kSchema;

/// The volumes of one engine root. Any thread; each call takes its own connection.
class Volumes {
 public:
  Volumes(db::Pool& pool, std::string root) : pool_(pool), dir_(std::move(root) + "/volumes") {}

  /// The volume of that name, made if it is not there. Throws Error(invalid) for a name that is none
  /// ([a-zA-Z0-9][a-zA-Z0-9_.-]), Error(not_found) for a driver other than `local`.
  Volume create(const CreateOptions& options);
  std::optional<Volume> find(const std::string& name);
  /// Throws Error(not_found) "get NAME: no such volume".
  Volume get(const std::string& name);
  std::vector<Volume> list();
  /// Throws Error(conflict) where a container uses it: "remove NAME: volume is in use - [ID]".
  void remove(const std::string& name);

  void addUse(const std::string& name, const std::string& containerId);
  void dropUses(const std::string& containerId);
  std::vector<std::string> usersOf(const std::string& name);
  /// Anonymous volumes that only `containerId` uses: what `rm -v` takes along.
  std::vector<std::string> anonymousOf(const std::string& containerId);

  /// Fills an empty volume from `source` (a directory of the image, confined to its root) the first time that it is
  /// used: contents, owner and mode of the directory itself. Nothing happens where the volume holds anything.
  void fillFrom(const Volume& volume, const RootDir& image, const std::string& source);

  /// Sweeps directories without a row that hold nothing: their making was interrupted.
  void recover();

 private:
  std::string pathOf(const std::string& name) const { return dir_ + "/" + name; }
  db::Pool& pool_;
  std::string dir_;
};

}  // namespace estiba::volume
