#pragma once
// Unix sockets (SOCK_STREAM) with names of any length: sun_path has 108 bytes, our directories may be longer.

#include <string>

#include "base/fd.h"

namespace estiba {

/// A listening socket `name` in the directory `dirFd`, without waiting (O_NONBLOCK); one that is there is replaced.
Fd listenIn(int dirFd, const char* name);
/// Throws SysError (ENOENT, ECONNREFUSED: nobody listens).
Fd connectIn(const std::string& dir, const char* name);
/// To the socket that `file`, opened with O_PATH, is: whatever its name is by now, or in this mount namespace.
Fd connectTo(int file);

}  // namespace estiba
