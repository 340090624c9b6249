#include "apitypes/build_trace.h"

namespace estiba {
ESTIBA_BUILD_TRACE_TYPES(ESTIBA_DEFINE_JSON)
}
