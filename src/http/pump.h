#pragma once
// Moving bytes between two descriptors.

#include <cstdint>
#include <stop_token>
#include <string_view>

namespace estiba::http {

struct PumpTotals {
  uint64_t leftToRight = 0;
  uint64_t rightToLeft = 0;
};

/// Moves bytes both ways until both directions have ended. The end of one direction (end of file, or a reader that
/// went away) half-closes the other side (shutdown(SHUT_WR) where it is a socket), which may go on sending. Returns
/// early on `stop`. Descriptors may be sockets, pipes, terminals; none is closed, no flag of theirs is changed.
/// `toRight` and `toLeft` are written first. Throws SysError only for what is no end: a bad descriptor, say.
PumpTotals pump(int left, int right, std::string_view toRight = {}, std::string_view toLeft = {},
                std::stop_token stop = {});

/// `from` to its end into `to`: splice(2) where one of them is a pipe, else by a buffer. Returns the bytes moved.
/// Throws SysError.
uint64_t copyStream(int from, int to);

}  // namespace estiba::http
