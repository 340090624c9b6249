#include "apitypes/network.h"

namespace estiba {
ESTIBA_NETWORK_TYPES(ESTIBA_DEFINE_JSON)
}
