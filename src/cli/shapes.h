#pragma once
// The Go types behind what `inspect` and `info` show.

#include "cli/value.h"

namespace estiba::cli {

const Shape& containerShape();
const Shape& imageShape();
const Shape& networkShape();
const Shape& volumeShape();

}  // namespace estiba::cli
