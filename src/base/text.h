#pragma once
// Small helpers on text. Pure; bytes in, bytes out; ASCII rules unless said.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace estiba {

std::vector<std::string> split(std::string_view text, char separator);
/// At most one cut, at the first `separator`: {text, nullopt} where it is not there.
std::pair<std::string, std::optional<std::string>> cut(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);  ///< spaces, tabs, CR, LF, VT, FF off both ends
std::string toLower(std::string_view text);
std::string toUpper(std::string_view text);
bool startsWith(std::string_view text, std::string_view prefix);
bool endsWith(std::string_view text, std::string_view suffix);
std::string replaceAll(std::string_view text, std::string_view from, std::string_view to);

std::string toHex(std::string_view bytes);
bool isHex(std::string_view text);  ///< non-empty, only [0-9a-f]
/// Decimal, the whole text, no sign: nullopt otherwise or where it does not fit.
std::optional<uint64_t> parseUint(std::string_view text);
/// As parseUint, with an optional leading '-' or '+'.
std::optional<int64_t> parseInt(std::string_view text);

/// A Go %q: double quotes, with \a \b \f \n \r \t \v \" \\ and \xNN escapes.
std::string quoted(std::string_view text);
std::string base64Encode(std::string_view bytes);
/// Standard or URL-safe alphabet, padding optional; nullopt where it is neither.
std::optional<std::string> base64Decode(std::string_view text);
/// Percent-decoding of a URL part; '+' becomes a space where `plusIsSpace`.
std::string urlDecode(std::string_view text, bool plusIsSpace);
std::string urlEncode(std::string_view text);

/// `bytes` random bytes from getrandom(2), as lower-case hex. A container or image ID is randomHex(32).
std::string randomHex(size_t bytes);

/// Bytes as Docker prints them: powers of 1000, four significant digits ("5.24MB", "0B"). Source: go-units HumanSize.
std::string humanSize(double bytes);
/// The same with `precision` significant digits (go-units HumanSizeWithPrecision).
std::string humanSize(double bytes, int precision);
/// Powers of 1024 ("1.5GiB"). Source: go-units BytesSize.
std::string bytesSize(double bytes);
/// "64m", "1.5GiB", "512": bytes, powers of 1024 (go-units RAMInBytes); nullopt where it is no size. "-1" is -1.
std::optional<int64_t> parseRamSize(std::string_view text);

}  // namespace estiba
