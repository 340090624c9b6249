#include "monitor/event_loop.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "monitor/footprint.h"

namespace estiba::monitor {

EventLoop::EventLoop() : epoll_(sys([] { return ::epoll_create1(EPOLL_CLOEXEC); }, "create epoll set")) {}

void EventLoop::add(int fd, uint32_t events, Handler handler) {
  auto& slot = watches_[fd];
  if (slot) fail(Code::internal, "descriptor {} is watched twice", fd);
  slot = std::make_unique<Watch>(Watch{fd, 0, std::move(handler)});
  change(fd, events);
}

void EventLoop::change(int fd, uint32_t events) {
  Watch& watch = *watches_.at(fd);
  if (watch.events == events) return;
  epoll_event event{};
  event.events = events;
  event.data.ptr = &watch;
  // Without interest it leaves the set: EPOLLHUP is reported whatever was asked for, and would spin.
  const int op = events == 0 ? EPOLL_CTL_DEL : watch.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  sys([&] { return ::epoll_ctl(epoll_.get(), op, fd, &event); }, "watch descriptor {}", fd);
  watch.events = events;
}

void EventLoop::remove(int fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  if (found->second->events != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  found->second->fd = -1;
  removed_.push_back(std::move(found->second));
  watches_.erase(found);
}

uint64_t EventLoop::after(std::chrono::milliseconds delay, std::function<void()> callback) {
  timers_.push_back({monotonic() + delay, ++lastTimer_, std::move(callback)});
  return lastTimer_;
}

void EventLoop::cancel(uint64_t timer) {
  std::erase_if(timers_, [&](const Timer& t) { return t.id == timer; });
}

void EventLoop::onIdle(std::chrono::milliseconds delay, std::function<void()> callback) {
  idleDelay_ = delay;
  onIdle_ = std::move(callback);
  active_ = true;
}

int EventLoop::nextTimeout(int limit) const {
  auto wait = std::chrono::nanoseconds::max();
  for (const Timer& t : timers_) wait = std::min(wait, t.at - monotonic());
  if (active_ && onIdle_) wait = std::min<std::chrono::nanoseconds>(wait, idleDelay_);
  if (wait == std::chrono::nanoseconds::max()) return limit;
  const auto ms = std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(wait).count());
  return limit < 0 ? static_cast<int>(ms) : static_cast<int>(std::min<int64_t>(ms, limit));
}

void EventLoop::runTimers() {
  const auto time = monotonic();
  std::vector<Timer> due;
  std::erase_if(timers_, [&](Timer& t) {
    if (t.at > time) return false;
    due.push_back(std::move(t));
    return true;
  });
  for (Timer& t : due) t.callback();
}

int EventLoop::wait(epoll_event* events, int count, int timeoutMs) {
  const int timeout = nextTimeout(timeoutMs);
  const int n = ::epoll_wait(epoll_.get(), events, count, timeout);
  const bool idle = n == 0 && active_ && onIdle_ && timeoutMs < 0 && timers_.empty();
  if (!idle) return n;
  active_ = false;
  onIdle_();
  return waitCompactly(epoll_.get(), events, count);
}

void EventLoop::step(int timeoutMs) {
  epoll_event events[16];
  const int n = sys([&] { return wait(events, 16, timeoutMs); }, "wait for events");
  for (int i = 0; i < n; ++i) {
    auto* watch = static_cast<Watch*>(events[i].data.ptr);
    if (watch->fd >= 0) watch->handler(events[i].events);
  }
  removed_.clear();
  if (!timers_.empty()) runTimers();
  active_ = active_ || n > 0;
}

void EventLoop::run() {
  while (running_) step(-1);
}

}  // namespace estiba::monitor
