#include "cli/attach.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "apitypes/container.h"
#include "base/detach_keys.h"
#include "base/error.h"
#include "cli/terminal.h"
#include "http/stdio_frames.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

// Standard input to the stream, in a thread of its own: a read of a terminal cannot be taken back.
void pumpInput(int from, int to, int wake, DetachMatcher* keys, std::atomic<bool>& detached) {
  char buffer[65536];
  pollfd polls[] = {{from, POLLIN, 0}, {wake, POLLIN, 0}};
  for (;;) {
    if (::poll(polls, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (polls[1].revents != 0) return;
    const ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) break;
    // The engine gets the keys as well: it is the one that ends the stream.
    if (keys != nullptr && keys->feed({buffer, static_cast<size_t>(n)}).detached) detached = true;
    for (ssize_t done = 0; done < n;) {
      const ssize_t sent = ::send(to, buffer + done, static_cast<size_t>(n - done), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return;  // the container has ended
      done += sent;
    }
    if (detached) return;
  }
  ::shutdown(to, SHUT_WR);
}

void writeOut(int fd, std::string_view bytes) {
  try {
    writeAll(fd, bytes, "standard output");
  } catch (const SysError& e) {
    if (e.err() != EPIPE && e.err() != EIO) throw;
    throw Error(Code::cancelled, "nobody reads the output any more");
  }
}

}  // namespace

Left joinStreams(Session& session, http::Upgraded stream, const Joined& options) {
  const auto& streams = session.streams();
  std::optional<DetachMatcher> keys;
  if (options.tty && options.in) {
    keys.emplace(parseDetachKeys(options.detachKeys.empty() ? kDefaultDetachKeys : options.detachKeys));
  }
  std::atomic<bool> detached = false;
  session.out().flush();
  RawMode raw(options.tty && options.in ? streams.inFd : -1);
  const Fd wake(::eventfd(0, EFD_CLOEXEC));
  std::jthread input;
  if (options.in) {
    input = std::jthread([&, fd = stream.fd.get()] { pumpInput(streams.inFd, fd, wake.get(), keys ? &*keys : nullptr, detached); });
  }
  std::optional<ResizeWatch> watch;
  if (options.tty && options.resize && isTerminal(streams.outFd)) watch.emplace();
  const auto tellSize = [&] {
    if (const auto size = terminalSize(streams.outFd)) options.resize(size->rows, size->columns);
  };
  http::FrameDemux demux([&](http::StdStream which, std::string_view bytes) {
    if (which == http::StdStream::err) {
      if (options.err) writeOut(streams.errFd, bytes);
    } else if (options.out) {
      writeOut(streams.outFd, bytes);
    }
  });
  const auto take = [&](std::string_view bytes) {
    if (options.tty) writeOut(streams.outFd, bytes);
    else demux.feed(bytes);
  };
  try {
    if (watch) tellSize();
    if (!stream.early.empty()) take(stream.early);
    std::string buffer(128 << 10, '\0');
    pollfd polls[] = {{stream.fd.get(), POLLIN, 0}, {watch ? watch->fd() : -1, POLLIN, 0}};
    for (;;) {
      if (::poll(polls, 2, -1) < 0) {
        if (errno == EINTR) continue;
        throw SysError(errno, "wait for the container's output");
      }
      if (polls[1].revents != 0) {
        watch->drain();
        tellSize();
      }
      if (polls[0].revents == 0) continue;
      const ssize_t n = ::read(stream.fd.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      take(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
    }
  } catch (const Error& e) {
    if (e.code() != Code::cancelled) {
      ::eventfd_write(wake.get(), 1);
      throw;
    }
  }
  ::eventfd_write(wake.get(), 1);
  return detached ? Left::detached : Left::ended;
}

ContainerEnd::ContainerEnd(Session& session, const std::string& id, const std::string& condition) {
  std::promise<void> asked;
  auto ready = asked.get_future();
  thread_ = std::jthread([this, &session, id, condition, asked = std::move(asked)](std::stop_token stop) mutable {
    bool told = false;
    try {
      http::ClientRequest request;
      request.method = "POST";
      request.url = target("/containers/{}/wait?condition={}", id, condition);
      request.stop = stop;
      auto response = session.send(std::move(request));
      told = true;
      asked.set_value();
      const auto answer = fromJson<apitypes::WaitResponse>(response.body().readJson());
      code_.set_value(static_cast<int>(answer.StatusCode));
    } catch (...) {
      if (!told) asked.set_value();
      code_.set_exception(std::current_exception());
    }
  });
  ready.get();
}

struct SignalForward::Impl {
  sigset_t before{};
  Fd signals;
  Fd wake{::eventfd(0, EFD_CLOEXEC)};
  std::jthread thread;
};

SignalForward::SignalForward(std::function<void(int)> forward) : impl_(std::make_unique<Impl>()) {
  sigset_t set;
  sigfillset(&set);
  for (const int s : {SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                      SIGABRT, SIGPROF, SIGTRAP, SIGSYS}) {
    sigdelset(&set, s);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, &impl_->before);
  impl_->signals = Fd(::signalfd(-1, &set, SFD_CLOEXEC));
  impl_->thread = std::jthread([this, forward = std::move(forward)] {
    pollfd polls[] = {{impl_->signals.get(), POLLIN, 0}, {impl_->wake.get(), POLLIN, 0}};
    for (;;) {
      if (::poll(polls, 2, -1) < 0 && errno != EINTR) return;
      if (polls[1].revents != 0) return;
      signalfd_siginfo info{};
      if (polls[0].revents == 0 || ::read(impl_->signals.get(), &info, sizeof info) != sizeof info) continue;
      try {
        forward(static_cast<int>(info.ssi_signo));
      } catch (const std::exception&) {  // the container has ended: the signal has nobody to go to
      }
    }
  });
}

SignalForward::~SignalForward() {
  ::eventfd_write(impl_->wake.get(), 1);
  impl_->thread.join();
  ::pthread_sigmask(SIG_SETMASK, &impl_->before, nullptr);
}

}  // namespace estiba::cli
