#pragma once
// Further processes in a running container.

#include <optional>
#include <string>

#include "apitypes/container.h"
#include "engine/context.h"

namespace estiba::engine {

extern const db::Schema kExecSchema;

class Execs {
 public:
  explicit Execs(Context& context) : ctx_(context) {}

  /// The new exec's ID. Throws Error(conflict) where the container is not running.
  std::string create(const std::string& container, const apitypes::ExecConfig& config);
  /// Starts it. A stream as Lifecycle::attach gives; empty where detached. Throws Error with docker's words where the
  /// command cannot be started.
  Fd start(const std::string& id, const apitypes::ExecStart& options);
  apitypes::ExecInspect inspect(const std::string& id);
  void resize(const std::string& id, int height, int width);
  /// After its stream has ended: its exit code goes into its row.
  void settle(const std::string& id);

 private:
  struct Row;
  Row row(const std::string& id);
  Context& ctx_;
};

}  // namespace estiba::engine
