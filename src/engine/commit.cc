#include "engine/commit.h"

#include "base/kill_point.h"
#include "base/text.h"
#include "build/apply_config.h"
#include "engine/merge.h"

namespace estiba::engine {

namespace {

using container::Record;
using container::State;

// Thaws on every way out.
class Paused {
 public:
  Paused(Lifecycle& lifecycle, const Record& record, bool wanted) : lifecycle_(lifecycle), id_(record.id) {
    if (wanted && record.state == State::running) {
      lifecycle_.pause(id_);
      did_ = true;
    }
  }
  ~Paused() {
    if (!did_) return;
    try {
      lifecycle_.unpause(id_);
    } catch (const std::exception&) {  // it ended meanwhile
    }
  }

 private:
  Lifecycle& lifecycle_;
  std::string id_;
  bool did_ = false;
};

}  // namespace

std::string commitContainer(Context& ctx, Lifecycle& lifecycle, const CommitOptions& options) {
  const Record record = ctx.records.get(options.container);
  if (record.state == State::removing || record.state == State::dead) {
    fail(Code::conflict, "You cannot commit container {} which is being removed", record.id);
  }
  std::optional<oci::Reference> name;
  if (!options.repo.empty()) {
    name = oci::Reference::parse(options.repo);
    if (name->digest()) fail(Code::invalid, "cannot commit to digest reference");
    if (!options.tag.empty()) name = name->withTag(options.tag);
    name = name->withDefaultTag();
  }
  // What is wrong with the changes is said before anything is made.
  oci::RunConfig runConfig = imagePartOf(record.body.config);
  build::applyChanges(runConfig, options.changes);

  Lease lease;
  const auto parentId = oci::Digest::parse(record.imageId);
  const auto parent = ctx.images.open(parentId, lease);
  image::Assembly assembly;
  assembly.config = parent.config;
  assembly.layers = parent.layers;
  const bool up = record.isUp() || record.state == State::starting;
  if (up) {
    const Paused paused(lifecycle, record, options.pause);
    assembly.layers.push_back(ctx.snapshots.copyUpper(record.snapshot, lease).id);
  } else {
    assembly.layers.push_back(ctx.snapshots.freeze(record.snapshot, lease));
  }
  killPoint("commit.layer");
  auto& config = assembly.config;
  config.config = std::move(runConfig);
  config.created = now();
  config.author = options.author;
  config.comment = options.comment;
  config.parent = record.imageId;
  config.container = record.id;
  oci::History entry;
  entry.created = config.created;
  const auto command = join([&] {
    std::vector<std::string> words = {record.body.path};
    words.insert(words.end(), record.body.args.begin(), record.body.args.end());
    return words;
  }(), " ");
  entry.createdBy = command;
  entry.author = options.author;
  entry.comment = options.comment;
  config.history.push_back(std::move(entry));
  if (name) assembly.names = {*name};
  assembly.parent = parentId;
  const auto made = ctx.images.assemble(assembly, lease);
  auto attributes = record.body.config.Labels;
  attributes["comment"] = options.comment;
  attributes["imageID"] = made.id.str();
  attributes["imageRef"] = name ? name->str() : "";
  ctx.events.record("container", "commit", record.id, attributes);
  return made.id.str();
}

}  // namespace estiba::engine
