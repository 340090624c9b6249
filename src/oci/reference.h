#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "oci/digest.h"

namespace estiba::oci {

/// The name of an image as docker reads it: "busybox" is docker.io/library/busybox, "host:5000/a/b:1.0", "a@sha256:…".
/// Always normalised. Source: distribution/reference, grammar in its package comment.
class Reference {
 public:
  /// Throws Error(invalid) with docker's texts: "invalid reference format", "invalid reference format: repository name
  /// (library/Busybox) must be lowercase", "invalid repository name (…), cannot specify 64-byte hexadecimal strings".
  static Reference parse(std::string_view text);
  static std::optional<Reference> tryParse(std::string_view text);

  const std::string& domain() const noexcept { return domain_; }  ///< "docker.io", "127.0.0.1:5000"
  const std::string& path() const noexcept { return path_; }      ///< "library/busybox"
  const std::optional<std::string>& tag() const noexcept { return tag_; }
  const std::optional<Digest>& digest() const noexcept { return digest_; }

  std::string name() const { return domain_ + "/" + path_; }  ///< "docker.io/library/busybox"
  std::string familiarName() const;                           ///< "busybox"
  std::string str() const { return withParts(name()); }       ///< "docker.io/library/busybox:latest@sha256:…"
  std::string familiar() const { return withParts(familiarName()); }

  /// ":latest" where there is neither tag nor digest.
  Reference withDefaultTag() const;
  /// Throws Error(invalid) for a tag that is none.
  Reference withTag(const std::string& tag) const;
  Reference withDigest(const Digest& digest) const;  ///< the tag stays
  Reference withoutTag() const;
  Reference nameOnly() const;

  auto operator<=>(const Reference&) const = default;

 private:
  std::string withParts(std::string text) const;
  std::string domain_, path_;
  std::optional<std::string> tag_;
  std::optional<Digest> digest_;
};

/// [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
bool isTag(std::string_view text) noexcept;

}  // namespace estiba::oci
