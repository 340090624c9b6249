#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "archive/dir_walk.h"
#include "archive/layer.h"
#include "archive/tar.h"
#include "archive/tar_format.h"
#include "archive/tree_writer.h"
#include "base/error.h"

namespace estiba::archive {

namespace {

constexpr int64_t kSmallFile = 16U << 10;  // read by the hashing thread, straight into what it hashes
constexpr size_t kChunk = 512U << 10;
constexpr size_t kBatchItems = 32;
constexpr size_t kQueuedBatches = 8;  // descriptors held: kBatchItems each
constexpr size_t kQueuedBytes = 16U << 20;

/// A piece of the tar, in order.
struct Item {
  std::string bytes;  ///< headers, or a chunk of a file
  Fd small;           ///< a file whose content comes next
  int64_t size = 0;   ///< of `small`
  std::string path;   ///< of `small`
};

struct Batch {
  std::vector<Item> items;
  size_t bytes = 0;
};

/// Hands batches from the walking thread to the hashing one.
class BatchQueue {
 public:
  /// False: the reader is gone.
  bool push(Batch batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(
        lock, [&] { return gone_ || batches_.empty() || (batches_.size() < kQueuedBatches && bytes_ < kQueuedBytes); });
    if (gone_) return false;
    bytes_ += batch.bytes;
    batches_.push_back(std::move(batch));
    changed_.notify_all();
    return true;
  }
  void end(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    failure_ = std::move(failure);
    changed_.notify_all();
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    changed_.notify_all();
  }
  /// nullopt at the end; throws what the walker threw.
  std::optional<Batch> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || !batches_.empty(); });
    if (batches_.empty()) {
      if (failure_) std::rethrow_exception(failure_);
      return std::nullopt;
    }
    Batch out = std::move(batches_.front());
    batches_.pop_front();
    bytes_ -= out.bytes;
    changed_.notify_all();
    return out;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> batches_;
  size_t bytes_ = 0;
  bool ended_ = false;
  bool gone_ = false;
  std::exception_ptr failure_;
};

struct Stopped {};  ///< unwinds the walker when nobody wants its batches

struct PackStyle {
  bool whiteouts = true;
  bool subSecondTimes = false;
};

class Walker {
 public:
  Walker(BatchQueue& queue, PackStyle style) : queue_(queue), style_(style) {}

  void run(int rootFd) {
    directory(rootFd, "");
    flush();
  }
  int64_t contentBytes() const noexcept { return contentBytes_; }

 private:
  void directory(int dirFd, const std::string& prefix) {
    for (const DirItem& item : sortedItems(dirFd, "/" + prefix)) {
      const std::string path = prefix + item.name;
      if (item.type == DT_SOCK) continue;
      if (item.name.starts_with(".wh.")) {
        fail(Code::invalid, "'/{}': a layer cannot hold a name that starts with \".wh.\"", path);
      }
      switch (item.type) {
        case DT_DIR:
          subdirectory(dirFd, item.name, path);
          break;
        case DT_REG:
          file(dirFd, item.name, path);
          break;
        default:
          node(dirFd, item.name, path);
      }
    }
  }

  void fill(TarEntry& entry, const struct stat& st) const {
    entry.mode = st.st_mode & 07777;
    entry.uid = st.st_uid;
    entry.gid = st.st_gid;
    entry.mtimeNs = static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000;
    if (style_.subSecondTimes) entry.mtimeNs += st.st_mtim.tv_nsec;
  }

  /// Reads the xattrs that go into the archive; refuses what overlayfs only refers to. True: the directory is opaque.
  static bool xattrs(int fd, TarEntry& entry) {
    bool opaque = false;
    for (const auto& name : xattrNames(fd, entry.name)) {
      if (mayCarryXattr(name)) {
        entry.xattrs[name] = readXattr(fd, name, entry.name);
      } else if (name == "trusted.overlay.opaque") {
        opaque = readXattr(fd, name, entry.name) == "y";
      } else if (name == "trusted.overlay.redirect" || name == "trusted.overlay.metacopy") {
        fail(Code::not_implemented, "'/{}' holds a reference of overlayfs ({}) instead of content", entry.name, name);
      }
    }
    return opaque;
  }

