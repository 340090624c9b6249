#include "apitypes/container.h"

namespace estiba {
ESTIBA_CONTAINER_TYPES(ESTIBA_DEFINE_JSON)
}
