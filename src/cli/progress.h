#pragma once
// Lines that change in place on a terminal, and plain lines elsewhere.

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace estiba::cli {

/// An area of lines at the bottom of the terminal, redrawn as a whole; what scrolls by is printed above it.
/// Any thread. Off a terminal draw() prints nothing: whoever has something lasting to say uses print().
class ProgressArea {
 public:
  struct Options {
    bool terminal = false;
    unsigned columns = 80;  ///< lines are cut there
    unsigned rows = 24;     ///< at most rows - 1 lines are shown: the last ones
    bool colour = false;
  };
  /// `write` gets whole updates (one call each), already with their control sequences.
  ProgressArea(std::function<void(std::string_view)> write, Options options);
  ~ProgressArea();  ///< leaves the last drawing on the screen
  ProgressArea(const ProgressArea&) = delete;
  ProgressArea& operator=(const ProgressArea&) = delete;

  bool interactive() const noexcept { return options_.terminal; }
  unsigned columns() const noexcept { return options_.columns; }
  /// Replaces the area's lines. Only what changed is written.
  void draw(const std::vector<std::string>& lines);
  /// Prints lasting text above the area; "\n" is added where it is missing.
  void print(std::string_view text);
  /// Takes the area off the screen.
  void clear();
  void resize(unsigned rows, unsigned columns);

 private:
  std::string erase() const;
  std::vector<std::string> fitted(const std::vector<std::string>& lines) const;

  std::mutex mutex_;
  std::function<void(std::string_view)> write_;
  Options options_;
  std::vector<std::string> shown_;
  std::vector<std::string> wanted_;
};

/// The rows of a pull, push or load: "ID: Status  [====>   ]  1.2MB/3MB", by ID in the order of their coming.
/// Off a terminal every change of status is one line, without bars. Source: the Engine API's progress messages.
class PullProgress {
 public:
  explicit PullProgress(ProgressArea& area) : area_(area) {}
  /// @param id  "" for a message that belongs to no row
  void update(std::string_view id, std::string_view status, int64_t current, int64_t total);

 private:
  struct Row {
    std::string id, status;
    std::string line;
  };
  void redraw();

  ProgressArea& area_;
  std::vector<Row> rows_;
};

/// "[=====>     ]  1.2MB/3MB" for `columns` of terminal; without a total only "1.2MB"; "" where nothing is known.
std::string progressBar(int64_t current, int64_t total, unsigned columns);

/// `text` without line breaks, cut to `width` columns; SGR sequences in it take none and are closed where it is cut.
std::string cutStyled(std::string_view text, size_t width);

/// SGR codes around `text` where `on`.
enum class Colour { red, green, yellow, blue, magenta, cyan, dim, bold };
std::string coloured(std::string_view text, Colour colour, bool on);

}  // namespace estiba::cli
