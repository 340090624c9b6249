#include "cli/build_progress.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <ostream>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "sys/file.h"

namespace estiba::cli {

namespace {

constexpr size_t kKeptLines = 200;  // of a step's output, for the report of its failure

std::string seconds(int64_t ns, int digits) { return fmt::format("{:.{}f}", static_cast<double>(ns) / 1e9, digits); }

// What is known of one unit of work.
struct Unit {
  int number = 0;
  std::string name;
  int64_t started = 0, completed = 0;
  bool cached = false;
  std::string error;
  std::string partial;               // output after the last line's end
  std::deque<std::string> lines;     // complete ones, with their time
  std::vector<std::string> statuses;
};

// Keeps the units; the forms below show them.
class Units : public BuildRenderer {
 public:
  explicit Units(int fd) : fd_(fd) {}

  void take(const apitypes::BuildTrace& trace) override {
    if (trace.excerpt) {
      excerpt_ = *trace.excerpt;
      return;
    }
    Unit& unit = units_[trace.vertex];
    if (trace.name) {
      unit.number = ++count_;
      unit.name = *trace.name;
      unit.started = trace.started.value_or(0);
      order_.push_back(trace.vertex);
      onStarted(unit);
    }
    if (trace.status) {
      unit.statuses.push_back(*trace.status);
      onLine(unit, *trace.status);
    }
    if (trace.warning) {
      unit.statuses.push_back("WARN: " + *trace.warning);
      onLine(unit, unit.statuses.back());
      warnings_.push_back({*trace.warning, trace.detail.value_or("")});
    }
    if (trace.log) addLog(unit, base64Decode(*trace.log).value_or(""));
    if (trace.completed) {
      if (!unit.partial.empty()) addLine(unit);
      unit.completed = *trace.completed;
      unit.cached = trace.cached.value_or(false);
      unit.error = trace.error.value_or("");
      onEnded(unit);
    }
  }

  void finish() override { writeWarnings(); }

  // The output of the step that failed, the lines of the Dockerfile, the error itself.
  void failed(const std::string& message) override {
    std::string out;
    for (const auto& id : order_) {
      const Unit& unit = units_[id];
      if (unit.error.empty() || unit.error == "cancelled") continue;
      out += "------\n > " + unit.name + ":\n";
      for (const auto& line : unit.lines) out += line + "\n";
      out += "------\n";
      break;
    }
    out += excerpt_;
    out += "ERROR: failed to solve: " + message + "\n";
    write(out);
  }

 protected:
  virtual void onStarted(const Unit&) {}
  virtual void onLine(const Unit&, const std::string&) {}
  virtual void onEnded(const Unit&) {}
  virtual std::string gap() const { return "\n"; }  // before what comes after all units
  void write(std::string_view text) { writeAll(fd_, text, "standard error"); }

  // Once more, together, after all else.
  void writeWarnings() {
    if (warnings_.empty()) return;
    const bool expand = log::enabled(log::Level::debug);
    const std::string heading =
        (warnings_.size() == 1 ? "1 warning found" : fmt::format("{} warnings found", warnings_.size())) +
        (expand ? ":" : " (use docker --debug to expand):");
    std::string out = gap() + " " + coloured(heading, Colour::yellow, wantsColour(fd_)) + "\n";
    for (const auto& [text, detail] : warnings_) {
      out += " - " + text + "\n";
      if (expand && !detail.empty()) out += detail + "\n";
    }
    write(out);
    warnings_.clear();
  }

  std::map<std::string, Unit> units_;
  std::vector<std::string> order_;

 private:
  void addLog(Unit& unit, const std::string& bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        unit.partial += c;
        continue;
      }
      addLine(unit);
    }
  }
  void addLine(Unit& unit) {
    std::string text = std::move(unit.partial);
    unit.partial.clear();
    if (text.ends_with('\r')) text.pop_back();
    const std::string line = seconds(now().ns - unit.started, 3) + " " + text;
    unit.lines.push_back(line);
    if (unit.lines.size() > kKeptLines) unit.lines.pop_front();
    onLine(unit, line);
  }

  int fd_;
  int count_ = 0;
  std::string excerpt_;
  std::vector<std::pair<std::string, std::string>> warnings_;  // with what is to be said of them
};

// "#5 [2/3] RUN …", its output, "#5 DONE 0.3s": one line per event. Units that run at the same time take turns, each
// with its heading again.
class PlainRenderer : public Units {
 public:
  using Units::Units;

 protected:
  void onStarted(const Unit& unit) override { heading(unit); }
  void onLine(const Unit& unit, const std::string& text) override {
    heading(unit);
    write(fmt::format("#{} {}\n", unit.number, text));
  }
  void onEnded(const Unit& unit) override {
    heading(unit);
    if (!unit.error.empty()) write(fmt::format("#{} {}\n\n", unit.number, unit.error == "cancelled" ? "CANCELED" : "ERROR: " + unit.error));
    else if (unit.cached) write(fmt::format("#{} CACHED\n\n", unit.number));
    else write(fmt::format("#{} DONE {}s\n\n", unit.number, seconds(unit.completed - unit.started, 1)));
    current_ = 0;
  }
  std::string gap() const override { return current_ == 0 ? "" : "\n"; }

