#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace estiba::cli::gotemplate {

/// What a Go string literal ("…" or `…`, quotes included) stands for; nullopt where it is malformed.
std::optional<std::string> unquote(std::string_view literal);
/// What a Go character literal ('x', quotes included) stands for.
std::optional<char32_t> unquoteRune(std::string_view literal);

}  // namespace estiba::cli::gotemplate
