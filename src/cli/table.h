#pragma once
// Columns as Go's text/tabwriter lines them up with docker's settings, and text cut to a width.

#include <string>
#include <string_view>
#include <vector>

namespace estiba::cli {

struct TabStyle {
  size_t minWidth = 10;  ///< of a cell, padding included
  size_t padding = 3;
};

/// Aligns tab-terminated cells: a column is a run of consecutive lines that have it; the last cell of a line belongs to
/// no column. Widths count code points. Source: pkg.go.dev/text/tabwriter (no flags, padding with spaces).
std::string alignTabs(std::string_view text, TabStyle style = {});

/// As many columns as a terminal needs for `text`: wide East Asian characters count two, combining ones none.
size_t displayWidth(std::string_view text);
/// `text` cut to `width` columns, the last one "…" where something was cut. Source: docker formatter.Ellipsis.
std::string ellipsis(std::string_view text, size_t width);
/// The first 12 characters of an ID, "sha256:" cut off first.
std::string truncateId(std::string_view id);

}  // namespace estiba::cli
