#include "apitypes/stats.h"

namespace estiba {
ESTIBA_DEFINE_JSON(apitypes::Stats)
}
