#pragma once
// Overlayfs upper directories become one (internal to this module).

#include <vector>

#include "archive/layer.h"

namespace estiba::snapshot {

/// Fills the empty directory `target` with what `uppers` (bottom first; immutable from now on) say together: files are
/// hard links to theirs, nothing is copied. Whiteouts and opaque marks stay, as there may be layers below.
void mergeUppers(const std::vector<int>& uppers, int target);

/// What `second`, made over `first`, which was made over an image, changes of the image: sorted by path.
std::vector<archive::Change> composeChanges(const std::vector<archive::Change>& first,
                                            const std::vector<archive::Change>& second);

}  // namespace estiba::snapshot
