#pragma once
// A TLS connection as a plain descriptor. For this module's own use.

#include "base/fd.h"

using SSL = struct ssl_st;

namespace estiba::http {

/// One end of a socket pair; behind the other a thread en- and decrypts until both directions have ended. The end of
/// one direction is passed on (close_notify, shutdown(2)). Takes `ssl` and the socket it speaks over.
Fd bridgeTls(Fd socket, SSL* ssl);

}  // namespace estiba::http
