// Whatever the bytes: a Dockerfile is read or refused with an estiba::Error, never anything else.

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "build/dockerfile/describe.h"
#include "build/dockerfile/ignore.h"
#include "build/dockerfile/lint.h"
#include "build/dockerfile/outline.h"
#include "build/dockerfile/stages.h"

namespace {

using namespace estiba::build;

template <class F>
void refusedOrDone(F&& call) {
  try {
    call();
  } catch (const estiba::Error&) {
  }
}

void instruction(const Instruction& written, const Variables& env, char escape) {
  refusedOrDone([&] {
    const ExpandedInstruction got = expandInstruction(written, env, escape);
    displayText(written, env, escape);
    historyText(got.instruction, {});
    if (const auto* run = got.instruction.as<RunInstruction>()) runArgv(*run, {"/bin/sh", "-c"});
  });
}

void file(std::string_view text) {
  Dockerfile read = readDockerfile(text);
  const Variables env({"PATH=/bin", "A=a*b?c", "EMPTY="});
  for (const Stage& stage : read.stages) {
    for (const Instruction& written : stage.instructions) instruction(written, env, read.directives.escape);
  }
  refusedOrDone([&] { outlineOf(read, {.buildArgs = {{"A", "x"}}}); });
  planWithTriggers(read, {.buildArgs = {{"A", "x"}}}, {{0, {"RUN a", "COPY --from=0 a b"}}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  refusedOrDone([&] { dump(parseDockerfile(text)); });
  refusedOrDone([&] { file(text); });
  refusedOrDone([&] { Expander{}.expand(text, Variables({"A=a*b?c", "EMPTY="})); });
  refusedOrDone([&] {
    const IgnoreMatcher matcher(parseIgnoreFile(text));
    matcher.ignored("a/b/c.d");
    matcher.mayInclude("a/b");
  });
  const LintResult result = lintDockerfile(text, {});
  checkText(result, "Dockerfile", text);
  checkError(result, "Dockerfile", text);
  return 0;
}
