#pragma once
// The one way failures travel: exceptions with a code of a closed set. Expected answers ("no such tag") are optionals.

#include <fmt/format.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace estiba {

/// What kind of failure: HTTP statuses and exit codes are mapped from it in one place each.
enum class Code {
  invalid,          ///< the request itself is wrong
  not_found,        ///< what it names does not exist
  conflict,         ///< it collides with the present state or another's change
  unauthorized,     ///< credentials are missing or wrong
  forbidden,        ///< credentials do not allow it
  not_implemented,  ///< known, but not to be had here
  unavailable,      ///< a peer or a resource cannot be reached
  deadline,         ///< time ran out
  cancelled,        ///< the caller withdrew
  internal,         ///< everything else, system calls included
};

std::string_view codeName(Code code) noexcept;

/// A failure with its code. Messages: lower case, no full stop, what was tried on what.
class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  template <class... A>
  static Error make(Code code, fmt::format_string<A...> what, A&&... args) {
    return {code, fmt::format(what, std::forward<A>(args)...)};
  }
  Code code() const noexcept { return code_; }

 private:
  Code code_;
};

/// A system call that failed: `what` and the text of `err` (an errno value).
class SysError : public Error {
 public:
  SysError(int err, const std::string& what);
  int err() const noexcept { return err_; }

 private:
  int err_;
};

/// Runs `call` until it is not interrupted. Throws SysError with errno and the caller's words.
/// Not for close(2) or connect(2), which must not be repeated after EINTR.
template <class F, class... A>
auto sys(F&& call, fmt::format_string<A...> what, A&&... args) {
  for (;;) {
    if (auto r = call(); r != -1) return r;
    const int e = errno;  // first: formatting may allocate and overwrite it
    if (e != EINTR) throw SysError(e, fmt::format(what, std::forward<A>(args)...));
  }
}

template <class... A>
[[noreturn]] void fail(Code code, fmt::format_string<A...> what, A&&... args) {
  throw Error(code, fmt::format(what, std::forward<A>(args)...));
}

}  // namespace estiba
