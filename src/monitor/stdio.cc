#include "monitor/stdio.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "sys/file.h"

namespace estiba::monitor {

namespace {

constexpr int kPipeSize = 1 << 20;           // fewer switches between writer and reader
constexpr size_t kClientQueue = 128 * 1024;  // beyond it a client holds the process back
constexpr std::chrono::milliseconds kTick{20};
constexpr int kSilentTicks = 10, kMaxTicks = 100;

std::pair<Fd, Fd> bigPipe(int nonBlockingEnd) {
  auto ends = makePipe();
  ::fcntl(ends.first.get(), F_SETPIPE_SZ, kPipeSize);  // as much as the limits of the system allow
  ::fcntl(nonBlockingEnd == 0 ? ends.first.get() : ends.second.get(), F_SETFL, O_NONBLOCK);
  return ends;
}

size_t bytesWaiting(int fd) {
  int n = 0;
  return ::ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? static_cast<size_t>(n) : 0;
}

}  // namespace

Stdio::Stdio(EventLoop& loop, Scratch& scratch, StdioOptions options)
    : loop_(loop), scratch_(scratch), options_(options) {}

Stdio::~Stdio() {
  if (lingerTimer_ != 0) loop_.cancel(lingerTimer_);
  for (auto& source : sources_) loop_.remove(source.fd.get());
  for (auto& client : clients_) loop_.remove(client->fd());
  closeStdin();
}

std::array<int, 3> Stdio::openPipes() {
  std::array<int, 3> child = {-1, -1, -1};
  if (options_.stdinOpen) {
    auto [readEnd, writeEnd] = bigPipe(1);
    child[0] = readEnd.get();
    childEnds_.push_back(std::move(readEnd));
    stdin_ = std::move(writeEnd);
  }
  for (const StreamId stream : {StreamId::out, StreamId::err}) {
    auto [readEnd, writeEnd] = bigPipe(0);
    child[static_cast<size_t>(stream)] = writeEnd.get();
    childEnds_.push_back(std::move(writeEnd));
    sources_.push_back({std::move(readEnd), stream});
  }
  return child;
}

void Stdio::childStarted() {
  begun_ = true;
  childEnds_.clear();
  for (auto& source : sources_) watchSource(source);
  updateSources();
  flushStdin();
}

void Stdio::setConsole(Fd master) {
  ::fcntl(master.get(), F_SETFL, O_NONBLOCK);
  sources_.push_back({std::move(master), StreamId::out});
}

void Stdio::resize(uint32_t height, uint32_t width) {
  if (!options_.tty || sources_.empty()) return;
  winsize size{};
  size.ws_row = static_cast<unsigned short>(height);
  size.ws_col = static_cast<unsigned short>(width);
  sys([&] { return ::ioctl(sources_.front().fd.get(), TIOCSWINSZ, &size); }, "set the terminal's size");
}

// --- output ---

void Stdio::watchSource(Source& source) {
  loop_.add(source.fd.get(), EPOLLIN, [this, &source](uint32_t events) { onSource(source, events); });
}

void Stdio::onSource(Source& source, uint32_t events) {
  if ((events & EPOLLOUT) != 0) flushStdin();
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) readSource(source);
  if (ended_ && sources_.empty()) return finish();
  updateSources();
}

bool Stdio::readSource(Source& source) {
  ssize_t n;
  do {
    n = ::read(source.fd.get(), scratch_.data(), Scratch::kSize);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) {  // EIO: no process has the terminal open any more
    endSource(source);
    return false;
  }
  bytesRead_ += static_cast<uint64_t>(n);
  deliver(source.stream, {scratch_.data(), static_cast<size_t>(n)});
  return true;
}

void Stdio::endSource(Source& source) {
  loop_.remove(source.fd.get());
  sources_.remove_if([&](const Source& s) { return &s == &source; });
}

