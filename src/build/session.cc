#include "build/session.h"

#include "base/text.h"
#include "sys/file.h"

namespace estiba::build {

TempDir::TempDir(const std::string& root) {
  makeDirs(root + "/tmp", 0700);
  auto [name, held] = makeLockedDir(root + "/tmp", "build-");
  path_ = root + "/tmp/" + name;
  held_ = std::move(held);
}

TempDir::~TempDir() {
  try {
    removeTree(path_);
  } catch (const std::exception&) {  // recovery sweeps what is left
  }
}

std::string TempDir::next() {
  std::lock_guard lock(mutex_);
  const std::string path = path_ + "/" + std::to_string(++count_);
  makeDir(path, 0700);
  return path;
}

void Reports::add(const std::string& key, StepReport report) {
  std::lock_guard lock(mutex_);
  if (report.cached) used_.push_back(key);
  reports_.push_back(std::move(report));
}

std::vector<StepReport> Reports::all() const {
  std::lock_guard lock(mutex_);
  return reports_;
}

std::vector<std::string> Reports::usedKeys() const {
  std::lock_guard lock(mutex_);
  return used_;
}

Fd Session::claim(std::optional<int> which) {
  if (!which) return {};
  const auto index = static_cast<size_t>(*which);
  if (*which < 0 || index >= descriptors.size() || !descriptors[index]) {
    fail(Code::invalid, "descriptor {} did not come with the request", *which);
  }
  return std::move(descriptors[index]);
}

}  // namespace estiba::build