  void subdirectory(int dirFd, const std::string& name, const std::string& path) {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const Fd fd(sys([&] { return ::openat(dirFd, name.c_str(), kFlags); }, "open directory '/{}'", path));
    struct stat st {};
    sys([&] { return ::fstat(fd.get(), &st); }, "stat '/{}'", path);
    TarEntry entry;
    entry.type = TarType::directory;
    entry.name = path + "/";
    fill(entry, st);
    const bool opaque = xattrs(fd.get(), entry);
    add(entry);
    if (opaque) whiteout(path + "/.wh..wh..opq");
    directory(fd.get(), path + "/");
  }

  void whiteout(const std::string& path) {
    if (!style_.whiteouts) return;
    TarEntry entry;
    entry.name = path;
    entry.mode = 0600;
    add(entry);  // time 0: overlayfs keeps none that means anything
  }

  /// True: `st` is another name of something that the archive holds already.
  bool linked(const struct stat& st, TarEntry& entry) {
    if (st.st_nlink < 2) return false;
    const auto [it, first] = links_.try_emplace({st.st_dev, st.st_ino}, entry.name);
    if (first) return false;
    entry.type = TarType::hardlink;
    entry.linkName = it->second;
    entry.size = 0;
    entry.xattrs.clear();
    return true;
  }

  void file(int dirFd, const std::string& name, const std::string& path) {
    Fd fd(openForReading(dirFd, name.c_str()));
    if (!fd) throw SysError(errno, fmt::format("open '/{}'", path));
    struct stat st {};
    sys([&] { return ::fstat(fd.get(), &st); }, "stat '/{}'", path);
    if (!S_ISREG(st.st_mode)) fail(Code::conflict, "'/{}' changed while the layer was packed", path);
    TarEntry entry;
    entry.name = path;
    entry.size = st.st_size;
    fill(entry, st);
    if (linked(st, entry)) return add(entry);
    xattrs(fd.get(), entry);
    add(entry);
    contentBytes_ += entry.size;
    if (entry.size == 0) return;
    if (entry.size <= kSmallFile) {
      Item& last = batch_.items.back();
      last.small = std::move(fd);
      last.size = entry.size;
      last.path = path;
      return;
    }
    content(fd.get(), entry.size, path);
  }

  void content(int fd, int64_t size, const std::string& path) {
    for (int64_t left = size; left > 0;) {
      Item item;
      const auto want = static_cast<size_t>(std::min<int64_t>(left, kChunk));
      left -= static_cast<int64_t>(want);
      item.bytes.resize(want + (left == 0 ? paddingOf(size) : 0));
      for (size_t got = 0; got < want;) {
        const ssize_t n = sys([&] { return ::read(fd, item.bytes.data() + got, want - got); }, "read '/{}'", path);
        if (n == 0) fail(Code::conflict, "'/{}' changed while the layer was packed", path);
        got += static_cast<size_t>(n);
      }
      push(std::move(item));
    }
  }

  void node(int dirFd, const std::string& name, const std::string& path) {
    struct stat st {};
    sys([&] { return ::fstatat(dirFd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW); }, "stat '/{}'", path);
    if (isWhiteout(st)) {
      return whiteout(path.substr(0, path.size() - name.size()) + ".wh." + name);
    }
    TarEntry entry;
    entry.name = path;
    fill(entry, st);
    if (S_ISLNK(st.st_mode)) {
      entry.type = TarType::symlink;
      std::string text(PATH_MAX, '\0');
      text.resize(static_cast<size_t>(
          sys([&] { return ::readlinkat(dirFd, name.c_str(), text.data(), text.size()); }, "read link '/{}'", path)));
      entry.linkName = std::move(text);
    } else if (S_ISFIFO(st.st_mode)) {
      entry.type = TarType::fifo;
    } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
      entry.type = S_ISCHR(st.st_mode) ? TarType::charDevice : TarType::blockDevice;
      entry.devMajor = major(st.st_rdev);
      entry.devMinor = minor(st.st_rdev);
    } else {
      fail(Code::conflict, "'/{}' changed while the layer was packed", path);
    }
    (void)linked(st, entry);
    add(entry);
  }

  void add(const TarEntry& entry) {
    Item item;
    appendTarHeader(item.bytes, entry, style_.subSecondTimes);
    push(std::move(item));
  }

  void push(Item item) {
    if (batch_.items.size() >= kBatchItems || batch_.bytes >= kChunk) flush();
    batch_.bytes += item.bytes.size();
    batch_.items.push_back(std::move(item));
  }

  void flush() {
    if (!queue_.push(std::exchange(batch_, {}))) throw Stopped();
  }

  BatchQueue& queue_;
  PackStyle style_;
  Batch batch_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  int64_t contentBytes_ = 0;
};

