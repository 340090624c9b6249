#include "engine/presence.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "sys/file.h"

namespace estiba::engine {

namespace {

// The machine's boot, padded with zeros, then a byte for each process. A whole block, reserved: on a full disk too, a
// byte of it can be written.
constexpr size_t kFirst = 64, kSize = 4096;
constexpr char kIdle = 0, kWorking = 1, kRecovering = 2;
constexpr int64_t kRecovery = kFirst - 1;  // locked while somebody recovers

struct flock lockOf(short type, int64_t offset) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset;
  lock.l_len = 1;
  return lock;
}

bool tryLockByte(int fd, int64_t offset) {
  auto lock = lockOf(F_WRLCK, offset);
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  throw SysError(errno, "lock a byte of the engines' file");
}

// Until nobody else recovers.
class RecoveryLock {
 public:
  explicit RecoveryLock(int fd) : fd_(fd) {
    auto lock = lockOf(F_WRLCK, kRecovery);
    sys([&] { return ::fcntl(fd_, F_OFD_SETLKW, &lock); }, "wait for another engine's recovery");
  }
  RecoveryLock(const RecoveryLock&) = delete;
  RecoveryLock& operator=(const RecoveryLock&) = delete;
  ~RecoveryLock() {
    auto lock = lockOf(F_UNLCK, kRecovery);
    ::fcntl(fd_, F_OFD_SETLK, &lock);
  }

 private:
  int fd_;
};

std::string readWhole(int fd, const std::string& path) {
  std::string bytes(kSize, '\0');
  const ssize_t n = sys([&] { return ::pread(fd, bytes.data(), bytes.size(), 0); }, "read '{}'", path);
  if (static_cast<size_t>(n) == kSize) return bytes;
  if (const int e = ::posix_fallocate(fd, 0, kSize); e != 0) throw SysError(e, fmt::format("write '{}'", path));
  return std::string(kSize, '\0');
}

std::string bootId() {
  std::string id{trim(readFile("/proc/sys/kernel/random/boot_id"))};
  id.resize(kFirst);
  return id;
}

}  // namespace

// Takes a byte of our own, and those of the dead, so that only one of us recovers.
void Presence::enter() {
  Fd file = openFile(path_, O_RDWR | O_CREAT, 0600);
  const std::string bytes = readWhole(file.get(), path_);
  mustRecover_ = !bytes.starts_with(bootId());
  for (size_t i = kFirst; i < kSize; ++i) {
    const bool atWork = bytes[i] != kIdle;
    if (slot_ != 0 && !atWork) continue;
    const auto at = static_cast<int64_t>(i);
    if (!tryLockByte(file.get(), at)) {
      mustWait_ = mustWait_ || bytes[i] == kRecovering;
      continue;
    }
    if (atWork) graves_.push_back(at);  // never ours: it stays one until somebody has recovered
    else slot_ = at;
  }
  mustRecover_ = mustRecover_ || !graves_.empty();
  if (slot_ == 0) fail(Code::unavailable, "{} commands are at work on one root: no room for another", kSize - kFirst);
  file_ = std::move(file);
}

void Presence::mark(int64_t slot, char state) {
  sys([&] { return ::pwrite(file_.get(), &state, 1, slot); }, "write '{}'", path_);
}

Presence::Work Presence::join() {
  const std::lock_guard lock(mutex_);
  if (!file_) enter();
  if (working_ == 0) mark(slot_, kWorking);
  ++working_;
  return Work(*this);
}

Presence::Work Presence::begin(const std::function<void()>& recover) {
  Work work = join();
  const std::lock_guard turn(recovering_);
  if (std::exchange(mustRecover_, false)) {
    recoverNow(recover);
  } else if (mustWait_) {
    RecoveryLock(file_.get());
  }
  mustWait_ = false;
  return work;
}

// What it does calls join().
void Presence::recoverNow(const std::function<void()>& recover) {
  try {
    mark(slot_, kRecovering);
    const RecoveryLock lock(file_.get());
    recover();
    for (const int64_t grave : graves_) mark(grave, kIdle);
    const std::string boot = bootId();
    sys([&] { return ::pwrite(file_.get(), boot.data(), boot.size(), 0); }, "write '{}'", path_);
    mark(slot_, kWorking);
  } catch (const std::exception& e) {
    log::warn("recover what earlier commands left: {}", e.what());
    leaveUnclean();
  }
}

void Presence::end() noexcept {
  const std::lock_guard lock(mutex_);
  if (--working_ > 0 || unclean_) return;
  if (::pwrite(file_.get(), &kIdle, 1, slot_) != 1) log::debug("write '{}': {}", path_, errno);  // recovered for nothing
}

void Presence::leaveUnclean() noexcept {
  const std::lock_guard lock(mutex_);
  try {
    if (!file_) enter();
    mark(slot_, kWorking);
    unclean_ = true;
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
  }
}

}  // namespace estiba::engine
