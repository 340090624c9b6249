#pragma once

#include <sys/epoll.h>

namespace estiba::monitor {

/// epoll_wait(2) without timeout for a process that will be idle for long, in as little memory as there is: free heap
/// and unused stack are given back, and every page of the program that came from its file and was not changed (they
/// come back from the page cache when they are next touched: some 20 us at the next event). Returns as epoll_wait does.
int waitCompactly(int epollFd, epoll_event* events, int count) noexcept;

}  // namespace estiba::monitor
