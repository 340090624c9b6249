#include <algorithm>

#include "base/text.h"
#include "build/dockerfile/flags.h"
#include "build/dockerfile/lint.h"

namespace estiba::build {

const std::vector<LintRule>& lintRules() {
  static const std::vector<LintRule> kRules = {
      {"StageNameCasing", "Stage names should be lowercase", "stage-name-casing"},
      {"FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword", "from-as-casing"},
      {"NoEmptyContinuation", "Empty continuation lines will become errors in a future release",
       "no-empty-continuation"},
      {"ConsistentInstructionCasing",
       "All commands within the Dockerfile should use the same casing (either upper or lower)",
       "consistent-instruction-casing"},
      {"DuplicateStageName", "Stage names should be unique", "duplicate-stage-name"},
      {"ReservedStageName", "Reserved words should not be used as stage names", "reserved-stage-name"},
      {"JSONArgsRecommended",
       "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
       "json-args-recommended"},
      {"MaintainerDeprecated",
       "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
       "maintainer-deprecated"},
      {"UndefinedArgInFrom", "FROM command must use declared ARGs", "undefined-arg-in-from"},
      {"WorkdirRelativePath",
       "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base "
       "image changes",
       "workdir-relative-path"},
      {"UndefinedVar", "Variables should be defined before their use", "undefined-var"},
      {"MultipleInstructionsDisallowed", "Multiple instructions of the same type should not be used in the same stage",
       "multiple-instructions-disallowed"},
      {"LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used",
       "legacy-key-value-format"},
      {"RedundantTargetPlatform",
       "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
       "redundant-target-platform"},
      {"SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
       "secrets-used-in-arg-or-env"},
      {"InvalidDefaultArgInFrom", "Default value for global ARG results in an empty or invalid base image name",
       "invalid-default-arg-in-from"},
      {"FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value",
       "from-platform-flag-const-disallowed"},
      {"CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore", "copy-ignored-file"},
      {"InvalidDefinitionDescription",
       "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is "
       "not intended to be a description comment, add an empty line or comment between the instruction and the "
       "comment.",
       "invalid-definition-description", true},
      {"ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase", "expose-proto-casing"},
      {"ExposeInvalidFormat",
       "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a "
       "future release",
       "expose-invalid-format"}};
  return kRules;
}

LintConfig parseLintConfig(std::string_view text) {
  LintConfig config;
  text = trim(text);
  if (text.empty()) return config;
  for (const std::string& part : split(text, ';')) {
    const auto [rawKey, value] = cut(part, '=');
    if (!value) fail(Code::invalid, "invalid check option {}", quoted(part));
    const std::string key(trim(rawKey));
    const std::string_view wanted = trim(*value);
    if (key == "error") {
      const auto flag = parseGoBool(wanted);
      if (!flag) {
        fail(Code::invalid, "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
             quoted(part), quoted(wanted));
      }
      config.error = *flag;
    } else if (key == "skip" || key == "experimental") {
      const bool skip = key == "skip";
      if (wanted == "all") {
        (skip ? config.skipAll : config.experimentalAll) = true;
        continue;
      }
      for (const std::string& rule : split(wanted, ',')) {
        (skip ? config.skip : config.experimental).emplace(trim(rule));
      }
    } else {
      fail(Code::invalid, "invalid check option {}", quoted(key));
    }
  }
  return config;
}

std::string lintFailure(const LintResult& result) {
  std::vector<std::string> rules;
  for (const LintWarning& warning : result.warnings) {
    if (std::find(rules.begin(), rules.end(), warning.rule) == rules.end()) rules.push_back(warning.rule);
  }
  return "lint violation found for rules: " + join(rules, ", ");
}

std::string shortText(const LintWarning& warning) {
  const std::string text = warning.rule + ": " + warning.message;
  return warning.lines.first > 0 ? fmt::format("{} (line {})", text, warning.lines.first) : text;
}

std::string longText(const LintWarning& warning, std::string_view fileName, std::string_view source) {
  std::string out = warning.description + "\n";
  if (!warning.url.empty()) out += "More info: " + warning.url + "\n";
  return out + sourceExcerpt(fileName, source, {warning.lines});
}

std::string checkText(const LintResult& result, std::string_view fileName, std::string_view source) {
  if (result.warnings.empty()) return result.error ? "" : "Check complete, no warnings found.\n";
  const size_t count = result.warnings.size();
  std::string out = count == 1 ? "Check complete, 1 warning has been found!\n"
                               : fmt::format("Check complete, {} warnings have been found!\n", count);
  for (const LintWarning& warning : result.warnings) {
    out += fmt::format("\nWARNING: {} - {}\n{}\n", warning.rule, warning.url, warning.message);
    out += sourceExcerpt(fileName, source, {warning.lines});
  }
  return result.error ? out + "\n" : out;
}

std::string checkError(const LintResult& result, std::string_view fileName, std::string_view source) {
  if (!result.error) return "";
  return std::string(result.error->what()) + "\n" + sourceExcerpt(fileName, source, result.error->where());
}

}  // namespace estiba::build
