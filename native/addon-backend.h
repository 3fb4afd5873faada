#pragma once

#include <string>

#include "cpu.h"
#include "napi.h"

namespace grok1 {

// "best", or an instruction set by its name. @throws Failure where this processor or this build lacks it.
Isa isaNamed(const std::string& name);

// createBackend(threads, isa): isa is a name, or "best"
napi_value createBackend(napi_env env, napi_callback_info info);

}  // namespace grok1
