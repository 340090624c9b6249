#include "cli/listing.h"

#include <fmt/format.h>

#include <ctime>

namespace estiba::cli {

std::string goTimeText(int64_t seconds) {
  const time_t t = seconds;
  std::tm local{};
  ::localtime_r(&t, &local);
  char text[64];
  ::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z %Z", &local);
  return text;
}

}  // namespace estiba::cli
