#pragma once
// The fields of a tar header block: offsets and lengths as POSIX.1-2008 pax and the GNU tar manual give them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "archive/tar.h"

namespace estiba::archive {

inline constexpr size_t kTarBlock = 512;
inline constexpr size_t kMaxTarName = 64U << 10;
inline constexpr size_t kMaxTarExtension = 1U << 20;  ///< bytes of one pax header, long name or sparse map
inline constexpr size_t kMaxTarRuns = 1U << 20;

struct TarField {
  size_t offset;
  size_t length;
};
inline constexpr TarField kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kMtime{136, 12},
    kChecksum{148, 8}, kType{156, 1}, kLink{157, 100}, kMagic{257, 8}, kUname{265, 32}, kGname{297, 32},
    kDevMajor{329, 8}, kDevMinor{337, 8}, kPrefix{345, 155};
inline constexpr TarField kStarPrefix{345, 131}, kStarTrailer{508, 4};
inline constexpr TarField kGnuSparse{386, 96}, kGnuExtended{482, 1}, kGnuRealSize{483, 12};
inline constexpr size_t kGnuRunsInExtension = 21;

inline constexpr size_t paddingOf(int64_t size) {
  return static_cast<size_t>((kTarBlock - static_cast<uint64_t>(size) % kTarBlock) % kTarBlock);
}

inline std::string_view field(std::string_view block, TarField f) {
  return block.substr(f.offset, f.length);
}
/// Up to the first NUL.
std::string_view textField(std::string_view block, TarField f);
/// Octal, or base-256 where the first byte has its high bit set. Throws Error(invalid) that names `what`.
int64_t numberField(std::string_view block, TarField f, std::string_view what);
bool checksumMatches(std::string_view block);

using PaxRecords = std::map<std::string, std::string>;

/// The records of a pax header's body put into `into`, later ones winning; GNU.sparse.offset and .numbytes pairs
/// (sparse format 0.0) become one "GNU.sparse.map". Throws Error(invalid).
void parsePaxRecords(std::string_view body, PaxRecords& into);
void appendPaxRecord(std::string& body, std::string_view key, std::string_view value);
/// Seconds with decimals, maybe negative, as nanoseconds. Throws Error(invalid).
int64_t parsePaxTime(std::string_view text);
/// A decimal number without sign that fits. Throws Error(invalid) that names `what`.
int64_t parsePaxNumber(std::string_view text, std::string_view what);
/// "offset,length,offset,length…"
std::vector<TarRun> parseSparseMap(std::string_view text);
/// Throws Error(invalid) unless the runs ascend, are apart, lie inside `size` and hold `dataSize` bytes. Drops empty
/// ones.
void checkRuns(std::vector<TarRun>& runs, int64_t size, int64_t dataSize);

}  // namespace estiba::archive
