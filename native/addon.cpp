// What JavaScript sees: src/addon.ts describes it. Only glue.
#include <algorithm>
#include <thread>
#include <vector>

#include "addon-backend.h"
#include "addon-encoder.h"
#include "bandwidth.h"
#include "cpu.h"
#include "encode.h"
#include "matmul.h"
#include "napi.h"
#include "quants.h"

namespace grok1 {

namespace {

// --- The machine -----------------------------------------------------------------------------------------------------

napi_value describeMachine(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    const CpuFeatures& f = cpu();
    const napi_value object = newObject(env);
    const std::pair<const char*, bool> flags[] = {
        {"avx2", f.avx2},         {"fma", f.fma},           {"f16c", f.f16c},         {"bmi2", f.bmi2},
        {"avx512f", f.avx512f},   {"avx512bw", f.avx512bw}, {"avx512vl", f.avx512vl}, {"avx512dq", f.avx512dq},
        {"avxvnni", f.avxvnni},   {"neon", f.neon},         {"dotprod", f.dotprod},   {"i8mm", f.i8mm},
        {"avx512vnni", f.avx512vnni}, {"avx512vbmi", f.avx512vbmi}};
    napi_value names, usable;
    check(napi_create_array(env, &names), "no array could be made");
    uint32_t count = 0;
    for (const auto& [name, present] : flags) {
      if (present) check(napi_set_element(env, names, count++, toJs(env, std::string(name))), "no array could be filled");
    }
    check(napi_create_array(env, &usable), "no array could be made");
    count = 0;
    for (const Isa isa : kIsas) {
      if (isaUsable(isa)) check(napi_set_element(env, usable, count++, toJs(env, std::string(isaName(isa)))), "no array could be filled");
    }
    set(env, object, "features", names);
    set(env, object, "isas", usable);
    set(env, object, "best", toJs(env, std::string(isaName(bestIsa()))));
    set(env, object, "l1d", toJs(env, double(f.l1d)));
    set(env, object, "l2", toJs(env, double(f.l2)));
    set(env, object, "l3", toJs(env, double(f.l3)));
    return object;
  });
}

napi_value measure(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    const int32_t threads = fromJs<int32_t>(env, args.values[0]);
    const int64_t bytes = fromJs<int64_t>(env, args.values[1]);
    if (threads < 1 || threads > 1024 || bytes < (1 << 20) || bytes > (int64_t(1) << 36)) {
      throw Failure("ERR_ARGUMENT", "expected 1 to 1024 threads and 1 MiB to 64 GiB");
    }
    return toJs(env, measureBandwidth(threads, size_t(bytes)));
  });
}

napi_value canMultiplyType(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    return toJs(env, canMultiply(fromJs<int32_t>(env, args.values[0])));
  });
}

napi_value canDecodeType(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    return toJs(env, blockSize(fromJs<int32_t>(env, args.values[0])).elements > 0);
  });
}

napi_value canEncodeType(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    return toJs(env, canEncode(fromJs<int32_t>(env, args.values[0])));
  });
}

}  // namespace

}  // namespace grok1

// GROK1_SOURCES: the hash of all sources, from build.mjs.
#define GROK1_QUOTE(text) #text
#define GROK1_TEXT(macro) GROK1_QUOTE(macro)

NAPI_MODULE_INIT() {
  using namespace grok1;
  return guarded(env, [&] {
    const std::pair<const char*, napi_callback> functions[] = {
        {"machine", describeMachine},      {"measureBandwidth", measure},
        {"createBackend", createBackend}, {"canMultiply", canMultiplyType}, {"canDecode", canDecodeType},
        {"createEncoder", createEncoder}, {"canEncode", canEncodeType},
    };
    for (const auto& [name, callback] : functions) {
      napi_value function;
      check(napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function), "no function could be made");
      set(env, exports, name, function);
    }
    set(env, exports, "sources", toJs(env, std::string(GROK1_TEXT(GROK1_SOURCES))));
    return exports;
  });
}
