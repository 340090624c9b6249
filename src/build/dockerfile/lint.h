#pragma once
// BuildKit's build checks.
// Source: docs.docker.com/reference/build-checks.

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "build/dockerfile/ignore.h"
#include "build/dockerfile/stages.h"

namespace estiba::build {

struct LintWarning {
  std::string rule;  ///< "JSONArgsRecommended"
  std::string description;
  std::string url;
  std::string message;
  LineRange lines;
};

/// `# check=skip=A,B;error=true;experimental=all`, or the build argument BUILDKIT_DOCKERFILE_CHECK.
struct LintConfig {
  bool skipAll = false;
  std::set<std::string> skip;
  bool experimentalAll = false;
  std::set<std::string> experimental;
  bool error = false;  ///< a warning fails the build
};
/// Throws Error(invalid) `invalid check option "x"`.
LintConfig parseLintConfig(std::string_view text);

/// What is known of a stage's base image.
struct BaseFacts {
  std::vector<std::string> env{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  bool hasShell = false;
};

struct LintOptions {
  PlanOptions plan;
  const IgnoreMatcher* ignore = nullptr;  ///< of the context; without it CopyIgnoredFile finds nothing
  /// Facts of the image that stage `index` starts from; without it every image has a PATH and nothing else.
  std::function<BaseFacts(size_t index)> base;
  bool allStages = true;  ///< false: only what the target needs, as a build does
};

struct LintResult {
  std::vector<LintWarning> warnings;     ///< by line
  std::optional<DockerfileError> error;  ///< what stopped the checks
  bool fails = false;                    ///< warnings, and the configuration makes them errors
};

/// Checks a file; a file that cannot be read gives `error`, never an exception.
LintResult lintDockerfile(std::string_view text, const LintOptions& options);

/// "lint violation found for rules: A, B": the error of a build with `error=true`.
std::string lintFailure(const LintResult& result);
/// "JSONArgsRecommended: JSON arguments … (line 3)", as a build lists it at its end.
std::string shortText(const LintWarning& warning);
/// What `docker --debug build` shows below that: the rule, where to read more, the lines.
std::string longText(const LintWarning& warning, std::string_view fileName, std::string_view source);
/// The output of `docker build --check`; with an error its warnings only, see checkError().
std::string checkText(const LintResult& result, std::string_view fileName, std::string_view source);

/// What `docker build --check` says after "ERROR: " where result.error is set: message and excerpt.
std::string checkError(const LintResult& result, std::string_view fileName, std::string_view source);

struct LintRule {
  std::string_view name;
  std::string_view description;
  std::string_view page;  ///< of docs.docker.com/go/dockerfile/rule/
  bool experimental = false;
};
const std::vector<LintRule>& lintRules();

}  // namespace estiba::build
