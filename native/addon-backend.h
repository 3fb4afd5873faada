#pragma once

#include "napi.h"

namespace grok1 {

// createBackend(threads, isa): isa is a name, or "best"
napi_value createBackend(napi_env env, napi_callback_info info);

}  // namespace grok1
