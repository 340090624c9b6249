#pragma once
// The rows of images, read and written (internal to this module).

#include <optional>
#include <string>
#include <vector>

#include "image/images.h"

namespace estiba::image {

bool hasImage(db::Connection& db, const ImageId& id);
std::optional<ImageId> imageOfName(db::Connection& db, const oci::Reference& normalised);
/// Sorted by name.
std::vector<oci::Reference> referencesOf(db::Connection& db, const ImageId& id);
/// Every tag of a repository with its image, sorted.
std::vector<std::pair<oci::Reference, ImageId>> taggedOf(db::Connection& db, const oci::Reference& repository);
bool hasChildren(db::Connection& db, const ImageId& id);
std::optional<ImageId> parentOf(db::Connection& db, const ImageId& id);
void setAnnotations(db::Connection& db, const ImageId& id, const Annotations& annotations);
Annotations annotationsOf(db::Connection& db, const ImageId& id);
std::vector<snapshot::LayerId> layersOf(db::Connection& db, const ImageId& id);
std::vector<Image> allImages(db::Connection& db);
std::optional<Image> findImage(db::Connection& db, const ImageId& id);

/// Lets `name` (with tag or digest) refer to `id`; returns what it referred to before, if that is another.
std::optional<ImageId> moveName(db::Connection& db, const oci::Reference& name, const ImageId& id);
void dropName(db::Connection& db, const oci::Reference& name);
void touchTagged(db::Connection& db, const ImageId& id);

/// The key of a name: a digest says more than a tag beside it; ":latest" where there is neither.
std::string keyOf(const oci::Reference& name);

}  // namespace estiba::image
