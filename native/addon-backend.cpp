// A backend as a JavaScript object. Only glue: store.h, inference.h and training.h declare what is done, src/addon-backend.ts says it for
// TypeScript, and test/house/native-boundary.test.ts holds the two together.
#include "addon-backend.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "training.h"

namespace grok1 {

namespace {

using Backend = Training;

struct BackendHandle {
  napi_env env;
  std::unique_ptr<Backend> backend;  // empty once closed
  napi_ref watched = nullptr;        // keeps the numbers that the backend looks at

  // A thread that is ended in the middle ends its readers first: what they would settle promises with goes before objects do.
  explicit BackendHandle(napi_env env) : env(env) { check(napi_add_env_cleanup_hook(env, closeAtEnd, this), "no hook could be set"); }
  BackendHandle(const BackendHandle&) = delete;
  BackendHandle& operator=(const BackendHandle&) = delete;
  // Also when nobody closed it and its functions were collected: the numbers must not stay for ever.
  ~BackendHandle() {
    napi_remove_env_cleanup_hook(env, closeAtEnd, this);
    close();
  }

  static void closeAtEnd(void* handle) { static_cast<BackendHandle*>(handle)->close(); }

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

// A method of the backend as a JavaScript function: numbers in, a number or nothing out.
template <auto M>
struct Method;

template <class Owner, class R, class... A, R (Owner::*M)(A...)>
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

// control(length)
napi_value control(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().control(fromJs<int64_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

// batch(length)
napi_value batch(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().batch(fromJs<int64_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
}

// view(id)
napi_value view(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    const auto memory = static_cast<BackendHandle*>(args.state)->open().memory(fromJs<int32_t>(env, args.values[0]));
    return bufferOn(env, memory, memory->data(), memory->size());
  });
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
struct Reading {
  napi_deferred deferred = nullptr;
  napi_threadsafe_function settle = nullptr;
  Readers::Outcome outcome{Readers::Outcome::dropped};
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now(), ended = began;
};

// An error's code and what is said of it.
std::pair<const char*, std::string> reasonOf(const Readers::Outcome& outcome) {
  if (outcome.kind == Readers::Outcome::dropped) return {"ERR_CLOSED", "it is not wanted any more, or the backend is closed"};
  if (outcome.error == Readers::kEnded) return {"ERR_ENDED", "the file became shorter after it was opened"};
  return {"EIO", std::string("the system could not read them: ") + std::strerror(outcome.error)};
}

// As an Error, with the place and the drive that it is of.
bool errorOf(napi_env env, const Readers::Outcome& outcome, napi_value* error) {
  napi_value code, message, at, drive;
  const auto [name, what] = reasonOf(outcome);
  return napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) == napi_ok &&
         napi_create_string_utf8(env, what.c_str(), what.size(), &message) == napi_ok && napi_create_error(env, code, message, error) == napi_ok &&
         napi_create_double(env, double(outcome.at), &at) == napi_ok && napi_set_named_property(env, *error, "at", at) == napi_ok &&
         napi_create_double(env, double(outcome.drive), &drive) == napi_ok && napi_set_named_property(env, *error, "drive", drive) == napi_ok;
}

void settleReading(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Reading> reading(static_cast<Reading*>(data));
  if (env == nullptr) return;  // the thread is ending
  const Readers::Outcome& outcome = reading->outcome;
  napi_value result, took, fault;
  if (outcome.kind != Readers::Outcome::read) {
    if (errorOf(env, outcome, &result)) napi_reject_deferred(env, reading->deferred, result);
    return;
  }
  const std::chrono::duration<double, std::milli> milliseconds = reading->ended - reading->began;
  if (napi_create_object(env, &result) != napi_ok || napi_create_double(env, milliseconds.count(), &took) != napi_ok) return;
  if (napi_set_named_property(env, result, "took", took) != napi_ok) return;
  if (outcome.error != 0 && errorOf(env, outcome, &fault)) napi_set_named_property(env, result, "fault", fault);
  napi_resolve_deferred(env, reading->deferred, result);
}

// A promise of what readers were told to do: `begin` is called with what they are to tell when it is done.
template <class Begin>
napi_value promised(napi_env env, const Begin& begin) {
  napi_value promise, name;
  auto state = std::make_unique<Reading>();
  check(napi_create_string_utf8(env, "grok1 reading", NAPI_AUTO_LENGTH, &name), "no string could be made");
  check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, settleReading, &state->settle),
        "no call from another thread could be prepared");
  try {
    check(napi_create_promise(env, &state->deferred, &promise), "no promise could be made");
    begin([raw = state.get()](const Readers::Outcome& outcome) {
      raw->outcome = outcome;
      raw->ended = std::chrono::steady_clock::now();
      const napi_threadsafe_function settle = raw->settle;
      if (napi_call_threadsafe_function(settle, raw, napi_tsfn_blocking) == napi_ok) {
        napi_release_threadsafe_function(settle, napi_tsfn_release);
      } else {
        delete raw;  // the thread is ending, and with the refusal the function was given up
      }
    });
  } catch (...) {
    // Nothing was begun, and nobody will settle it: a promise that nobody has is let go when it is.
    napi_release_threadsafe_function(state->settle, napi_tsfn_abort);
    if (state->deferred != nullptr && napi_get_undefined(env, &name) == napi_ok) napi_resolve_deferred(env, state->deferred, name);
    throw;
  }
  state.release();  // whoever settles it has it
  return promise;
}

// fetch(weight, matrix): a promise
napi_value fetch(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const int32_t weight = fromJs<int32_t>(env, args.values[0]), matrix = fromJs<int32_t>(env, args.values[1]);
    return promised(env, [&](Readers::Done done) { backend.fetch(weight, matrix, std::move(done)); });
  });
}

