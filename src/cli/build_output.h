#pragma once
// --output of a build: what is asked for, and the files that come of it. The engine sends every output as one stream
// into a pipe; this side, with the rights of whoever gave the command, makes files of it.

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "apitypes/build_trace.h"
#include "base/fd.h"
#include "cli/session.h"

namespace estiba::cli {

/// One --output. Of `request`, `fd` is still to be filled in.
struct Output {
  apitypes::BuildOutput request;
  std::string dest;        ///< a file, "-" for standard output, a directory; empty: nothing comes here
  bool directory = false;  ///< the stream is a tar to be unpacked in `dest`
};

/// -o, --load and their rules. Throws Error in buildx's words.
std::vector<Output> parseOutputs(Session& s, const Parsed& p);

/// Takes the streams of a build's outputs while it runs. A file gets its name only when all went well; a directory is
/// filled as its stream comes, never beyond itself.
class OutputStreams {
 public:
  OutputStreams(Session& s, const std::vector<Output>& outputs);
  /// Closes this side's writing ends: the engine has its own by now, or never will. Then waits.
  ~OutputStreams();
  OutputStreams(const OutputStreams&) = delete;
  OutputStreams& operator=(const OutputStreams&) = delete;

  /// The writing ends, one for each output with a `dest`, in their order. To be passed with the request.
  std::vector<int> writers() const;
  /// After the request was sent.
  void sent();
  /// After the build: throws what a stream met. Of one that went well, gives files their names.
  void finish(bool good);
  bool usesStdout() const;

 private:
  struct Stream;
  std::vector<std::unique_ptr<Stream>> streams_;
};

}  // namespace estiba::cli
