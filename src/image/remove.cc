// `docker rmi` and `image prune`. The rules and their order are docker's: an ID removes an image with its one name, a
// name removes itself and the image only when it was the last; "hard" conflicts cannot be forced, "soft" ones can.
// Source: behaviour of moby's image service (API ImageDelete), its messages word by word.

#include <algorithm>

#include "base/text.h"
#include "image/filters.h"
#include "image/images.h"
#include "image/rows.h"

namespace estiba::image {

namespace {

struct Conflict {
  bool hard = false;
  bool used = false;  ///< by a container
  std::string message;
};

enum Checks : unsigned {
  dependent_child = 1,
  running_container = 2,
  active_reference = 4,
  stopped_container = 8,
  hard_checks = dependent_child | running_container,
  soft_checks = active_reference | stopped_container,
};

bool isIdPrefix(const ImageId& id, const std::string& text) {
  return !text.empty() && (id.str().starts_with(text) || id.hex().starts_with(text));
}

std::string shortId(const std::string& id) {
  return id.substr(0, 12);
}

/// At most one tag, and nothing but digests of the same repository beside it.
bool isSingle(const std::vector<oci::Reference>& names) {
  if (names.size() <= 1) return true;
  const auto tags = std::count_if(names.begin(), names.end(), [](const auto& n) { return !n.digest(); });
  const bool oneRepository =
      std::all_of(names.begin(), names.end(), [&](const auto& n) { return n.name() == names[0].name(); });
  return tags <= 1 && oneRepository;
}

/// One removal, inside one transaction.
class Remover {
 public:
  Remover(db::Connection& db, const UsersOf& usersOf) : db_(db), usersOf_(usersOf) {}

  void remove(const ImageId& id, const std::string& text, bool force, bool pruneParents) {
    if (isIdPrefix(id, text)) {
      removeNamesOfId(id, force);
      removeImage(id, force, pruneParents, false);
    } else if (removeName(id, text, force)) {
      removeImage(id, force, pruneParents, true);
    }
  }

  std::vector<Removal> records;
  std::vector<snapshot::LayerId> layers;  ///< of removed images

 private:
  void untag(const ImageId& id, const oci::Reference& name) {
    dropName(db_, name);
    records.push_back({.untagged = name.familiar(), .image = id});
  }

  /// True when the image has no name any more.
  bool removeName(const ImageId& id, const std::string& text, bool force) {
    if (!force && isSingle(referencesOf(db_, id))) {
      if (const auto users = usersOf_(id); !users.empty()) {
        fail(Code::conflict,
             "conflict: unable to remove repository reference {} (must force) - container {} is using its referenced "
             "image {}",
             quoted(text), shortId(users[0].id), id.shortHex());
      }
    }
    const auto name = oci::Reference::parse(text).withDefaultTag();
    untag(id, name.digest() ? name.withoutTag() : name);
    auto rest = referencesOf(db_, id);
    const bool stillTagged =
        std::any_of(rest.begin(), rest.end(), [&](const auto& n) { return !n.digest() && n.name() == name.name(); });
    if (!name.digest() && !stillTagged) {
      for (const auto& other : rest) {
        if (other.digest() && other.name() == name.name()) untag(id, other);
      }
      rest = referencesOf(db_, id);
    }
    return rest.empty();
  }

  void removeNamesOfId(const ImageId& id, bool force) {
    const auto names = referencesOf(db_, id);
    if (!isSingle(names)) return;
    const unsigned checks = force ? hard_checks : hard_checks | stopped_container;
    if (const auto conflict = findConflict(id, checks)) refuse(id, *conflict);
    for (const auto& name : names) untag(id, name);
  }

  std::optional<Conflict> findConflict(const ImageId& id, unsigned checks) const {
    if ((checks & dependent_child) != 0 && hasChildren(db_, id)) {
      return Conflict{.hard = true, .message = "image has dependent child images"};
    }
    const auto users = usersOf_(id);
    if ((checks & running_container) != 0) {
      for (const auto& user : users) {
        if (!user.running) continue;
        return Conflict{true, true, "image is being used by running container " + shortId(user.id)};
      }
    }
    if ((checks & active_reference) != 0 && !referencesOf(db_, id).empty()) {
      return Conflict{.message = "image is referenced in multiple repositories"};
    }
    if ((checks & stopped_container) != 0) {
      for (const auto& user : users) {
        if (user.running) continue;
        return Conflict{false, true, "image is being used by stopped container " + shortId(user.id)};
      }
    }
    return std::nullopt;
  }