// load(source, offset, bytes, slot, at, ahead): a promise
napi_value load(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<6> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const int32_t source = fromJs<int32_t>(env, args.values[0]), slot = fromJs<int32_t>(env, args.values[3]);
    const int64_t offset = fromJs<int64_t>(env, args.values[1]), bytes = fromJs<int64_t>(env, args.values[2]), at = fromJs<int64_t>(env, args.values[4]);
    const bool ahead = fromJs<bool>(env, args.values[5]);
    return promised(env, [&](Readers::Done done) { backend.load(source, offset, bytes, slot, at, ahead, std::move(done)); });
  });
}

// offer(slots: Int32Array)
napi_value offer(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<1> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [slots, length] = elements<int32_t>(env, args.values[0], napi_int32_array, "expected an Int32Array");
    backend.offer(slots, length);
    return nullptr;
  });
}

// guard(groups, reserve): a line for each group, of its two files and its limit with tabs between them
napi_value guard(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<2> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    std::vector<MemoryGroup> groups;
    std::istringstream lines(fromJs<std::string>(env, args.values[0]));
    for (MemoryGroup group; std::getline(std::getline(lines, group.usage, '\t'), group.statistics, '\t') >> group.limit >> std::ws;) {
      groups.push_back(group);
    }
    backend.guard(std::move(groups), fromJs<int64_t>(env, args.values[1]));
    return nullptr;
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

// readPage(cache, page, bytes: Uint8Array)
napi_value readPage(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<3> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [data, length] = elements<uint8_t>(env, args.values[2], napi_uint8_array, "expected a Uint8Array");
    // The caller's own memory, to be written to.
    auto* bytes = const_cast<uint8_t*>(data);
    backend.readPage(fromJs<int32_t>(env, args.values[0]), fromJs<int32_t>(env, args.values[1]), bytes, length);
    return nullptr;
  });
}

// writePage(cache, page, bytes: Uint8Array)
napi_value writePage(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<3> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [data, length] = elements<uint8_t>(env, args.values[2], napi_uint8_array, "expected a Uint8Array");
    backend.writePage(fromJs<int32_t>(env, args.values[0]), fromJs<int32_t>(env, args.values[1]), data, length);
    return nullptr;
  });
}

// weight(ggmlType, rows, cols, digits, places: Float64Array of source and offset for each matrix)
napi_value weight(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<5> args(env, info);
    Backend& backend = static_cast<BackendHandle*>(args.state)->open();
    const auto [numbers, length] = elements<double>(env, args.values[4], napi_float64_array, "expected a Float64Array");
    std::vector<Store::Place> places;
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

}  // namespace

Isa isaNamed(const std::string& name) {
  if (name == "best") return bestIsa();
  for (const Isa each : kIsas) {
    if (name == isaName(each) && isaUsable(each)) return each;
  }
  throw Failure("ERR_ARGUMENT", "this processor or this build has no instruction set named " + name);
}

