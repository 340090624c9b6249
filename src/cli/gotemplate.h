#pragma once
// Go's text/template, as docker's --format uses it: the whole language, the predefined functions, docker's own.
// Source: pkg.go.dev/text/template, "Formatting" in Docker's CLI reference. Errors carry Go's words.

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cli/value.h"

namespace estiba::cli {

namespace gotemplate {
struct Set;  // the parsed templates, by name
}

/// A function that templates may call beside the built-in ones.
struct TemplateFunction {
  int least = 0;
  int most = -1;  ///< -1: any number of arguments
  std::function<Value(std::span<const Value>)> call;
};
using TemplateFunctions = std::map<std::string, TemplateFunction, std::less<>>;

struct TemplateOptions {
  std::string name;                  ///< in errors: `template: NAME:1:2: …`
  bool missingKeyIsError = false;    ///< of untyped maps; otherwise they are "<no value>"
  TemplateFunctions functions = {};  ///< added to, and stronger than, the predefined ones
};

/// A parsed template. Immutable: any number of threads may execute it.
class Template {
 public:
  /// @throws Error(invalid) "template: :1: unexpected …": Go's text without docker's prefix.
  static Template parse(std::string_view text, TemplateOptions options = {});

  /// Nothing of the output survives an error.
  /// @throws Error(invalid) `template: :1:2: executing "" at <.Foo>: …`
  std::string execute(const Value& data) const;

  /// The same template where missing keys of untyped maps are errors, or not.
  Template withMissingKeyError(bool on) const;

 private:
  std::shared_ptr<const gotemplate::Set> set_;
  bool missingKeyIsError_ = false;
};

/// Go's fmt.Sprintf for the verbs %v %+v %s %q %d %x %X %o %b %c %t %f %e %g %U %%, flags, width, precision, '*'.
/// Go's own marks for mistakes: %!d(string=x), %!v(MISSING), %!(EXTRA int=1).
std::string goSprintf(std::string_view format, std::span<const Value> args);
/// Go's %q of a string: escapes what is not printable.
std::string goQuote(std::string_view text);
/// Go's %v of a float64: shortest digits, exponent below 1e-4 and from 1e6.
std::string goFloat(double value);

}  // namespace estiba::cli
