#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/table.h"

namespace estiba::cli {

ProgressArea::ProgressArea(std::function<void(std::string_view)> write, Options options)
    : write_(std::move(write)), options_(options) {}

ProgressArea::~ProgressArea() = default;

std::string ProgressArea::erase() const {
  if (shown_.empty()) return "";
  return fmt::format("\x1b[{}A\r\x1b[J", shown_.size());
}

/// Lines cut to the window; of too many, the last ones.
std::vector<std::string> ProgressArea::fitted(const std::vector<std::string>& lines) const {
  const size_t most = std::max(2u, options_.rows) - 1;
  const size_t first = lines.size() > most ? lines.size() - most : 0;
  std::vector<std::string> out;
  for (size_t i = first; i < lines.size(); ++i) out.push_back(cutStyled(lines[i], options_.columns));
  return out;
}

void ProgressArea::draw(const std::vector<std::string>& lines) {
  const std::lock_guard lock(mutex_);
  if (!options_.terminal) return;
  std::vector<std::string> next = fitted(lines);
  wanted_ = lines;
  if (next == shown_) return;
  std::string out;
  const bool sameHeight = next.size() == shown_.size();
  if (sameHeight) {
    // Only the lines that changed: up, rewrite, down again.
    for (size_t i = 0; i < next.size(); ++i) {
      if (next[i] == shown_[i]) continue;
      const size_t up = next.size() - i;
      out += fmt::format("\x1b[{}A\r{}\x1b[K\x1b[{}B\r", up, next[i], up);
    }
  } else {
    out = erase();
    for (const std::string& line : next) out += line + "\x1b[K\n";
  }
  shown_ = std::move(next);
  write_(out);
}

void ProgressArea::print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  std::string out = erase();
  out += text;
  if (!text.ends_with('\n')) out += '\n';
  for (const std::string& line : shown_) out += line + "\x1b[K\n";
  write_(out);
}

void ProgressArea::clear() {
  const std::lock_guard lock(mutex_);
  if (shown_.empty()) return;
  write_(erase());
  shown_.clear();
  wanted_.clear();
}

void ProgressArea::resize(unsigned rows, unsigned columns) {
  std::vector<std::string> lines;
  {
    const std::lock_guard lock(mutex_);
    options_.rows = rows;
    options_.columns = columns;
    lines = wanted_;
  }
  draw(lines);
}

std::string cutStyled(std::string_view text, size_t width) {
  std::string out;
  bool styled = false, cut = false;
  size_t columns = 0;
  while (!text.empty()) {
    if (text.starts_with("\x1b[")) {
      const size_t end = std::min(text.find('m'), text.size() - 1);
      out += text.substr(0, end + 1);
      text.remove_prefix(end + 1);
      styled = true;
      continue;
    }
    size_t length = 1;
    while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) ++length;
    const size_t wide = displayWidth(text.substr(0, length));
    if (columns + wide > width) {
      cut = true;
      break;
    }
    columns += wide;
    if (text[0] != '\n' && text[0] != '\r') out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return styled && cut ? out + "\x1b[0m" : out;
}

void PullProgress::update(std::string_view id, std::string_view status, int64_t current, int64_t total) {
  if (id.empty()) {
    area_.print(status);
    return;
  }
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.id == id; });
  const bool isNew = row == rows_.end();
  if (isNew) row = rows_.insert(rows_.end(), Row{std::string(id), {}, {}});
  const bool changed = isNew || row->status != status;
  row->status = status;
  row->line = fmt::format("{}: {}", id, status);
  if (!area_.interactive()) {
    // Without a screen a moving bar is noise.
    if (changed) area_.print(row->line);
    return;
  }
  if (const std::string bar = progressBar(current, total, area_.columns()); !bar.empty()) row->line += " " + bar;
  redraw();
}

void PullProgress::redraw() {
  std::vector<std::string> lines;
  for (const Row& row : rows_) lines.push_back(row.line);
  area_.draw(lines);
}

std::string progressBar(int64_t current, int64_t total, unsigned columns) {
  if (current <= 0 && total <= 0) return "";
  const std::string have = humanSize(static_cast<double>(current));
  if (total <= 0) return have;
  std::string bar;
  if (columns > 110) {
    const auto filled = static_cast<size_t>(std::clamp<int64_t>(current * 50 / total, 0, 50));
    bar = "[" + std::string(filled, '=') + ">" + std::string(50 - filled, ' ') + "]  ";
  }
  return bar + have + "/" + humanSize(static_cast<double>(total));
}

std::string coloured(std::string_view text, Colour colour, bool on) {
  if (!on) return std::string(text);
  static constexpr std::string_view kCodes[] = {"31", "32", "33", "34", "35", "36", "2", "1"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<size_t>(colour)], text);
}

}  // namespace estiba::cli
