#pragma once

#include "net/network.h"

namespace estiba::net {

/// Makes the endpoint's interface inside the namespace `netnsFd` (/proc/PID/ns/net of the container) and sets it up:
/// one RTM_NEWLINK creates the pair with its inner end there, the outer on the bridge; then lo and the interface up,
/// address, default route. IPv6 is off but for ::1 unless the endpoint asks for it, router advertisements are ignored.
/// For `none` only lo comes up; for `host` nothing is done. Any thread; it never leaves its own namespace.
/// Nothing need be undone: the pair goes with the namespace.
void attach(const Endpoint& endpoint, int netnsFd);

/// lo up, and nothing else.
void bringLoopbackUp(int netnsFd);

/// Takes the pair of a running container away again (`network disconnect`): slow, tens of milliseconds.
void detach(const Endpoint& endpoint);

}  // namespace estiba::net
