#pragma once
// Text goldens below tests/golden/cli. ACCEPT=1 rewrites them and marks the test as skipped.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace estiba::cli {

inline std::string goldenPath(const std::string& name) {
  return std::string(ESTIBA_TEST_DATA) + "/cli/" + name;
}

inline std::string readGolden(const std::string& name) {
  std::ifstream in(goldenPath(name), std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void expectGolden(const std::string& name, const std::string& got) {
  if (const char* accept = std::getenv("ACCEPT"); accept != nullptr && *accept == '1') {
    std::filesystem::create_directories(std::filesystem::path(goldenPath(name)).parent_path());
    std::ofstream(goldenPath(name), std::ios::binary) << got;
    GTEST_SKIP() << "rewrote " << name;
  }
  EXPECT_EQ(readGolden(name), got) << name;
}

}  // namespace estiba::cli
