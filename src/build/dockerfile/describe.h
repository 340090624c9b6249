#pragma once
// Instructions as people read them: progress lines and image history.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "build/dockerfile/expand.h"
#include "build/dockerfile/instructions.h"

namespace estiba::build {

/// What stands behind `[2/5]`: "RUN echo hola > /a", keyword in upper case, set variables put in, and for a RUN with
/// a here-document its first line in brackets. `unexpanded` is the instruction before expandInstruction().
std::string displayText(const Instruction& unexpanded, const Variables& env, char escape);

/// The argv of a RUN: shell and text, or the exec form; here-documents put back. With a lone here-document that starts
/// with "#!" the script is not a shell's: see runScript().
std::vector<std::string> runArgv(const RunInstruction& run, const std::vector<std::string>& shell);

/// A lone here-document with "#!": its name and content, to be put executable at /dev/pipes/NAME and run from there.
struct InlineScript {
  std::string name;
  std::string content;
};
std::optional<InlineScript> runScript(const RunInstruction& run);

/// The argv of CMD and ENTRYPOINT.
std::vector<std::string> commandArgv(const CommandLine& command, const std::vector<std::string>& shell);

struct HistoryContext {
  std::vector<std::string> shell{"/bin/sh", "-c"};
  std::vector<std::pair<std::string, std::string>> buildArgs;  ///< ARGs declared so far in this stage, with values
  std::string workdir;                                         ///< WORKDIR: the resulting absolute path
};

/// An image's history line (created_by) of an expanded instruction, as docker 26 writes it:
/// "RUN |1 WHO=ana /bin/sh -c echo $WHO # buildkit", "COPY a b # buildkit", "ENV A=1", "CMD [\"sh\"]". Of an ARG:
/// `context.buildArgs` holds the values. Empty for FROM and ONBUILD, which write none.
std::string historyText(const Instruction& expanded, const HistoryContext& context);

/// Whether the instruction makes a layer (of WORKDIR: where the path is not "/"), else history says empty_layer.
bool makesLayer(const Instruction& expanded, const HistoryContext& context);

/// WORKDIR `path` seen from `current`: absolute, cleaned.
std::string resolveWorkdir(std::string_view current, std::string_view path);

}  // namespace estiba::build
