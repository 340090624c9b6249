#include "base/detach_keys.h"

#include "base/error.h"
#include "base/text.h"

namespace estiba {

namespace {

char keyOf(const std::string& key, const std::string& spec) {
  if (key.size() == 1 && static_cast<unsigned char>(key[0]) < 0x80) return key[0];
  if (key.size() == 6 && key.starts_with("ctrl-")) {
    const char c = key[5];
    if (c >= 'a' && c <= 'z') return static_cast<char>(c - 'a' + 1);
    switch (c) {
      case '@':
        return 0;
      case '[':
        return 27;
      case '\\':
        return 28;
      case ']':
        return 29;
      case '^':
        return 30;
      case '_':
        return 31;
      default:
        break;
    }
  }
  fail(Code::invalid, "Invalid escape keys ({}) provided", spec);
}

}  // namespace

std::string parseDetachKeys(const std::string& spec) {
  std::string out;
  for (const std::string& key : split(spec, ',')) out += keyOf(key, spec);
  return out;
}

DetachMatcher::Result DetachMatcher::feed(std::string_view input) {
  Result result;
  if (keys_.empty()) return {std::string(input), false};
  for (const char c : input) {
    if (c == keys_[matched_]) {
      if (++matched_ < keys_.size()) continue;
      matched_ = 0;
      result.detached = true;
      return result;
    }
    result.pass.append(keys_, 0, matched_);
    matched_ = c == keys_[0] ? 1 : 0;
    if (matched_ == 0) result.pass += c;
  }
  return result;
}

}  // namespace estiba
