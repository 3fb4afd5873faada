#include "addon-encoder.h"

#include "addon-backend.h"
#include "columns.h"
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

// Checked sizes of a panel and of the columns that are turned.
struct Turn {
  int64_t rows, count, from, to, groups, stride;

  // `elementBytes` of the panel, `scales` in all, `outBytes` of a row of the result.
  void check(size_t bytes, int64_t elementBytes, size_t scales, size_t out, int64_t outBytes) const {
    const int64_t most = int64_t(1) << 40;
    if (rows < 1 || rows > most || count < 1 || count > most / rows || from < 0 || from > to || to > count || groups < 1 ||
        rows % groups != 0 || stride < count || stride > most || groups > most / stride ||
        int64_t(bytes) != rows * count * elementBytes || (scales != 0 && int64_t(scales) < (groups - 1) * stride + count) ||
        int64_t(out) != (to - from) * outBytes) {
      throw Failure("ERR_ARGUMENT", "columns, scales and rows that do not fit each other");
    }
  }
};

Turn turnOf(napi_env env, const napi_value* values) {
  return {fromJs<int64_t>(env, values[0]), fromJs<int64_t>(env, values[1]), fromJs<int64_t>(env, values[2]),
          fromJs<int64_t>(env, values[3]), fromJs<int64_t>(env, values[4]), fromJs<int64_t>(env, values[5])};
}

// turn(type, bytes: Uint8Array, rows, count, from, to, groups, stride, scales: Float32Array, out: Float32Array)
napi_value turn(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<10> args(env, info);
    const Encoder& encoder = *static_cast<Encoder*>(args.state);
    if (!encoder.pool) throw Failure("ERR_CLOSED", "the encoder is closed");
    const int32_t type = fromJs<int32_t>(env, args.values[0]);
    const int64_t elementBytes = turnedBytes(type);
    if (elementBytes == 0) throw Failure("ERR_ARGUMENT", "a type that is not known here");
    const auto [bytes, length] = elements<uint8_t>(env, args.values[1], napi_uint8_array, "expected a Uint8Array");
    const Turn turn = turnOf(env, args.values + 2);
    const auto [scales, known] = elements<float>(env, args.values[8], napi_float32_array, "expected a Float32Array");
    const auto [out, room] = elements<float>(env, args.values[9], napi_float32_array, "expected a Float32Array");
    turn.check(length, elementBytes, known, room, turn.rows);
    turnColumns(*encoder.pool, type, bytes, turn.rows, turn.count, turn.from, turn.to,
                {known == 0 ? nullptr : scales, turn.groups, turn.stride}, const_cast<float*>(out));
    return nullptr;
  });
}

// turnToQ8(bytes: Uint8Array, rows, count, from, to, groups, stride, scales: Uint16Array, out: Uint8Array)
napi_value turnToQ8(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<9> args(env, info);
    const Encoder& encoder = *static_cast<Encoder*>(args.state);
    if (!encoder.pool) throw Failure("ERR_CLOSED", "the encoder is closed");
    const auto [bytes, length] = elements<uint8_t>(env, args.values[0], napi_uint8_array, "expected a Uint8Array");
    const Turn turn = turnOf(env, args.values + 1);
    const auto [scales, known] = elements<uint16_t>(env, args.values[7], napi_uint16_array, "expected a Uint16Array");
    const auto [out, room] = elements<uint8_t>(env, args.values[8], napi_uint8_array, "expected a Uint8Array");
    if (turn.groups < 1 || turn.rows % turn.groups != 0 || turn.rows / turn.groups % 32 != 0 || known == 0) {
      throw Failure("ERR_ARGUMENT", "blocks that lie in several groups");
    }
    turn.check(length, 1, known, room, turn.rows / 32 * 34);
    turnColumnsToQ8(*encoder.pool, bytes, turn.rows, turn.count, turn.from, turn.to, {scales, turn.groups, turn.stride},
                    const_cast<uint8_t*>(out));
    return nullptr;
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
    setFunction(env, object, "turn", turn, encoder);
    setFunction(env, object, "turnToQ8", turnToQ8, encoder);
    setFunction(env, object, "close", closeEncoder, encoder);
    return object;
  });
}

}  // namespace grok1
