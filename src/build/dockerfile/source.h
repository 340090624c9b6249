#pragma once
// Where something stands in a Dockerfile, the error that says so, and the excerpt that shows it.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace estiba::build {

/// Lines `first`..`last` of the file, counted from 1, both inclusive; {0, 0} is "nowhere".
struct LineRange {
  int first = 0;
  int last = 0;
  bool operator==(const LineRange&) const = default;
};

/// A Dockerfile that cannot be used: the message is Docker's, `where` are the lines to show beside it.
class DockerfileError : public Error {
 public:
  DockerfileError(const std::string& message, std::vector<LineRange> where)
      : Error(Code::invalid, message), where_(std::move(where)) {}
  DockerfileError(const std::string& message, LineRange where) : DockerfileError(message, std::vector{where}) {}
  const std::vector<LineRange>& where() const noexcept { return where_; }

 private:
  std::vector<LineRange> where_;
};

/// The lines `where` of `source` with their neighbours, as BuildKit shows them under a failed step or a warning:
///     Dockerfile:3
///     --------------------
///        1 |     FROM busybox
///        2 |     RUN echo before
///        3 | >>> RUN sh -c "exit 42"
///     --------------------
/// Empty where `where` names no line of the source.
std::string sourceExcerpt(std::string_view fileName, std::string_view source, const std::vector<LineRange>& where);

/// The option nearest to `word`, at most two edits away; empty where there is none or `word` is one of them.
/// Without case the answer is written in the case of `word`. Ties go to the same letters in another
/// order, then to the first.
std::string nearest(std::string_view word, const std::vector<std::string>& options, bool caseSensitive);
/// " (did you mean X?)", or nothing.
std::string didYouMean(std::string_view word, const std::vector<std::string>& options, bool caseSensitive);

}  // namespace estiba::build