 private:
  void heading(const Unit& unit) {
    if (current_ == unit.number) return;
    if (current_ != 0) write("\n");
    current_ = unit.number;
    write(fmt::format("#{} {}\n", unit.number, unit.name));
  }
  int current_ = 0;
};

// The list of units, redrawn in place some times a second: however much is written, and also while nothing is.
class TtyRenderer : public Units {
 public:
  explicit TtyRenderer(Session& session)
      : Units(session.streams().errFd),
        begin_(now().ns),
        colour_(wantsColour(session.streams().errFd)),
        area_([this](std::string_view text) { write(text); }, options(session)),
        ticker_([this](std::stop_token stop) { tick(stop); }) {}

  void take(const apitypes::BuildTrace& trace) override {
    std::lock_guard lock(mutex_);
    Units::take(trace);
  }
  void finish() override {
    drawLast(" FINISHED");
    writeWarnings();
  }
  void failed(const std::string& message) override {
    drawLast("");
    Units::failed(message);
  }

 private:
  void tick(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    try {
      while (!ended_.wait_for(lock, stop, std::chrono::milliseconds(100), [&] { return stop.stop_requested(); })) {
        if (!order_.empty()) redraw("");
      }
    } catch (const Error& e) {  // the terminal has gone: the last drawing will say so
      log::debug("progress: {}", e.what());
    }
  }
  void drawLast(std::string_view state) {
    if (!ticker_.joinable()) return;
    ticker_.request_stop();
    ticker_.join();
    redraw(state);
  }
  ProgressArea::Options options(Session& session) const {
    ProgressArea::Options out;
    out.terminal = true;
    out.colour = colour_;
    if (const auto size = terminalSize(session.streams().errFd)) {
      out.rows = size->rows;
      out.columns = size->columns;
    }
    return out;
  }

  void redraw(std::string_view state) {
    size_t done = 0;
    std::vector<std::string> lines(1);
    for (const auto& id : order_) {
      const Unit& unit = units_[id];
      const bool ended = unit.completed != 0;
      if (ended) ++done;
      const int64_t time = (ended ? unit.completed : now().ns) - unit.started;
      const std::string text = unit.cached ? "CACHED " + unit.name : !unit.error.empty() ? "ERROR " + unit.name : unit.name;
      const std::string shown = fmt::format(" => {} {}s", text, seconds(time, 1));
      const bool bad = !unit.error.empty();
      lines.push_back(bad ? coloured(shown, Colour::red, colour_) : ended ? coloured(shown, Colour::blue, colour_) : shown);
      for (const auto& status : unit.statuses) lines.push_back(" => => " + status);
      if (ended) continue;
      const size_t first = unit.lines.size() > 6 ? unit.lines.size() - 6 : 0;
      for (size_t i = first; i < unit.lines.size(); ++i) {
        lines.push_back(coloured(" => => # " + unit.lines[i].substr(unit.lines[i].find(' ') + 1), Colour::dim, colour_));
      }
    }
    lines[0] = fmt::format("[+] Building {}s ({}/{}){}", seconds(now().ns - begin_, 1), done, order_.size(), state);
    area_.draw(lines);
  }

  int64_t begin_;
  bool colour_;
  ProgressArea area_;
  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::jthread ticker_;  // last: it uses all of the above
};

class QuietRenderer : public Units {
 public:
  using Units::Units;
  void finish() override {}
};

// Each trace as it comes, one JSON object a line.
class RawRenderer : public BuildRenderer {
 public:
  explicit RawRenderer(int fd) : fd_(fd) {}
  void take(const apitypes::BuildTrace& trace) override { writeAll(fd_, dumpJson(toJson(trace)) + "\n", "standard error"); }
  void failed(const std::string& message) override {
    writeAll(fd_, dumpJson(json::object{{"error", message}}) + "\n", "standard error");
  }

 private:
  int fd_;
};

}  // namespace

std::unique_ptr<BuildRenderer> makeBuildRenderer(Session& session, const std::string& mode) {
  const int fd = session.streams().errFd;
  if (mode == "quiet") return std::make_unique<QuietRenderer>(fd);
  if (mode == "plain") return std::make_unique<PlainRenderer>(fd);
  if (mode == "rawjson") return std::make_unique<RawRenderer>(fd);
  if (mode == "tty") {
    if (!isTerminal(fd)) fail(Code::invalid, "failed to get console: provided file is not a console");
    return std::make_unique<TtyRenderer>(session);
  }
  if (!mode.empty() && mode != "auto") fail(Code::invalid, "invalid progress mode {}", mode);
  if (isTerminal(fd)) return std::make_unique<TtyRenderer>(session);
  return std::make_unique<PlainRenderer>(fd);
}

void checkTag(const std::string& tag) {
  // The grammar is the engine's to judge; what everybody gets wrong is said at once.
  const std::string repository = tag.substr(0, tag.find('@'));
  const size_t slash = repository.find('/');
  const bool hasDomain = slash != std::string::npos && repository.substr(0, slash).find_first_of(".:") != std::string::npos;
  std::string path = hasDomain ? repository.substr(slash + 1) : repository;
  const size_t colon = path.rfind(':');
  if (colon != std::string::npos && path.find('/', colon) == std::string::npos) path.resize(colon);
  if (toLower(path) != path) {
    fail(Code::invalid, "invalid tag {}: repository name must be lowercase", quoted(tag));
  }
}

}  // namespace estiba::cli
