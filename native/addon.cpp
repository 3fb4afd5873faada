// What JavaScript sees: src/addon.ts describes it. Only glue; the work is in backend.cpp, cache.cpp and the kernels.
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "backend.h"
#include "bandwidth.h"
#include "cpu.h"
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
        {"avx2", f.avx2},         {"fma", f.fma},           {"f16c", f.f16c},         {"avx512f", f.avx512f},
        {"avx512bw", f.avx512bw}, {"avx512vl", f.avx512vl}, {"avx512dq", f.avx512dq}, {"avx512vnni", f.avx512vnni},
        {"avxvnni", f.avxvnni},   {"neon", f.neon},         {"dotprod", f.dotprod},   {"i8mm", f.i8mm}};
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
    return toJs(env, measureBandwidth(threads, size_t(bytes), 7));
  });
}

// --- The backend -----------------------------------------------------------------------------------------------------

struct BackendHandle {
  napi_env env;
  std::unique_ptr<Backend> backend;  // empty once closed
  napi_ref watched = nullptr;        // keeps the numbers that the backend looks at

  explicit BackendHandle(napi_env env) : env(env) {}
  BackendHandle(const BackendHandle&) = delete;
  BackendHandle& operator=(const BackendHandle&) = delete;
  // Also when nobody closed it and its functions were collected: the numbers must not stay for ever.
  ~BackendHandle() { close(); }

  void close() {
    backend.reset();
    if (watched != nullptr) napi_delete_reference(env, watched);
    watched = nullptr;
  }

  Backend& open() const {
    if (!backend) throw Failure("ERR_CLOSED", "the backend is closed");
    return *backend;
  }
};

// A method of Backend as a JavaScript function: numbers in, a number or nothing out.
template <auto M>
struct Method;

template <class R, class... A, R (Backend::*M)(A...)>
struct Method<M> {
  static napi_value call(napi_env env, napi_callback_info info) {
    return invoke(env, info, std::index_sequence_for<A...>());
  }

 private:
  template <size_t... I>
  static napi_value invoke(napi_env env, napi_callback_info info, std::index_sequence<I...>) {
    return guarded(env, [&]() -> napi_value {
      const Arguments<sizeof...(A)> args(env, info);
      Backend& backend = static_cast<BackendHandle*>(args.state)->open();
      if constexpr (std::is_void_v<R>) {
        (backend.*M)(fromJs<A>(env, args.values[I])...);
        return nullptr;
      } else {
        return toJs(env, double((backend.*M)(fromJs<A>(env, args.values[I])...)));
      }
    });
  }
};

