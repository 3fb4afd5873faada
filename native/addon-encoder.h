// Threads that write rows in a tensor type, as a JavaScript object.
#pragma once

#include <node_api.h>

#include <memory>

#include "cpu.h"
#include "threads.h"

namespace grok1 {

struct Encoder {
  Isa isa;
  std::unique_ptr<ThreadPool> pool;  // empty once closed

  ThreadPool& threads() const;  // throws Failure where it is closed
};

// createEncoder(threads, isa)
napi_value createEncoder(napi_env env, napi_callback_info info);

// Its functions for rounding with compensated errors: gram, factor and compensate.
void setCompensation(napi_env env, napi_value object, const std::shared_ptr<Encoder>& encoder);

}  // namespace grok1