void Stdio::deliver(StreamId stream, std::string_view bytes) {
  if (options_.log != nullptr) options_.log->write(stream, bytes, now());
  for (auto& client : clients_) {
    if (client->closing || client->replaying() || !client->wants(stream)) continue;
    client->deliver(stream, bytes);
    updateClient(*client);
  }
}

bool Stdio::congested() const {
  for (const auto& client : clients_) {
    if (!client->gone && !client->replaying() && client->queued() > kClientQueue) return true;
  }
  return false;
}

void Stdio::updateSources() {
  if (!begun_) return;
  const uint32_t in = congested() ? 0U : uint32_t{EPOLLIN};
  for (auto& source : sources_) {
    const bool out = options_.tty && !stdinPending_.empty();
    loop_.change(source.fd.get(), in | (out ? EPOLLOUT : 0U));
  }
}

// --- clients ---

void Stdio::attach(std::unique_ptr<StreamClient> client) {
  if (finished_) client->closing = true;
  clients_.push_back(std::move(client));
  const auto it = std::prev(clients_.end());
  StreamClient& c = **it;
  loop_.add(c.fd(), EPOLLERR, [this, it](uint32_t events) { onClient(it, events); });
  if (const std::string early = c.takeEarlyInput(); !early.empty() && c.wantsInput()) {
    writeStdin(c.filtersInput() ? c.filterInput(early) : early);
    if (c.detached()) c.closing = true;
  }
  flushClient(c);
  settle(it);
}

void Stdio::onClient(ClientIt it, uint32_t events) {
  StreamClient& client = **it;
  if ((events & EPOLLIN) != 0) readClient(client);
  if ((events & EPOLLOUT) != 0) flushClient(client);
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) client.gone = true;
  settle(it);
}

// What follows from a client's state; false: it was removed.
bool Stdio::settle(ClientIt it) {
  StreamClient& client = **it;
  if (client.gone) client.flush();  // forgets what cannot be sent
  const bool inputLeft = client.gone && client.wantsInput() && !client.inputEnded && !finished_ && stdinFd() >= 0;
  const bool done = client.gone ? !inputLeft : client.closing && client.queued() == 0 && !client.replaying();
  if (!done) {
    updateClient(client);
    updateSources();
    return true;
  }
  if (client.gone && !client.inputEnded) inputEnded(client);
  loop_.remove(client.fd());
  clients_.erase(it);
  updateSources();
  if (clients_.empty() && clientsGone_) clientsGone_();
  return false;
}

void Stdio::updateClient(StreamClient& client) {
  const bool listening = !client.inputEnded && !client.closing;
  // One that has left is not watched while its last input waits for the process: EPOLLHUP would spin.
  uint32_t events = client.gone && listening && !stdinPending_.empty() ? 0U : uint32_t{EPOLLERR};
  if (listening && stdinPending_.empty()) events |= EPOLLIN;
  if (!client.gone && client.queued() > 0) events |= EPOLLOUT;
  loop_.change(client.fd(), events);
}

void Stdio::updateClients() {
  for (auto& client : clients_) updateClient(*client);
}

void Stdio::flushClient(StreamClient& client) {
  client.flush();
  if (client.replaying() && client.pumpReplay() && options_.log != nullptr) {
    for (const StreamId stream : {StreamId::out, StreamId::err}) {  // a line that is not complete is not in the file
      const std::string_view begun = options_.log->unfinished(stream);
      if (!begun.empty() && client.wants(stream)) client.deliver(stream, begun);
    }
  }
}

void Stdio::readClient(StreamClient& client) {
  ssize_t n;
  do {
    n = ::read(client.fd(), scratch_.data(), Scratch::kSize);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    inputEnded(client);
    if (n < 0) client.gone = true;
    return;
  }
  if (!client.wantsInput()) return;  // Docker's clients may send; nobody listens
  const std::string_view bytes(scratch_.data(), static_cast<size_t>(n));
  if (!client.filtersInput()) return writeStdin(bytes);
  writeStdin(client.filterInput(bytes));
  if (client.detached()) client.closing = true;
}

