#pragma once
// What several listings show alike.

#include <cstdint>
#include <string>

namespace estiba::cli {

/// Seconds since 1970 as Go's time.Time prints in the local zone: "2024-05-01 10:00:00 +0000 UTC".
std::string goTimeText(int64_t seconds);

}  // namespace estiba::cli
