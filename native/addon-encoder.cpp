#include "addon-encoder.h"

#include "addon-backend.h"
#include "encode.h"
#include "napi.h"
#include "quants.h"

namespace grok1 {

ThreadPool& Encoder::threads() const {
  if (!pool) throw Failure("ERR_CLOSED", "the encoder is closed");
  return *pool;
}

namespace {

// encode(from, bytes: Uint8Array, to, rows, cols, importance: Float32Array, out: Uint8Array)
napi_value encode(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<7> args(env, info);
    const Encoder& encoder = *static_cast<Encoder*>(args.state);
    ThreadPool& pool = encoder.threads();
    const int32_t from = fromJs<int32_t>(env, args.values[0]), to = fromJs<int32_t>(env, args.values[2]);
    const int64_t rows = fromJs<int64_t>(env, args.values[3]), cols = fromJs<int64_t>(env, args.values[4]);
    const auto [bytes, length] = elements<uint8_t>(env, args.values[1], napi_uint8_array, "expected a Uint8Array");
    const auto [importance, weights] = elements<float>(env, args.values[5], napi_float32_array, "expected a Float32Array");
    const auto [out, room] = elements<uint8_t>(env, args.values[6], napi_uint8_array, "expected a Uint8Array");
    const BlockSize in = blockSize(from), block = blockSize(to);
    if (in.elements == 0 || !canEncode(to)) throw Failure("ERR_ARGUMENT", "a type that is not known here");
    if (rows < 0 || cols < 1 || cols > (int64_t(1) << 31) || cols % in.elements != 0 || cols % block.elements != 0 ||
        rows > (int64_t(1) << 53) / cols || int64_t(length) != rows * (cols / in.elements) * in.bytes ||
        int64_t(room) != rows * (cols / block.elements) * block.bytes || (weights != 0 && int64_t(weights) != cols)) {
      throw Failure("ERR_ARGUMENT", "rows, bytes and importance that do not fit each other");
    }
    return toJs(env, double(encodeRows(pool, encoder.isa, from, bytes, to, rows, cols, weights == 0 ? nullptr : importance,
                                       const_cast<uint8_t*>(out))));
  });
}

napi_value closeEncoder(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<0> args(env, info);
    static_cast<Encoder*>(args.state)->pool.reset();
    return nullptr;
  });
}

}  // namespace

napi_value createEncoder(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<2> args(env, info);
    const int32_t threads = fromJs<int32_t>(env, args.values[0]);
    if (threads < 1 || threads > 1024) throw Failure("ERR_ARGUMENT", "expected 1 to 1024 threads");
    const Isa isa = isaNamed(fromJs<std::string>(env, args.values[1]));
    const auto encoder = std::make_shared<Encoder>(Encoder{isa, std::make_unique<ThreadPool>(threads)});
    const napi_value object = newObject(env);
    set(env, object, "threads", toJs(env, double(encoder->pool->size())));
    setFunction(env, object, "encode", encode, encoder);
    setCompensation(env, object, encoder);
    setFunction(env, object, "close", closeEncoder, encoder);
    return object;
  });
}

}  // namespace grok1
