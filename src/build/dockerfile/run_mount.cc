#include "build/dockerfile/run_mount.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "build/dockerfile/flags.h"

namespace estiba::build {
namespace {

constexpr std::array<std::string_view, 5> kTypeNames = {"bind", "cache", "tmpfs", "secret", "ssh"};

struct Field {
  std::string text;
  std::string key;
  std::optional<std::string> value;
};

std::vector<Field> fieldsOf(std::string_view text) {
  std::vector<Field> out;
  try {
    for (const std::string& field : csvFields(text)) {
      const auto [key, value] = cut(field, '=');
      out.push_back({field, toLower(key), value});
    }
  } catch (const Error& e) {
    fail(Code::invalid, "failed to parse csv mounts: {}", e.what());
  }
  return out;
}

MountType typeOf(const std::string& value) {
  const std::string lower = toLower(value);
  for (size_t i = 0; i < kTypeNames.size(); ++i) {
    if (lower == kTypeNames[i]) return static_cast<MountType>(i);
  }
  fail(Code::invalid, "unsupported mount type {}{}", quoted(value),
       didYouMean(value, {kTypeNames.begin(), kTypeNames.end()}, true));
}

CacheSharing sharingOf(const std::string& value) {
  const std::string lower = toLower(value);
  if (lower == "shared") return CacheSharing::shared;
  if (lower == "private") return CacheSharing::private_;
  if (lower == "locked") return CacheSharing::locked;
  fail(Code::invalid, "unsupported sharing value {}{}", quoted(value),
       didYouMean(value, {"shared", "private", "locked"}, true));
}

uint32_t numberOf(std::string_view key, const std::string& value, int base) {
  uint32_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number, base);
  if (error != std::errc() || stop != end) fail(Code::invalid, "invalid value {} for {}", value, key);
  return number;
}

bool boolOf(const std::string& key, const std::string& value) {
  const auto parsed = parseGoBool(value);
  if (!parsed) fail(Code::invalid, "invalid value for {}: {}", key, value);
  return *parsed;
}

class MountReader {
 public:
  RunMount read(const std::vector<Field>& fields, const std::function<std::string(std::string_view)>& expand) {
    for (const Field& field : fields) {
      if (field.value) {
        keyed(field, expand(*field.value));
      } else {
        bare(field);
      }
    }
    check();
    if (mount_.type == MountType::secret) nameSecret();
    if (!readOnlySet_) mount_.readOnly = mount_.type != MountType::cache && mount_.type != MountType::tmpfs;
    return std::move(mount_);
  }

 private:
  bool isOne(std::initializer_list<MountType> types) const {
    return std::find(types.begin(), types.end(), mount_.type) != types.end();
  }

  void setReadOnly(bool value) {
    mount_.readOnly = value;
    readOnlySet_ = true;
  }

  void allowOnly(const std::string& key, std::initializer_list<MountType> types) const {
    if (isOne(types)) return;
    fail(Code::invalid, "unexpected key '{}' for mount type '{}'", key, mountTypeName(mount_.type));
  }

  void bare(const Field& field) {
    if (field.key == "readonly" || field.key == "ro") return setReadOnly(true);
    if (field.key == "readwrite" || field.key == "rw") return setReadOnly(false);
    if (field.key != "required") fail(Code::invalid, "invalid field '{}' must be a key=value pair", field.text);
    allowOnly(field.key, {MountType::secret, MountType::ssh});
    mount_.required = true;
  }

  void keyed(const Field& field, const std::string& value) {
    const std::string& key = field.key;
    if (key == "type") {
      mount_.type = typeOf(value);
    } else if (key == "from") {
      mount_.from = value;
    } else if (key == "source" || key == "src") {
      mount_.source = value;
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount_.target = value;
    } else if (key == "readonly" || key == "ro") {
      setReadOnly(boolOf(key, value));
    } else if (key == "readwrite" || key == "rw") {
      setReadOnly(!boolOf(key, value));
    } else if (key == "required") {
      allowOnly(key, {MountType::secret, MountType::ssh});
      mount_.required = boolOf(key, value);
    } else if (key == "size") {
      allowOnly(key, {MountType::tmpfs});
      size(key, value);
    } else if (key == "id") {
      mount_.id = value;
    } else if (key == "sharing") {
      mount_.sharing = sharingOf(value);
    } else if (key == "mode") {
      mount_.mode = numberOf(key, value, 8);
    } else if (key == "uid") {
      mount_.uid = numberOf(key, value, 10);
    } else if (key == "gid") {
      mount_.gid = numberOf(key, value, 10);
    } else if (key == "env") {
      mount_.env = value;
    } else {
      unknown(field);
    }
  }

  void size(const std::string& key, const std::string& value) {
    const auto bytes = parseRamSize(value);
    if (!bytes) fail(Code::invalid, "invalid value for {}: {}", key, value);
    mount_.sizeBytes = *bytes;
  }

  [[noreturn]] static void unknown(const Field& field) {
    static const std::vector<std::string> kKeys = {
        "type", "from", "source", "target", "readonly",    "id", "sharing", "required",  "size", "mode",
        "uid",  "gid",  "src",    "dst",    "destination", "ro", "rw",      "readwrite", "env"};
    fail(Code::invalid, "unexpected key '{}' in '{}'{}", field.key, field.text, didYouMean(field.key, kKeys, true));
  }

  void check() const {
    const std::string_view type = mountTypeName(mount_.type);
    if (!isOne({MountType::secret, MountType::ssh, MountType::cache})) {
      if (mount_.mode) fail(Code::invalid, "mode not allowed for {} type mounts", quoted(type));
      if (mount_.uid) fail(Code::invalid, "uid not allowed for {} type mounts", quoted(type));
      if (mount_.gid) fail(Code::invalid, "gid not allowed for {} type mounts", quoted(type));
    }
    if (mount_.type == MountType::secret) checkSecret();
    if (mount_.sharing && mount_.type != MountType::cache) {
      fail(Code::invalid, "invalid cache sharing set for {} mount", type);
    }
  }

  void checkSecret() const {
    if (!mount_.from.empty()) fail(Code::invalid, "secret mount should not have a from");
    if (mount_.sharing) fail(Code::invalid, "secret mount should not define sharing");
    if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty()) {
      fail(Code::invalid, "invalid secret mount. one of source, target required");
    }
    if (!mount_.source.empty() && !mount_.id.empty()) fail(Code::invalid, "both source and id can't be set");
  }

  // A secret goes by its id, else by its source, else by the last part of its target.
  void nameSecret() {
    if (!mount_.source.empty()) mount_.id = mount_.source;
    if (mount_.id.empty()) mount_.id = mount_.target.substr(mount_.target.rfind('/') + 1);
  }

  RunMount mount_;
  bool readOnlySet_ = false;
};

}  // namespace

std::string_view mountTypeName(MountType type) {
  return kTypeNames[static_cast<size_t>(type)];
}

RunMount readRunMount(std::string_view text, const std::function<std::string(std::string_view)>& expand) {
  return MountReader().read(fieldsOf(text), expand);
}

RunMount parseRunMount(std::string_view text) {
  return readRunMount(text, [](std::string_view value) { return std::string(value); });
}

std::string runMountFrom(std::string_view text) {
  std::string from;
  for (const Field& field : fieldsOf(text)) {
    if (field.key != "from" || !field.value) continue;
    const size_t dollar = field.value->find('$');
    if (dollar != std::string::npos && dollar + 1 != field.value->size()) {
      fail(Code::invalid, "'from' doesn't support variable expansion, define alias stage instead");
    }
    from = *field.value;
  }
  return from;
}

}  // namespace estiba::build
