#include "apitypes/volume.h"

namespace estiba {
ESTIBA_VOLUME_TYPES(ESTIBA_DEFINE_JSON)
}
