#include "build/dockerfile/source.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace estiba::build {
namespace {

constexpr std::string_view kRule = "--------------------\n";
constexpr int kMaxDistance = 2;

bool holds(const std::vector<LineRange>& where, int line) {
  return std::any_of(where.begin(), where.end(),
                     [&](const LineRange& r) { return r.first <= line && line <= std::max(r.first, r.last); });
}

/// How many lines of context fit around first..last: about four for one line, two for several.
LineRange widen(LineRange shown, int lineCount) {
  const int wanted = shown.first == shown.last ? 4 : 2;
  for (int added = 0; added < wanted; ++added) {
    if (shown.first > 1) --shown.first, ++added;
    if (shown.last != lineCount) ++shown.last, ++added;
  }
  return shown;
}

size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row.back();
}

/// Letters in another order are the likelier slip.
bool isAnagram(std::string a, std::string b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

std::string inCaseOf(std::string_view model, const std::string& word) {
  if (model == toLower(model)) return toLower(word);
  if (model == toUpper(model)) return toUpper(word);
  return word;
}

bool tooFar(std::string_view a, std::string_view b) {
  return std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > kMaxDistance;
}

}  // namespace

std::string sourceExcerpt(std::string_view fileName, std::string_view source, const std::vector<LineRange>& where) {
  if (where.empty()) return "";
  const std::vector<std::string> lines = split(source, '\n');
  const int count = static_cast<int>(lines.size());
  LineRange marked = where.front();
  for (const LineRange& r : where) {
    marked.first = std::min(marked.first, r.first);
    marked.last = std::max({marked.last, r.first, r.last});
  }
  if (marked.first < 1 || marked.first > count) return "";
  marked.last = std::min(marked.last, count);

  const LineRange shown = widen(marked, count);
  std::string out = fmt::format("{}:{}\n{}", fileName, marked.first, kRule);
  for (int line = shown.first; line <= shown.last; ++line) {
    out +=
        fmt::format(" {:3} | {} {}\n", line, holds(where, line) ? ">>>" : "   ", lines[static_cast<size_t>(line) - 1]);
  }
  return out.append(kRule);
}

std::string nearest(std::string_view word, const std::vector<std::string>& options, bool caseSensitive) {
  const std::string wanted = caseSensitive ? std::string(word) : toLower(word);
  std::string best;
  size_t bestDistance = kMaxDistance + 1;
  for (const std::string& option : options) {
    const std::string candidate = caseSensitive ? option : toLower(option);
    if (candidate == wanted) return "";
    if (tooFar(candidate, wanted)) continue;
    const size_t distance = editDistance(wanted, candidate);
    if (distance < bestDistance || (distance == bestDistance && isAnagram(wanted, candidate))) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return caseSensitive ? best : inCaseOf(word, best);
}

std::string didYouMean(std::string_view word, const std::vector<std::string>& options, bool caseSensitive) {
  const std::string match = nearest(word, options, caseSensitive);
  return match.empty() ? "" : fmt::format(" (did you mean {}?)", match);
}

}  // namespace estiba::build
