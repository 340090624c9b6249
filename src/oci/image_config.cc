#include "oci/image_config.h"

#include <algorithm>

#include "base/error.h"

namespace estiba {

namespace {

bool isEmptyJson(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
      return true;
    case json::kind::bool_:
      return !v.get_bool();
    case json::kind::int64:
      return v.get_int64() == 0;
    case json::kind::uint64:
      return v.get_uint64() == 0;
    case json::kind::double_:
      return false;
    case json::kind::string:
      return v.get_string().empty();
    case json::kind::array:
      return v.get_array().empty();
    case json::kind::object:
      return v.get_object().empty();
  }
  return false;
}

/// A described struct with its empty members left out (Go's omitempty on each). An optional that is set is written
/// whatever it holds.
template <class T>
json::value toJsonOmitEmpty(const T& value) {
  json::object out;
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>([&](auto member) {
    const auto& field = value.*member.pointer;
    json::value one = toJson(field);
    constexpr bool optional = detail::IsOptional<std::remove_cvref_t<decltype(field)>>::value;
    if (optional ? one.is_null() : isEmptyJson(one)) return;
    out[detail::keyOf(member.name)] = std::move(one);
  });
  return out;
}

Time readTime(const json::value& from, const std::string& path) {
  std::string text;
  fromJson(from, text, path);
  if (text.empty()) return {};
  const auto time = parseRfc3339(text);
  if (!time) fail(Code::invalid, "{}: {} is no time", path, text.substr(0, 64));
  return *time;
}

template <class T>
void readKey(const json::object& from, std::string_view key, T& out) {
  if (const json::value* found = detail::findKey(from, key)) fromJson(*found, out, std::string(key));
}

}  // namespace

template <>
json::value toJson(const oci::HealthConfig& value) {
  return toJsonOmitEmpty(value);
}

template <>
json::value toJson(const oci::RunConfig& value) {
  return toJsonOmitEmpty(value);
}

template <>
json::value toJson(const oci::History& h) {
  json::object out;
  if (h.created != Time{}) out["created"] = rfc3339Nano(h.created);
  if (!h.createdBy.empty()) out["created_by"] = h.createdBy;
  if (!h.author.empty()) out["author"] = h.author;
  if (!h.comment.empty()) out["comment"] = h.comment;
  if (h.emptyLayer) out["empty_layer"] = true;
  return out;
}

template <>
void fromJson(const json::value& from, oci::History& out, const std::string& path) {
  if (!from.is_object()) detail::badType(path, "object", from);
  const json::object& object = from.get_object();
  if (const json::value* found = detail::findKey(object, "created")) out.created = readTime(*found, path + ".created");
  readKey(object, "created_by", out.createdBy);
  readKey(object, "author", out.author);
  readKey(object, "comment", out.comment);
  readKey(object, "empty_layer", out.emptyLayer);
}

namespace oci {

namespace {

constexpr size_t kMaxConfig = 8U << 20;
constexpr size_t kMaxLayers = 1000;

void checkConfig(const ImageConfig& config) {
  if (config.rootfs.type != "layers") {
    fail(Code::invalid, "image config: rootfs of type \"{}\" instead of \"layers\"", config.rootfs.type.substr(0, 64));
  }
  const auto& diffIds = config.rootfs.diff_ids;
  if (diffIds.size() > kMaxLayers) {
    fail(Code::invalid, "image config: {} layers, at most {} are taken", diffIds.size(), kMaxLayers);
  }
  if (std::any_of(diffIds.begin(), diffIds.end(), [](const Digest& d) { return d.empty(); })) {
    fail(Code::invalid, "image config: empty diff_id");
  }
  const auto made =
      std::count_if(config.history.begin(), config.history.end(), [](const History& h) { return !h.emptyLayer; });
  if (static_cast<size_t>(made) > diffIds.size()) {
    fail(Code::invalid, "image config: too many non-empty layers in History section");
  }
}

json::object rootfsJson(const RootFs& rootfs) {
  json::object out;
  out["type"] = rootfs.type;
  out["diff_ids"] = toJson(rootfs.diff_ids);
  return out;
}

}  // namespace

ImageConfig ImageConfig::parse(std::string_view bytes) {
  if (bytes.size() > kMaxConfig) fail(Code::invalid, "image config: larger than {} bytes", kMaxConfig);
  const json::value document = parseJson(bytes, "image config");
  if (!document.is_object()) fail(Code::invalid, "image config: not a JSON object");
  const json::object& object = document.get_object();
  ImageConfig out;
  out.rootfs.type.clear();
  try {
    fromJson(document, out.platform);
    if (const json::value* found = detail::findKey(object, "created")) out.created = readTime(*found, "created");
    readKey(object, "author", out.author);
    readKey(object, "config", out.config);
    readKey(object, "rootfs", out.rootfs);
    readKey(object, "history", out.history);
    readKey(object, "comment", out.comment);
    readKey(object, "parent", out.parent);
    readKey(object, "docker_version", out.dockerVersion);
    readKey(object, "container", out.container);
    readKey(object, "container_config", out.containerConfig);
  } catch (const Error& e) {
    throw Error(Code::invalid, fmt::format("image config: {}", e.what()));
  }
  checkConfig(out);
  return out;
}

std::string ImageConfig::bytes() const {
  json::object out;
  const auto text = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) out[key] = value;
  };
  out["architecture"] = platform.architecture;
  text("author", author);
  text("comment", comment);
  out["config"] = toJson(config);
  text("container", container);
  if (!containerConfig.is_null()) out["container_config"] = containerConfig;
  if (created != Time{}) out["created"] = rfc3339Nano(created);
  text("docker_version", dockerVersion);
  if (!history.empty()) out["history"] = toJson(history);
  out["os"] = platform.os;
  if (!platform.osFeatures.empty()) out["os.features"] = toJson(platform.osFeatures);
  text("os.version", platform.osVersion);
  text("parent", parent);
  out["rootfs"] = rootfsJson(rootfs);
  text("variant", platform.variant);
  return dumpJson(out);
}

}  // namespace oci
}  // namespace estiba
