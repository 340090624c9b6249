#pragma once
// What the tests of the Dockerfile language read: the shared data where it is there, and our goldens.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/text.h"

namespace estiba::build {

inline std::string sharedData() {
  return std::string(ESTIBA_SOURCE_DIR) + "/../shared/specs/dockerfile-data";
}
inline std::string goldenDir() {
  return std::string(ESTIBA_TEST_DATA) + "/dockerfile";
}
inline bool hasSharedData() {
  return std::filesystem::exists(sharedData());
}
inline std::string trimmed(const std::string& text) {
  return std::string(trim(text));
}

inline std::string readFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

/// The case directories under `dir` of the shared data; one empty name where it is not there, for a test to skip.
inline std::vector<std::string> casesOrNone(const std::string& dir) {
  std::vector<std::string> names;
  if (!hasSharedData()) return {""};
  for (const auto& entry : std::filesystem::directory_iterator(sharedData() + "/" + dir)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The "NAME.Dockerfile" files of our goldens.
inline std::vector<std::string> goldenCases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(goldenDir())) {
    if (entry.path().extension() == ".Dockerfile") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline std::string caseName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param.empty() ? "NotThere" : info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

/// Compares with a golden file; ACCEPT=1 rewrites it and skips the test.
inline void expectGolden(const std::string& name, const std::string& got) {
  const std::string path = goldenDir() + "/" + name;
  if (std::getenv("ACCEPT")) {
    std::ofstream(path, std::ios::binary) << got;
    GTEST_SKIP() << "rewrote " << name;
  }
  EXPECT_EQ(got, readFile(path)) << name;
}

}  // namespace estiba::build