void Stdio::inputEnded(StreamClient& client) {
  client.inputEnded = true;
  if (!client.wantsInput()) return;
  if (options_.closesStdin && !options_.tty) {
    stdinEnding_ = true;
    flushStdin();
  } else {
    client.closing = true;  // as Docker: where the input stays open for others, its end is the client's leaving
  }
}

// --- standard input ---

int Stdio::stdinFd() const noexcept {
  if (options_.tty) return options_.stdinOpen && !sources_.empty() ? sources_.front().fd.get() : -1;
  return stdin_.get();
}

void Stdio::writeStdin(std::string_view bytes) {
  const bool early = options_.tty && options_.stdinOpen && !begun_;  // kept until there is a terminal
  if ((stdinFd() < 0 && !early) || stdinEnding_ || finished_) return;
  while (!early && stdinPending_.empty() && !bytes.empty()) {
    const ssize_t n = ::write(stdinFd(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return closeStdin();  // nobody reads it any more
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  stdinPending_.append(bytes);
  flushStdin();
}

void Stdio::flushStdin() {
  size_t written = 0;
  while (written < stdinPending_.size() && stdinFd() >= 0) {
    const ssize_t n = ::write(stdinFd(), stdinPending_.data() + written, stdinPending_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      closeStdin();
      return updateClients();
    }
    written += static_cast<size_t>(n);
  }
  stdinPending_.erase(0, written);
  if (stdinPending_.empty()) stdinPending_.shrink_to_fit();
  if (stdinEnding_ && stdinPending_.empty()) {
    closeStdin();
  } else if (stdin_ && childEnds_.empty() && stdinPending_.empty() == stdinWatched_) {
    stdinWatched_ = !stdinWatched_;
    if (stdinWatched_) {
      loop_.add(stdin_.get(), EPOLLOUT, [this](uint32_t) { flushStdin(); });
    } else {
      loop_.remove(stdin_.get());
    }
  }
  updateClients();
  if (options_.tty) updateSources();
}

void Stdio::closeStdin() {
  if (std::exchange(stdinWatched_, false)) loop_.remove(stdin_.get());
  stdin_.reset();
  stdinPending_.clear();
}

// --- the end ---

void Stdio::processEnded(std::function<void()> drained) {
  ended_ = true;
  drained_ = std::move(drained);
  childEnds_.clear();
  // What the process itself wrote, whatever the clients' queues hold; more may come from those it left behind.
  for (auto it = sources_.begin(); it != sources_.end();) {
    Source& source = *it++;  // readSource may remove it
    const uint64_t until = bytesRead_ + bytesWaiting(source.fd.get());
    while (readSource(source) && bytesRead_ <= until) {
    }
  }
  if (sources_.empty()) return finish();
  updateSources();
  linger();
}

void Stdio::linger() {
  silentTicks_ = bytesRead_ == std::exchange(lingerSeen_, bytesRead_) ? silentTicks_ + 1 : 0;
  if (sources_.empty() || silentTicks_ >= kSilentTicks || ++ticks_ >= kMaxTicks) return finish();
  lingerTimer_ = loop_.after(kTick, [this] { linger(); });
}

void Stdio::finish() {
  if (std::exchange(finished_, true)) return;
  if (lingerTimer_ != 0) loop_.cancel(std::exchange(lingerTimer_, 0));
  while (!sources_.empty()) endSource(sources_.front());
  closeStdin();
  if (options_.log != nullptr) {
    options_.log->finish(StreamId::out, now());
    options_.log->finish(StreamId::err, now());
  }
  for (auto it = clients_.begin(); it != clients_.end();) {
    const auto client = it++;
    (*client)->closing = true;
    settle(client);
  }
  if (drained_) std::exchange(drained_, {})();
}

}  // namespace estiba::monitor
