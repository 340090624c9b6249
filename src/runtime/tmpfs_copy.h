#pragma once

namespace estiba::runtime {

/// Copies what is in directory `from` into directory `to`, for the mount option tmpcopyup: files, directories, links,
/// devices, with owner, mode, times and extended attributes; stays on `from`'s mount, follows no link.
void copyTreeInto(int from, int to);

}  // namespace estiba::runtime
