#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/fd.h"

namespace estiba::monitor {

/// One epoll(7) set with callbacks and timers. One thread; level-triggered. Callbacks may add and remove descriptors,
/// their own included; what a callback throws ends run().
class EventLoop {
 public:
  using Handler = std::function<void(uint32_t events)>;

  EventLoop();

  /// Watches `fd` (not owned) for EPOLLIN, EPOLLOUT…; 0: known, but not watched, not even for EPOLLHUP.
  void add(int fd, uint32_t events, Handler handler);
  void change(int fd, uint32_t events);  ///< of an added one
  void remove(int fd);                   ///< before it is closed; unknown ones are fine
  /// Once, after `delay`; returns its number.
  uint64_t after(std::chrono::milliseconds delay, std::function<void()> callback);
  void cancel(uint64_t timer);
  /// `callback` runs after a burst of activity, when nothing has happened for `delay`: the time to give memory back.
  /// Where nothing is to come by itself, the wait that follows is a compact one (footprint.h).
  void onIdle(std::chrono::milliseconds delay, std::function<void()> callback);

  void run();  ///< until stop(), which may have come before
  void stop() noexcept { running_ = false; }
  /// Waits for events once (at most `timeoutMs`; -1: as long as it takes) and handles them.
  void step(int timeoutMs);

 private:
  struct Watch {
    int fd;
    uint32_t events;
    Handler handler;
  };
  struct Timer {
    std::chrono::nanoseconds at;
    uint64_t id;
    std::function<void()> callback;
  };
  int nextTimeout(int limit) const;
  int wait(epoll_event* events, int count, int timeoutMs);
  void runTimers();

  Fd epoll_;
  std::map<int, std::unique_ptr<Watch>> watches_;
  std::vector<std::unique_ptr<Watch>> removed_;  // alive until the batch that may still name them is over
  std::vector<Timer> timers_;
  uint64_t lastTimer_ = 0;
  std::chrono::milliseconds idleDelay_{0};
  std::function<void()> onIdle_;
  bool active_ = false;  // something has happened since onIdle_ ran
  bool running_ = true;
};

}  // namespace estiba::monitor
