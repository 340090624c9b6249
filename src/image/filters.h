#pragma once
// The filters of `images` and `image prune` (internal to this module).

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/images.h"

namespace estiba::image {

/// Go's path.Match: '*' and '?' match all but '/', "[a-z]", "[^a]", '\\' escapes. Throws Error(invalid) "syntax error
/// in pattern".
bool pathMatch(std::string_view pattern, std::string_view name);

/// A Go duration ago, RFC 3339 with parts left out ("2024-05-01"), or seconds since 1970. Throws Error(invalid).
/// Source: moby api/types/time GetTimestamp.
Time parseUntil(const std::string& text);

/// "k" or "k=v": whether the labels have it.
bool hasLabel(const std::map<std::string, std::string>& labels, const std::string& wanted);

/// The one value of a boolean filter; throws Error(invalid) "invalid filter 'dangling=[x]'".
std::optional<bool> boolFilter(const Filters& filters, const std::string& name);

class ListFilter {
 public:
  /// `createdOf` gives the creation time of the image that `before` and `since` name. Throws Error(invalid) for what is
  /// no filter.
  ListFilter(const Filters& filters, const std::function<Time(const std::string&)>& createdOf);
  /// Reduces the image's names to those that the filter `reference` takes. `intermediate`: it has children.
  bool takes(Image& image, bool intermediate) const;

 private:
  bool takesNames(Image& image) const;
  std::optional<bool> dangling_;
  std::optional<Time> before_, since_, until_;
  std::vector<std::string> labels_, withoutLabels_, references_;
};

}  // namespace estiba::image
