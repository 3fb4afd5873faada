#include "addon-encoder.h"
#include "compensate.h"
#include "napi.h"
#include "quants.h"

namespace grok1 {

namespace {

constexpr int64_t kMostCols = int64_t(1) << 20;

template <class T>
T* writable(std::pair<const T*, size_t> array, int64_t length, const char* what) {
  if (int64_t(array.second) != length) throw Failure("ERR_ARGUMENT", what);
  return const_cast<T*>(array.first);
}

std::pair<const float*, size_t> floats(napi_env env, napi_value value) {
  return elements<float>(env, value, napi_float32_array, "expected a Float32Array");
}

const int32_t* orderOf(napi_env env, napi_value value, int64_t cols) {
  return writable(elements<int32_t>(env, value, napi_int32_array, "expected an Int32Array"), cols, "an order of another length");
}

int64_t colsOf(napi_env env, napi_value value) {
  const int64_t cols = fromJs<int64_t>(env, value);
  if (cols < 1 || cols > kMostCols) throw Failure("ERR_ARGUMENT", "no number of columns");
  return cols;
}

// compensatedGroup(type)
napi_value groupOfType(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<1> args(env, info);
    return toJs(env, double(compensatedGroup(fromJs<int32_t>(env, args.values[0]))));
  });
}

// gram(x: Float32Array, rows, cols, gram: Float32Array)
napi_value gram(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments<4> args(env, info);
    const Encoder& encoder = *static_cast<Encoder*>(args.state);
    ThreadPool& pool = encoder.threads();
    const int64_t rows = fromJs<int64_t>(env, args.values[1]), cols = colsOf(env, args.values[2]);
    if (rows < 0 || rows > (int64_t(1) << 31)) throw Failure("ERR_ARGUMENT", "no number of rows");
    const float* const x = writable(floats(env, args.values[0]), rows * cols, "inputs that do not fill rows");
    addGram(pool, encoder.isa, x, rows, cols, writable(floats(env, args.values[3]), cols * cols, "a sum of another size"));
    return nullptr;
  });
}

// factor(gram: Float32Array, order: Int32Array, cols, damping, factor: Float32Array)
napi_value factor(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<5> args(env, info);
    ThreadPool& pool = static_cast<Encoder*>(args.state)->threads();
    const int64_t cols = colsOf(env, args.values[2]);
    const float* const sums = writable(floats(env, args.values[0]), cols * cols, "a sum of another size");
    const int32_t* const order = orderOf(env, args.values[1], cols);
    for (int64_t i = 0; i < cols; i++) {
      if (order[i] < 0 || order[i] >= cols) throw Failure("ERR_ARGUMENT", "an order that is none");
    }
    float* const out = writable(floats(env, args.values[4]), cols * cols, "a factor of another size");
    return toJs(env, factorInverse(pool, sums, order, cols, fromJs<double>(env, args.values[3]), out));
  });
}

// compensate(from, bytes: Uint8Array, to, rows, cols, factor: Float32Array, order: Int32Array, out: Uint8Array, losses: Float64Array)
napi_value compensate(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments<9> args(env, info);
    const Encoder& encoder = *static_cast<Encoder*>(args.state);
    ThreadPool& pool = encoder.threads();
    const int32_t from = fromJs<int32_t>(env, args.values[0]), to = fromJs<int32_t>(env, args.values[2]);
    const int64_t rows = fromJs<int64_t>(env, args.values[3]), cols = colsOf(env, args.values[4]);
    const BlockSize in = blockSize(from), block = blockSize(to);
    if (in.elements == 0 || compensatedGroup(to) == 0) throw Failure("ERR_ARGUMENT", "a type that is not known here");
    if (rows < 0 || rows > (int64_t(1) << 31) || cols % in.elements != 0 || cols % block.elements != 0) {
      throw Failure("ERR_ARGUMENT", "rows that do not fill blocks");
    }
    const uint8_t* const bytes = writable(elements<uint8_t>(env, args.values[1], napi_uint8_array, "expected a Uint8Array"),
                                          rows * (cols / in.elements) * in.bytes, "rows and bytes that do not fit each other");
    uint8_t* const out = writable(elements<uint8_t>(env, args.values[7], napi_uint8_array, "expected a Uint8Array"),
                                  rows * (cols / block.elements) * block.bytes, "rows and bytes that do not fit each other");
    double* const losses = writable(elements<double>(env, args.values[8], napi_float64_array, "expected a Float64Array"), rows,
                                    "one loss a row");
    const float* const u = writable(floats(env, args.values[5]), cols * cols, "a factor of another size");
    const int32_t* const order = orderOf(env, args.values[6], cols);
    return toJs(env, double(compensateRows(pool, encoder.isa, from, bytes, to, rows, cols, u, order, out, losses)));
  });
}

}  // namespace

void setCompensation(napi_env env, napi_value object, const std::shared_ptr<Encoder>& encoder) {
  setFunction(env, object, "compensatedGroup", groupOfType, encoder);
  setFunction(env, object, "gram", gram, encoder);
  setFunction(env, object, "factor", factor, encoder);
  setFunction(env, object, "compensate", compensate, encoder);
}

}  // namespace grok1
