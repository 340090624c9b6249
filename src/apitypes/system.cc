#include "apitypes/system.h"

namespace estiba {
ESTIBA_SYSTEM_TYPES(ESTIBA_DEFINE_JSON)
}