  [[noreturn]] static void refuse(const ImageId& id, const Conflict& conflict) {
    fail(Code::conflict, "conflict: unable to delete {} ({}) - {}", id.shortHex(),
         conflict.hard ? "cannot be forced" : "must be forced", conflict.message);
  }

  /// `quiet`: what was asked for (a name, a child) is done already; an image that must stay is no error.
  void removeImage(const ImageId& id, bool force, bool pruneParents, bool quiet) {
    if (const auto conflict = findConflict(id, force ? hard_checks : hard_checks | soft_checks)) {
      const bool dangling = referencesOf(db_, id).empty() && !hasChildren(db_, id);
      if (quiet && (!dangling || conflict->used)) return;
      refuse(id, *conflict);
    }
    const auto parent = parentOf(db_, id);
    for (const auto& name : referencesOf(db_, id)) untag(id, name);
    deleteRows(id);
    if (pruneParents && parent) removeImage(*parent, false, true, true);
  }

  void deleteRows(const ImageId& id) {
    std::vector<std::string> unshared;  // chain IDs that only this image has, topmost first
    {
      auto rows = db_.prepare(
          "SELECT chain_id FROM image_layer AS mine WHERE image = ?1 AND NOT EXISTS (SELECT 1 FROM image_layer AS "
          "other "
          "WHERE other.chain_id = mine.chain_id AND other.image != ?1) ORDER BY position DESC");
      rows.bind(id.str());
      while (rows.step()) unshared.push_back(rows.text(0));
    }
    for (auto& layer : layersOf(db_, id)) layers.push_back(std::move(layer));
    try {
      db_.prepare("DELETE FROM image WHERE id = ?").bind(id.str()).run();
    } catch (const db::ConstraintError&) {
      // A row still refers to it: a container, whatever its state.
      const auto users = usersOf_(id);
      const std::string user = users.empty() ? "a container" : "container " + shortId(users[0].id);
      refuse(id, {.hard = true, .used = true, .message = "image is being used by " + user});
    }
    records.push_back({.deleted = id.str(), .image = id});
    for (auto& chain : unshared) records.push_back({.deleted = std::move(chain), .image = id});
  }

  db::Connection& db_;
  const UsersOf& usersOf_;
};

}  // namespace

std::vector<Removal> Images::remove(const std::string& nameOrId, bool force, bool pruneParents,
                                    const UsersOf& usersOf) {
  int64_t reclaimed = 0;
  return removeCounting(nameOrId, force, pruneParents, usersOf, reclaimed);
}

std::vector<Removal> Images::removeCounting(const std::string& nameOrId, bool force, bool pruneParents,
                                            const UsersOf& usersOf, int64_t& reclaimed) {
  const ImageId id = resolve(nameOrId);
  const auto db = pool_.get();
  db::Txn txn(*db);
  if (!hasImage(*db, id)) fail(Code::not_found, "No such image: {}", id.str());
  Remover remover(*db, usersOf);
  remover.remove(id, nameOrId, force, pruneParents);
  txn.commit();
  if (!remover.layers.empty()) {
    for (const auto& layer : snapshots_.layers().collect(remover.layers)) {
      reclaimed += std::max<int64_t>(layer.contentBytes, 0);
    }
    content_.collect();
  }
  return std::move(remover.records);
}

PruneReport Images::prune(const Filters& filters, const UsersOf& usersOf) {
  for (const auto& [name, values] : filters) {
    if (name != "dangling" && name != "until" && name != "label" && name != "label!") {
      fail(Code::invalid, "invalid filter '{}'", name);
    }
  }
  const bool danglingOnly = boolFilter(filters, "dangling").value_or(true);
  Filters others = filters;
  others.erase("dangling");
  PruneReport out;
  for (const Image& image : list({.filters = others})) {
    if (danglingOnly && !image.repoTags.empty()) continue;
    std::vector<std::string> names = image.repoTags;
    names.insert(names.end(), image.repoDigests.begin(), image.repoDigests.end());
    if (names.empty()) names.emplace_back(image.id.hex());
    for (const std::string& name : names) {
      try {
        for (auto& record : removeCounting(name, false, true, usersOf, out.reclaimed)) {
          out.removed.push_back(std::move(record));
        }
      } catch (const Error& e) {
        // In use, or already gone with another of its names: it is only tidying up.
        if (e.code() != Code::conflict && e.code() != Code::not_found) throw;
      }
    }
  }
  // What was held by somebody's lease when its image went.
  for (const auto& layer : snapshots_.layers().collectAll()) out.reclaimed += std::max<int64_t>(layer.contentBytes, 0);
  content_.collect();
  return out;
}

}  // namespace estiba::image
