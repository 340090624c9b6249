#include "apitypes/build.h"

namespace estiba {
ESTIBA_BUILD_TYPES(ESTIBA_DEFINE_JSON)
}
