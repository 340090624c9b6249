#include "cli/table.h"

#include <algorithm>

#include "base/text.h"
#include "cli/utf8.h"

namespace estiba::cli {

namespace {

using Lines = std::vector<std::vector<std::string_view>>;

Lines cellsOf(std::string_view text) {
  Lines lines(1);
  for (size_t start = 0;;) {
    const size_t end = std::min(text.find_first_of("\t\n", start), text.size());
    lines.back().push_back(text.substr(start, end - start));
    if (end == text.size()) return lines;
    if (text[end] == '\n') lines.emplace_back();
    start = end + 1;
  }
}

/// Widths of the tab-terminated cells. A column is a block of neighbouring lines that all have that cell.
class Widths {
 public:
  Widths(const Lines& lines, TabStyle style) : lines_(lines), style_(style), widths_(lines.size()) {
    for (size_t i = 0; i < lines.size(); ++i) widths_[i].resize(lines[i].size() - 1);
    for (size_t column = 0, longest = 0; column == 0 || column < longest; ++column) {
      for (const auto& line : lines) longest = std::max(longest, line.size());
      measure(column);
    }
  }
  size_t at(size_t line, size_t column) const { return widths_[line][column]; }

 private:
  void measure(size_t column) {
    for (size_t i = 0; i < lines_.size();) {
      if (widths_[i].size() <= column) {
        ++i;
        continue;
      }
      size_t end = i, width = 0;
      for (; end < lines_.size() && widths_[end].size() > column; ++end) {
        width = std::max(width, utf8::count(lines_[end][column]));
      }
      width = std::max(width + style_.padding, style_.minWidth);
      for (; i < end; ++i) widths_[i][column] = width;
    }
  }

  const Lines& lines_;
  TabStyle style_;
  std::vector<std::vector<size_t>> widths_;
};

}  // namespace

std::string alignTabs(std::string_view text, TabStyle style) {
  const Lines lines = cellsOf(text);
  const Widths widths(lines, style);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    for (size_t j = 0; j < lines[i].size(); ++j) {
      out += lines[i][j];
      if (j + 1 < lines[i].size()) out.append(widths.at(i, j) - utf8::count(lines[i][j]), ' ');
    }
  }
  return out;
}

size_t displayWidth(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const auto [rune, length] = utf8::decode(text);
    columns += static_cast<size_t>(utf8::width(rune));
    text.remove_prefix(length);
  }
  return columns;
}

std::string ellipsis(std::string_view text, size_t width) {
  if (width == 0) return "";
  if (displayWidth(text) <= width) return std::string(text);
  if (width == 1) return utf8::prefix(text, 1);  // no room for a mark
  size_t columns = 0, end = 0;
  while (end < text.size()) {
    const auto [rune, length] = utf8::decode(text.substr(end));
    const auto wide = static_cast<size_t>(utf8::width(rune));
    if (columns + wide > width - 1) break;
    columns += wide;
    end += length;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string truncateId(std::string_view id) {
  if (const size_t colon = id.find(':'); colon != std::string_view::npos) id.remove_prefix(colon + 1);
  return std::string(id.substr(0, 12));
}

}  // namespace estiba::cli
