#include "sys/writeback.h"

#include <unistd.h>

#include <condition_variable>
#include <mutex>

namespace estiba {

namespace {

// What is done sooner than this is not worth a transaction of the file system's journal.
constexpr std::chrono::milliseconds kPatience{60};
constexpr std::chrono::milliseconds kBetween{250};

}  // namespace

Writeback::Writeback(int dirFd)
    : thread_([dirFd](std::stop_token stop) {
        std::mutex mutex;
        std::condition_variable_any ended;
        std::unique_lock lock(mutex);
        auto pause = kPatience;
        while (!ended.wait_for(lock, stop, pause, [&] { return stop.stop_requested(); })) {
          ::syncfs(dirFd);
          pause = kBetween;
        }
      }) {}

}  // namespace estiba