napi_value control(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().control(fromJs<int64_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

napi_value batch(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().batch(fromJs<int64_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

napi_value view(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().memory(fromJs<int32_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

// A typed array's elements, valid until the call ends.
template <class T>
std::pair<const T*, size_t> elements(napi_env env, napi_value array, napi_typedarray_type expected, const char* what) {
  napi_typedarray_type kind;
  size_t length;
  void* data;
  check(napi_get_typedarray_info(env, array, &kind, &length, &data, nullptr, nullptr), what);
  if (kind != expected) throw Failure("ERR_ARGUMENT", what);
  return {static_cast<const T*>(data), length};
}

// part(parameter, part)
napi_value part(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto memory = backend.part(fromJs<int32_t>(env, args.values[0]), fromJs<int32_t>(env, args.values[1]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

// What a reader's thread tells the JavaScript thread.
struct Fetch {
  napi_deferred deferred;
  napi_threadsafe_function settle = nullptr;
  Readers::Outcome outcome = Readers::Outcome::dropped;
};

void settleFetch(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Fetch> fetch(static_cast<Fetch*>(data));
  if (env == nullptr) return;  // the thread is ending
  napi_value result, code, message;
  if (fetch->outcome == Readers::Outcome::read) {
    if (napi_get_undefined(env, &result) == napi_ok) napi_resolve_deferred(env, fetch->deferred, result);
    return;
  }
  const bool failed = fetch->outcome == Readers::Outcome::failed;
  const char* const name = failed ? "EIO" : "ERR_CLOSED";
  const char* const what = failed ? "the system could not read them" : "the backend is closed";
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) == napi_ok &&
      napi_create_string_utf8(env, what, NAPI_AUTO_LENGTH, &message) == napi_ok && napi_create_error(env, code, message, &result) == napi_ok) {
    napi_reject_deferred(env, fetch->deferred, result);
  }
}

// fetch(weight, matrix): a promise
napi_value fetch(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const int32_t weight = fromJs<int32_t>(env, args.values[0]), matrix = fromJs<int32_t>(env, args.values[1]);
    backend.missing(weight, matrix);  // throws where there is none
    napi_value promise, name;
    auto state = std::make_unique<Fetch>();
    check(napi_create_string_utf8(env, "grok1 fetch", NAPI_AUTO_LENGTH, &name), "no string could be made");
    check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, settleFetch, &state->settle),
          "no call from another thread could be prepared");
    check(napi_create_promise(env, &state->deferred, &promise), "no promise could be made");
    backend.fetch(weight, matrix, [raw = state.release()](Readers::Outcome outcome) {
      raw->outcome = outcome;
      const napi_threadsafe_function settle = raw->settle;
      if (napi_call_threadsafe_function(settle, raw, napi_tsfn_blocking) != napi_ok) delete raw;
      napi_release_threadsafe_function(settle, napi_tsfn_release);
    });
    return promise;
  });
}

// copy(bytes: Uint8Array)
napi_value copy(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [data, length] = elements<uint8_t>(env, args.values[0], napi_uint8_array, "expected a Uint8Array");
    return toJs(env, double(backend.copy(data, length)));
  });
}

// weight(type, rows, cols, terms, places: Float64Array of source and offset for each matrix)
napi_value weight(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<5> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [numbers, length] = elements<double>(env, args.values[4], napi_float64_array, "expected a Float64Array");
    std::vector<Backend::Place> places;
    for (size_t i = 0; i + 1 < length; i += 2) {
      if (!(numbers[i] >= 0 && numbers[i] < 0x1p31 && numbers[i + 1] >= 0 && numbers[i + 1] < 0x1p53)) {
        throw Failure("ERR_ARGUMENT", "a weight at an impossible place");
      }
      places.push_back({int32_t(numbers[i]), int64_t(numbers[i + 1])});
    }
    return toJs(env, double(backend.addWeight(fromJs<int32_t>(env, args.values[0]), fromJs<int64_t>(env, args.values[1]),
                                              fromJs<int64_t>(env, args.values[2]), fromJs<int32_t>(env, args.values[3]), places)));
  });
}

// rotary(headSize, adjacent, frequencies: Float64Array, magnitude)
napi_value rotary(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<4> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [values, length] = elements<double>(env, args.values[2], napi_float64_array, "expected a Float64Array");
    return toJs(env, double(backend.addRope(fromJs<int32_t>(env, args.values[0]), fromJs<bool>(env, args.values[1]),
                                            std::vector<double>(values, values + length), fromJs<double>(env, args.values[3]))));
  });
}

// watch(numbers: Int32Array): two numbers in memory that threads share
napi_value watch(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t) && std::atomic<int32_t>::is_always_lock_free);
    const Arguments<1> args(env, info);
    auto* handle = static_cast<BackendHandle*>(args.state);
    Backend& backend = handle->open();
    const auto [numbers, length] = elements<int32_t>(env, args.values[0], napi_int32_array, "expected an Int32Array");
    napi_value buffer;
    bool own;
    check(napi_get_typedarray_info(env, args.values[0], nullptr, nullptr, nullptr, &buffer, nullptr), "expected an Int32Array");
    check(napi_is_arraybuffer(env, buffer, &own), "expected an Int32Array");
    // Memory of one thread's own can be given away to another, and then is no longer there.
    if (length != 2 || own) throw Failure("ERR_ARGUMENT", "expected two numbers in memory that threads share");
    if (handle->watched != nullptr) throw Failure("ERR_ARGUMENT", "the backend looks at two numbers already");
    check(napi_create_reference(env, args.values[0], 1, &handle->watched), "numbers could not be held");
    backend.watch(reinterpret_cast<const std::atomic<int32_t>*>(numbers));
    return nullptr;
  });
}

napi_value closeBackend(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<0> args(env, info);
    static_cast<BackendHandle*>(args.state)->close();
    return nullptr;
  });
}

