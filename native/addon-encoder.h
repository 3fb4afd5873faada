// Threads that write rows in a tensor type, as a JavaScript object.
#pragma once

#include <node_api.h>

namespace grok1 {

// createEncoder(threads, isa)
napi_value createEncoder(napi_env env, napi_callback_info info);

}  // namespace grok1