/// Gathers small pieces: hashing and writing are paid per call.
class Output {
 public:
  explicit Output(Sink* out) : hashed_(out), buffer_(kChunk) {}

  void take(Item& item) {
    append(item.bytes);
    if (item.small) file(item);
  }

  Packed finish() {
    append(std::string(2 * kTarBlock, '\0'));
    flush();
    Packed out;
    out.tarBytes = hashed_.bytes();
    out.diffIdHex = hashed_.finishHex();
    return out;
  }

 private:
  void append(const std::string& bytes) {
    if (bytes.size() > buffer_.size() - used_) flush();
    if (bytes.size() > buffer_.size() / 2) {
      flush();
      hashed_.write(bytes);
      return;
    }
    std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }

  void file(Item& item) {
    const auto size = static_cast<size_t>(item.size);
    const size_t padding = paddingOf(item.size);
    if (size + padding > buffer_.size() - used_) flush();
    for (size_t got = 0; got < size;) {
      char* to = buffer_.data() + used_ + got;
      const ssize_t n = sys([&] { return ::read(item.small.get(), to, size - got); }, "read '/{}'", item.path);
      if (n == 0) fail(Code::conflict, "'/{}' changed while the layer was packed", item.path);
      got += static_cast<size_t>(n);
    }
    std::memset(buffer_.data() + used_ + size, 0, padding);
    used_ += size + padding;
  }

  void flush() {
    hashed_.write(buffer_.data(), used_);
    used_ = 0;
  }

  HashingSink hashed_;
  std::vector<char> buffer_;
  size_t used_ = 0;
};

/// The walking thread; gone when this is.
class WalkerThread {
 public:
  WalkerThread(int dirFd, BatchQueue& queue, PackStyle style)
      : queue_(queue), walker_(queue, style), thread_([this, dirFd] {
          try {
            walker_.run(dirFd);
            queue_.end(nullptr);
          } catch (const Stopped&) {
            queue_.end(nullptr);
          } catch (...) {
            queue_.end(std::current_exception());
          }
        }) {}
  ~WalkerThread() {
    queue_.leave();
    thread_.join();
  }
  WalkerThread(const WalkerThread&) = delete;
  WalkerThread& operator=(const WalkerThread&) = delete;
  /// After the last batch.
  int64_t contentBytes() const noexcept { return walker_.contentBytes(); }

 private:
  BatchQueue& queue_;
  Walker walker_;
  std::thread thread_;
};

Packed pack(int dirFd, Sink* out, PackStyle style) {
  BatchQueue queue;
  WalkerThread walker(dirFd, queue, style);
  Output output(out);
  while (auto batch = queue.pop()) {
    for (Item& item : batch->items) output.take(item);
  }
  Packed packed = output.finish();
  packed.contentBytes = walker.contentBytes();
  return packed;
}

}  // namespace

Packed packLayer(int dirFd, Sink* out) { return pack(dirFd, out, {}); }

Packed packTree(int dirFd, Sink& out, bool subSecondTimes) {
  return pack(dirFd, &out, {.whiteouts = false, .subSecondTimes = subSecondTimes});
}

}  // namespace estiba::archive