// createBackend(threads, isa): isa is a name, or "best"
napi_value createBackend(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    const int32_t threads = fromJs<int32_t>(env, args.values[0]);
    const std::string name = fromJs<std::string>(env, args.values[1]);
    if (threads < 1 || threads > 1024) throw Failure("ERR_ARGUMENT", "expected 1 to 1024 threads");
    Isa isa = bestIsa();
    if (name != "best") {
      bool found = false;
      for (const Isa each : kIsas) {
        if (name == isaName(each) && isaUsable(each)) isa = each, found = true;
      }
      if (!found) throw Failure("ERR_ARGUMENT", "this processor or this build has no instruction set named " + name);
    }
    const auto handle = std::make_shared<BackendHandle>(env);
    handle->backend = std::make_unique<Backend>(threads, isa);
    const napi_value object = newObject(env);
    set(env, object, "threads", toJs(env, double(handle->backend->threads())));
    set(env, object, "isa", toJs(env, std::string(isaName(isa))));
    const std::pair<const char*, napi_callback> functions[] = {
        {"control", control},
        {"batch", batch},
        {"begin", Method<&Backend::begin>::call},
        {"view", view},
        {"part", part},
        {"copy", copy},
        {"fetch", fetch},
        {"weight", weight},
        {"rotary", rotary},
        {"watch", watch},
        {"close", closeBackend},
        {"resize", Method<&Backend::resize>::call},
        {"map", Method<&Backend::map>::call},
        {"release", Method<&Backend::release>::call},
        {"cache", Method<&Backend::addCache>::call},
        {"freeCache", Method<&Backend::freeCache>::call},
        {"copyPage", Method<&Backend::copyPage>::call},
        {"store", Method<&Backend::store>::call},
        {"attention", Method<&Backend::attention>::call},
        {"embed", Method<&Backend::embed>::call},
        {"rows", Method<&Backend::rows>::call},
        {"rmsNorm", Method<&Backend::rmsNorm>::call},
        {"matmul", Method<&Backend::matmul>::call},
        {"rope", Method<&Backend::rope>::call},
        {"add", Method<&Backend::add>::call},
        {"scale", Method<&Backend::scale>::call},
        {"softcap", Method<&Backend::softcap>::call},
        {"gated", Method<&Backend::gated>::call},
        {"route", Method<&Backend::route>::call},
        {"topK", Method<&Backend::topK>::call},
        {"experts", Method<&Backend::experts>::call},
        {"expertParts", Method<&Backend::expertParts>::call},
        {"sumExperts", Method<&Backend::sumExperts>::call},
        {"missing", Method<&Backend::missing>::call},
        {"addLowRank", Method<&Backend::addLowRank>::call},
        {"parameter", Method<&Backend::addParameter>::call},
        {"adapted", Method<&Backend::addAdapted>::call},
        {"product", Method<&Backend::product>::call},
        {"matmulBackward", Method<&Backend::matmulBackward>::call},
        {"productExperts", Method<&Backend::productExperts>::call},
        {"expertsBackward", Method<&Backend::expertsBackward>::call},
        {"embedBackward", Method<&Backend::embedBackward>::call},
        {"rowsBackward", Method<&Backend::rowsBackward>::call},
        {"rmsNormBackward", Method<&Backend::rmsNormBackward>::call},
        {"ropeBackward", Method<&Backend::ropeBackward>::call},
        {"selfAttention", Method<&Backend::selfAttention>::call},
        {"selfAttentionBackward", Method<&Backend::selfAttentionBackward>::call},
        {"scaleBackward", Method<&Backend::scaleBackward>::call},
        {"softcapBackward", Method<&Backend::softcapBackward>::call},
        {"gatedBackward", Method<&Backend::gatedBackward>::call},
        {"routeBackward", Method<&Backend::routeBackward>::call},
        {"crossEntropy", Method<&Backend::crossEntropy>::call},
        {"zeroGradient", Method<&Backend::zeroGradient>::call},
        {"gradientSquares", Method<&Backend::gradientSquares>::call},
        {"adamw", Method<&Backend::adamw>::call},
        {"freeWeight", Method<&Backend::freeWeight>::call},
    };
    for (const auto& [functionName, callback] : functions) setFunction(env, object, functionName, callback, handle);
    return object;
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
