#include "apitypes/container_config.h"

namespace estiba {
ESTIBA_CONTAINER_CONFIG_TYPES(ESTIBA_DEFINE_JSON)
}
