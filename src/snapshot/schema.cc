#include "snapshot/layers.h"

namespace estiba::snapshot {

// layer.boot: the boot of the machine in which it was written, until it is synced to the disk; then NULL.
// snapshot.freezing: the layer that its upper directory is just becoming.
// snapshot_layer.own: frozen from the snapshot itself, not of its image.
const db::Schema kSchema{"snapshot", {R"(
CREATE TABLE layer (
  id TEXT PRIMARY KEY,
  diff_id TEXT UNIQUE,
  content_bytes INTEGER,
  tar_bytes INTEGER,
  created INTEGER NOT NULL,
  boot TEXT
) STRICT;
CREATE TABLE snapshot (
  id TEXT PRIMARY KEY,
  created INTEGER NOT NULL,
  freezing TEXT
) STRICT;
CREATE TABLE snapshot_layer (
  snapshot TEXT NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer TEXT NOT NULL REFERENCES layer (id),
  own INTEGER NOT NULL,
  PRIMARY KEY (snapshot, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_layer_layer ON snapshot_layer (layer);
)"}};

}  // namespace estiba::snapshot
