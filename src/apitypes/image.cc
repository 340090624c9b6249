#include "apitypes/image.h"

namespace estiba {
ESTIBA_IMAGE_TYPES(ESTIBA_DEFINE_JSON)
}
