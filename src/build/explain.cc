#include "build/explain.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace estiba::build {

namespace {

// "100644 0:0 <sha256>" or "100644 <sha256>": the mode apart from the rest.
std::string modeOf(const std::string& value) { return value.substr(0, value.find(' ')); }
std::string contentOf(const std::string& value) {
  const size_t space = value.find(' ');
  return space == std::string::npos ? "" : value.substr(space);
}

std::string fileChange(const std::string& path, const std::string* before, const std::string* after) {
  if (before == nullptr) return fmt::format("{}: added", path);
  if (after == nullptr) return fmt::format("{}: removed", path);
  const bool mode = modeOf(*before) != modeOf(*after);
  const bool content = contentOf(*before) != contentOf(*after);
  return fmt::format("{}: {} changed", path, mode && content ? "content and mode" : mode ? "mode" : "content");
}

std::string valueChange(const std::string& name, const std::string* before, const std::string* after) {
  if (before == nullptr) return fmt::format("{} was not set before", name);
  if (after == nullptr) return fmt::format("{} is not set any more", name);
  if (before->size() > 60 || after->size() > 60) return fmt::format("{} changed", name);
  return fmt::format("{} changed from {} to {}", name, quoted(*before), quoted(*after));
}

// Names may occur several times (the words of a command): their values are compared together.
std::map<std::string, std::string> byName(const Inputs& inputs) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : inputs) {
    auto& held = out[name];
    if (!held.empty()) held += ' ';
    held += value;
  }
  return out;
}

std::string seconds(std::chrono::nanoseconds time) {
  return fmt::format("{:.1f} s", static_cast<double>(time.count()) / 1e9);
}

}  // namespace

void explainMiss(StepCache& cache, const std::string& text, const Inputs& inputs, StepReport& report) {
  const auto now = byName(inputs);
  const auto parent = now.find("parent");
  const auto earlier = cache.nearest(text, parent == now.end() ? "" : parent->second);
  if (!earlier) {
    report.reasons = {"it has not been built before"};
    return;
  }
  const auto before = byName(*earlier);
  bool parentChanged = false;
  const auto compare = [&](const std::string& name, const std::string* was, const std::string* is) {
    if (was != nullptr && is != nullptr && *was == *is) return;
    if (name == "parent") parentChanged = true;
    else if (name.starts_with("file ")) report.reasons.push_back(fileChange(name.substr(5), was, is));
    else report.reasons.push_back(valueChange(name, was, is));
  };
  for (const auto& [name, value] : now) {
    const auto was = before.find(name);
    compare(name, was == before.end() ? nullptr : &was->second, &value);
  }
  for (const auto& [name, value] : before) {
    if (!now.contains(name)) compare(name, &value, nullptr);
  }
  if (parentChanged && report.reasons.empty()) {
    report.onlyParent = true;
    report.reasons = {"an earlier step changed"};
  } else if (report.reasons.empty()) {
    report.reasons = {"its cached layer was removed"};
  }
}

std::string explanation(const std::vector<StepReport>& reports) {
  std::string out;
  for (size_t i = 0; i < reports.size(); ++i) {
    const auto& r = reports[i];
    if (r.cached) {
      out += fmt::format("{}: cached\n", r.shown);
      continue;
    }
    std::string reasons = join({r.reasons.begin(), r.reasons.begin() + std::min<ptrdiff_t>(5, static_cast<ptrdiff_t>(r.reasons.size()))}, "; ");
    if (r.reasons.size() > 5) reasons += fmt::format("; and {} more", r.reasons.size() - 5);
    out += fmt::format("{}: ran, {}: {}\n", r.shown, seconds(r.took), reasons);
  }
  // What a step that changed by itself drew after it, and what it would have cost at the end.
  for (size_t i = 0; i < reports.size(); ++i) {
    const auto& r = reports[i];
    if (r.cached || r.onlyParent) continue;
    std::chrono::nanoseconds after{};
    size_t count = 0;
    for (size_t k = i + 1; k < reports.size() && reports[k].onlyParent; ++k, ++count) after += reports[k].took;
    if (count == 0) continue;
    const size_t colon = r.reasons.front().find(": ");
    const std::string why = r.reasons.size() == 1 && colon != std::string::npos ? r.reasons.front().substr(colon + 2)
                                                                               : r.reasons.front();
    out += fmt::format("`{}`: {}; {} later step{} ran again, {}; at the end of the file it would have cost {}\n", r.text,
                       why, count, count == 1 ? "" : "s", seconds(after), seconds(r.took));
  }
  return out;
}

}  // namespace estiba::build
