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

// --- Mapped files ----------------------------------------------------------------------------------------------------

struct MappingHandle {
  std::shared_ptr<Mapping> mapping;  // empty once closed

  const std::shared_ptr<Mapping>& open() const {
    if (!mapping) throw Failure("ERR_CLOSED", "the mapping is closed");
    return mapping;
  }
};

napi_value viewMapping(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    const auto& mapping = static_cast<MappingHandle*>(args.state)->open();
    const int64_t offset = fromJs<int64_t>(env, args.values[0]), length = fromJs<int64_t>(env, args.values[1]);
    if (offset < 0 || length < 0 || uint64_t(offset) > mapping->size() || uint64_t(length) > mapping->size() - uint64_t(offset) ||
        length > int64_t(UINT32_MAX)) {
      throw Failure("ERR_ARGUMENT", "a view that leaves the file, or of more than 4 GiB");
    }
    return bufferOn(env, mapping, mapping->data() + offset, size_t(length));
  });
}

napi_value adviseMapping(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<3> args(env, info);
    const auto& mapping = static_cast<MappingHandle*>(args.state)->open();
    const int64_t offset = fromJs<int64_t>(env, args.values[0]), length = fromJs<int64_t>(env, args.values[1]);
    const std::string advice = fromJs<std::string>(env, args.values[2]);
    if (offset < 0 || length < 0) throw Failure("ERR_ARGUMENT", "a range that leaves the file");
    const char* const names[] = {"willneed", "random", "sequential", "dontneed"};
    const auto* found = std::find(names, names + 4, advice);
    if (found == names + 4) throw Failure("ERR_ARGUMENT", "no such advice: " + advice);
    mapping->advise(uint64_t(offset), uint64_t(length), Mapping::Advice(found - names));
    return nullptr;
  });
}

napi_value closeMapping(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<0> args(env, info);
    static_cast<MappingHandle*>(args.state)->mapping.reset();
    return nullptr;
  });
}

napi_value mapFile(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    auto handle = std::make_shared<MappingHandle>();
    handle->mapping = std::make_shared<Mapping>(fromJs<std::string>(env, args.values[0]));
    const napi_value object = newObject(env);
    set(env, object, "size", toJs(env, double(handle->mapping->size())));
    setFunction(env, object, "view", viewMapping, handle);
    setFunction(env, object, "advise", adviseMapping, handle);
    setFunction(env, object, "close", closeMapping, handle);
    return object;
  });
}

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
  std::vector<napi_ref> held;        // the arrays that weights point into

  explicit BackendHandle(napi_env env) : env(env) {}
  BackendHandle(const BackendHandle&) = delete;
  BackendHandle& operator=(const BackendHandle&) = delete;
  // Also when nobody closed it and its functions were collected: the arrays must not stay for ever.
  ~BackendHandle() { release(); }

  void release() {
    backend.reset();
    for (const napi_ref array : held) napi_delete_reference(env, array);
    held.clear();
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

napi_value view(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().memory(fromJs<int32_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

// weight(type, rows, cols, parts: Uint8Array[], terms)
napi_value weight(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<5> args(env, info);
    auto* handle = static_cast<BackendHandle*>(args.state);
    Backend& backend = handle->open();
    const int32_t type = fromJs<int32_t>(env, args.values[0]);
    const int64_t rows = fromJs<int64_t>(env, args.values[1]), cols = fromJs<int64_t>(env, args.values[2]);
    const BlockSize block = blockSize(type);
    if (block.elements == 0 || rows < 1 || cols < 1 || cols % block.elements != 0 || cols > (int64_t(1) << 40) / rows) {
      throw Failure("ERR_ARGUMENT", "a weight of unknown type or impossible shape");
    }
    const size_t expected = size_t(rows) * size_t(cols / block.elements) * size_t(block.bytes);
    uint32_t count;
    check(napi_get_array_length(env, args.values[3], &count), "expected an array of Uint8Array");
    std::vector<const uint8_t*> parts;
    for (uint32_t i = 0; i < count; i++) {
      napi_value element;
      napi_typedarray_type kind;
      size_t length;
      void* data;
      check(napi_get_element(env, args.values[3], i, &element), "expected an array of Uint8Array");
      check(napi_get_typedarray_info(env, element, &kind, &length, &data, nullptr, nullptr), "expected an array of Uint8Array");
      if (kind != napi_uint8_array || length != expected) {
        throw Failure("ERR_ARGUMENT", "expected " + std::to_string(expected) + " bytes of weights, got " + std::to_string(length));
      }
      parts.push_back(static_cast<const uint8_t*>(data));
    }
    napi_ref held;
    const int32_t id = backend.addWeight(type, rows, cols, std::move(parts), fromJs<int32_t>(env, args.values[4]));
    check(napi_create_reference(env, args.values[3], 1, &held), "weights could not be held");
    handle->held.push_back(held);
    return toJs(env, double(id));
  });
}

// rotary(headSize, adjacent, frequencies: Float64Array, magnitude)
napi_value rotary(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<4> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    napi_typedarray_type kind;
    size_t length;
    void* data;
    check(napi_get_typedarray_info(env, args.values[2], &kind, &length, &data, nullptr, nullptr), "expected a Float64Array");
    if (kind != napi_float64_array) throw Failure("ERR_ARGUMENT", "expected a Float64Array");
    const auto* values = static_cast<const double*>(data);
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
    napi_typedarray_type kind;
    size_t length;
    void* data;
    check(napi_get_typedarray_info(env, args.values[0], &kind, &length, &data, nullptr, nullptr), "expected an Int32Array");
    if (kind != napi_int32_array || length != 2) throw Failure("ERR_ARGUMENT", "expected an Int32Array of two");
    napi_ref held;
    check(napi_create_reference(env, args.values[0], 1, &held), "numbers could not be held");
    handle->held.push_back(held);
    backend.watch(static_cast<const std::atomic<int32_t>*>(data));
    return nullptr;
  });
}

napi_value closeBackend(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<0> args(env, info);
    static_cast<BackendHandle*>(args.state)->release();
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
        {"view", view},
        {"weight", weight},
        {"rotary", rotary},
        {"watch", watch},
        {"close", closeBackend},
        {"resize", Method<&Backend::resize>::call},
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
        {"experts", Method<&Backend::experts>::call},
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
        {"zero", Method<&Backend::zero>::call},
        {"squares", Method<&Backend::squares>::call},
        {"adamw", Method<&Backend::adamw>::call},
        {"freeWeight", Method<&Backend::freeWeight>::call},
        {"freeMatrix", Method<&Backend::freeMatrix>::call},
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

NAPI_MODULE_INIT() {
  using namespace grok1;
  return guarded(env, [&] {
    const std::pair<const char*, napi_callback> functions[] = {
        {"mapFile", mapFile},           {"machine", describeMachine},      {"measureBandwidth", measure},
        {"createBackend", createBackend}, {"canMultiply", canMultiplyType}, {"canDecode", canDecodeType},
    };
    for (const auto& [name, callback] : functions) {
      napi_value function;
      check(napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function), "no function could be made");
      set(env, exports, name, function);
    }
    return exports;
  });
}
