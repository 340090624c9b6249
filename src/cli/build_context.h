#pragma once
// Where a build takes its files from: the context, the Dockerfile, --build-context.

#include <vector>

#include "apitypes/build_trace.h"
#include "base/fd.h"
#include "cli/session.h"

namespace estiba::cli {

/// What travels with a request, named by its place.
class Descriptors {
 public:
  int add(Fd fd) {
    owned_.push_back(std::move(fd));
    return borrow(owned_.back().get());
  }
  int borrow(int fd) {
    numbers_.push_back(fd);
    return static_cast<int>(numbers_.size()) - 1;
  }
  const std::vector<int>& numbers() const noexcept { return numbers_; }

 private:
  std::vector<Fd> owned_;
  std::vector<int> numbers_;
};

/// PATH | URL | -, and --file: a directory, a file without a name that holds a tar, or a place that the engine fetches.
/// Throws Error in buildx's words.
void addContext(Session& s, const Parsed& p, apitypes::BuildRequest& request, Descriptors& descriptors);

/// --build-context name=DIR, name=oci-layout://DIR, name=docker-image://REF, name=URL.
void addNamedContexts(const Parsed& p, apitypes::BuildRequest& request, Descriptors& descriptors);

}  // namespace estiba::cli