napi_value createBackend(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    const int32_t threads = fromJs<int32_t>(env, args.values[0]);
    const std::string name = fromJs<std::string>(env, args.values[1]);
    if (threads < 1 || threads > 1024) throw Failure("ERR_ARGUMENT", "expected 1 to 1024 threads");
    const Isa isa = isaNamed(name);
    const auto handle = std::make_shared<BackendHandle>(env);
    handle->backend = std::make_unique<Backend>(threads, isa);
    const napi_value object = newObject(env);
    set(env, object, "threads", toJs(env, double(handle->backend->threads())));
    set(env, object, "isa", toJs(env, std::string(isaName(isa))));
    const std::pair<const char*, napi_callback> functions[] = {
        {"control", control},
        {"batch", batch},
        {"begin", Method<&Inference::begin>::call},
        {"view", view},
        {"part", part},
        {"copy", copy},
        {"fetch", fetch},
        {"load", load},
        {"offer", offer},
        {"guard", guard},
        {"hold", Method<&Store::hold>::call},
        {"letGo", Method<&Store::letGo>::call},
        {"dropped", Method<&Store::dropped>::call},
        {"drops", Method<&Store::drops>::call},
        {"weight", weight},
        {"rotary", rotary},
        {"watch", watch},
        {"close", closeBackend},
        {"resize", Method<&Store::resize>::call},
        {"freeMatrix", Method<&Store::freeMatrix>::call},
        {"freeScratch", Method<&Inference::freeScratch>::call},
        {"map", Method<&Store::map>::call},
        {"release", Method<&Store::release>::call},
        {"open", Method<&Store::open>::call},
        {"addCopy", Method<&Store::addCopy>::call},
        {"rate", Method<&Store::rate>::call},
        {"slot", Method<&Store::addSlot>::call},
        {"freeSlot", Method<&Store::freeSlot>::call},
        {"hurry", Method<&Store::hurry>::call},
        {"drop", Method<&Store::drop>::call},
        {"place", Method<&Store::place>::call},
        {"cache", Method<&Inference::addCache>::call},
        {"freeCache", Method<&Inference::freeCache>::call},
        {"copyPage", Method<&Inference::copyPage>::call},
        {"pageBytes", Method<&Inference::pageBytes>::call},
        {"readPage", readPage},
        {"writePage", writePage},
        {"store", Method<&Inference::store>::call},
        {"attention", Method<&Inference::attention>::call},
        {"embed", Method<&Inference::embed>::call},
        {"rows", Method<&Inference::rows>::call},
        {"rmsNorm", Method<&Inference::rmsNorm>::call},
        {"matmul", Method<&Inference::matmul>::call},
        {"rope", Method<&Inference::rope>::call},
        {"add", Method<&Inference::add>::call},
        {"scale", Method<&Inference::scale>::call},
        {"softcap", Method<&Inference::softcap>::call},
        {"gated", Method<&Inference::gated>::call},
        {"route", Method<&Inference::route>::call},
        {"topK", Method<&Inference::topK>::call},
        {"logprobs", Method<&Inference::logprobs>::call},
        {"experts", Method<&Inference::experts>::call},
        {"expertParts", Method<&Inference::expertParts>::call},
        {"sumExperts", Method<&Inference::sumExperts>::call},
        {"missing", Method<&Store::missing>::call},
        {"addLowRank", Method<&Inference::addLowRank>::call},
        {"parameter", Method<&Training::addParameter>::call},
        {"adapted", Method<&Training::addAdapted>::call},
        {"product", Method<&Training::product>::call},
        {"matmulBackward", Method<&Training::matmulBackward>::call},
        {"productExperts", Method<&Training::productExperts>::call},
        {"expertsBackward", Method<&Training::expertsBackward>::call},
        {"embedBackward", Method<&Training::embedBackward>::call},
        {"rowsBackward", Method<&Training::rowsBackward>::call},
        {"rmsNormBackward", Method<&Training::rmsNormBackward>::call},
        {"ropeBackward", Method<&Training::ropeBackward>::call},
        {"selfAttention", Method<&Training::selfAttention>::call},
        {"selfAttentionBackward", Method<&Training::selfAttentionBackward>::call},
        {"scaleBackward", Method<&Training::scaleBackward>::call},
        {"softcapBackward", Method<&Training::softcapBackward>::call},
        {"gatedBackward", Method<&Training::gatedBackward>::call},
        {"routeBackward", Method<&Training::routeBackward>::call},
        {"crossEntropy", Method<&Training::crossEntropy>::call},
        {"zeroGradient", Method<&Training::zeroGradient>::call},
        {"gradientSquares", Method<&Training::gradientSquares>::call},
        {"adamw", Method<&Training::adamw>::call},
        {"freeWeight", Method<&Store::freeWeight>::call},
    };
    for (const auto& [functionName, callback] : functions) setFunction(env, object, functionName, callback, handle);
    return object;
  });
}

}  // namespace grok1
