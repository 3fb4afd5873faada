// Gradient rules of elementwise operations and norms, the loss, and the optimizer, for one instruction set. Formulas are those of
// src/kernels/grad-ops.ts.
#include "gradients.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

GROK1_INLINE V squareRoot(V a) {
#if defined(__AVX512F__)
  return {_mm512_sqrt_ps(a.v)};
#elif defined(__AVX2__)
  return {_mm256_sqrt_ps(a.v)};
#elif defined(__aarch64__) && defined(GROK1_NEON)
  return {vsqrtq_f32(a.v)};
#else
  for (int i = 0; i < W; i++) a.v[i] = sqrtf(a.v[i]);
  return a;
#endif
}

GROK1_INLINE void put(float* out, V x, bool add) { store(out, add ? load(out) + x : x); }

static void scaleBackward(const float* x, float factor, float* out, bool add, int64_t n) {
  const V f = all(factor);
  for (int64_t i = 0; i < n; i += W) put(out + i, load(x + i) * f, add);
}

static void softcapBackward(const float* dOut, const float* y, float cap, float* out, bool add, int64_t n) {
  const V inverse = all(1 / cap), one = all(1.0f);
  for (int64_t i = 0; i < n; i += W) {
    const V t = load(y + i) * inverse;
    put(out + i, load(dOut + i) * (one - t * t), add);
  }
}

// f(x) and f'(x). Both activations are x s(x) with s a sigmoid of z = x, or of twice the argument of GELU's tanh.
GROK1_INLINE void activate(int activation, V x, V* value, V* slope) {
  const V one = all(1.0f);
  V minusZ, dz;
  if (activation == 0) {
    const V square = x * x;
    minusZ = x * fma(all(-2 * 0.7978845608028654f * 0.044715f), square, all(-2 * 0.7978845608028654f));
    dz = fma(all(2 * 0.7978845608028654f * 0.134145f), square, all(2 * 0.7978845608028654f));
  } else {
    minusZ = all(0.0f) - x;
    dz = one;
  }
  const V e = exp(minusZ), s = one / (one + e);
  *value = x * s;
  *slope = s * fma(x * dz, e * s, one);
}

static void gatedBackward(int activation, const float* dOut, const float* gate, const float* up, float* dGate, bool addGate,
                          float* dUp, bool addUp, int64_t n) {
  for (int64_t i = 0; i < n; i += W) {
    V f, slope;
    activate(activation, load(gate + i), &f, &slope);
    const V g = load(dOut + i), u = load(up + i);
    put(dGate + i, g * u * slope, addGate);
    put(dUp + i, g * f, addUp);
  }
}

static float expertRow(int activation, float weight, const float* dInner, float* gate, float* up, float* inner, int64_t n) {
  V along = all(0.0f);
  const V w = all(weight);
  for (int64_t i = 0; i < n; i += W) {
    V f, slope;
    activate(activation, loadPart(gate, i, n, all(0.0f)), &f, &slope);
    const V u = loadPart(up, i, n, all(0.0f)), d = loadPart(dInner, i, n, all(0.0f)), a = f * u, g = w * d;
    along = fma(d, a, along);
    store(inner + i, a);
    store(gate + i, g * u * slope);
    store(up + i, g * f);
  }
  return sum(along);
}

static void rmsNormBackward(const float* dOut, const float* x, const float* gain, float eps, float* dx, bool add, float* dGain,
                            int64_t rows, int64_t cols) {
  const int64_t whole = cols / W * W;
  for (int64_t r = 0; r < rows; r++, dOut += cols, x += cols) {
    V squares = all(0.0f), along = all(0.0f);
    for (int64_t i = 0; i < whole; i += W) {
      const V v = load(x + i);
      squares = fma(v, v, squares);
      along = fma(load(gain + i) * load(dOut + i), v, along);
    }
    double total = double(sum(squares)), dot = double(sum(along));
    for (int64_t i = whole; i < cols; i++) {
      total += double(x[i]) * double(x[i]);
      dot += double(gain[i]) * double(dOut[i]) * double(x[i]);
    }
    const double inverse = 1.0 / sqrt(total / double(cols) + double(eps));
    const float f = float(inverse), back = float(inverse * inverse * inverse * dot / double(cols));
    const V factor = all(f), pull = all(back);
    if (dx != nullptr) {
      for (int64_t i = 0; i < whole; i += W) put(dx + i, factor * load(gain + i) * load(dOut + i) - pull * load(x + i), add);
      for (int64_t i = whole; i < cols; i++) {
        const float value = f * gain[i] * dOut[i] - back * x[i];
        dx[i] = add ? dx[i] + value : value;
      }
      dx += cols;
    }
    if (dGain != nullptr) {
      for (int64_t i = 0; i < whole; i += W) put(dGain + i, factor * load(dOut + i) * load(x + i), true);
      for (int64_t i = whole; i < cols; i++) dGain[i] += f * dOut[i] * x[i];
    }
  }
}

static void ropeBackward(const float* dOut, float* out, const float* cos, const float* sin, int heads, int headSize, int pairs,
                         bool adjacent, bool add) {
  for (int h = 0; h < heads; h++, dOut += headSize, out += headSize) {
    int i = 0;
    if (!adjacent) {
      for (; i + W <= pairs; i += W) {
        const V a = load(dOut + i), b = load(dOut + pairs + i), c = load(cos + i), s = load(sin + i);
        put(out + i, a * c + b * s, add);
        put(out + pairs + i, b * c - a * s, add);
      }
    }
    for (; i < pairs; i++) {
      const int j = adjacent ? 2 * i : i, k = adjacent ? 2 * i + 1 : pairs + i;
      const float a = dOut[j], b = dOut[k];
      const float x = a * cos[i] + b * sin[i], y = b * cos[i] - a * sin[i];
      out[j] = add ? out[j] + x : x;
      out[k] = add ? out[k] + y : y;
    }
    for (int d = 2 * pairs; d < headSize; d++) out[d] = add ? out[d] + dOut[d] : dOut[d];
  }
}

static double crossEntropy(const float* x, int64_t n, int64_t target, double weight, float* out) {
  const int64_t whole = n / W * W;
  const double wanted = double(x[target]);
  V most16 = all(floatOf(0xff800000));
  for (int64_t i = 0; i < whole; i += W) most16 = max(most16, load(x + i));
  float top = most(most16);
  for (int64_t i = whole; i < n; i++) top = x[i] > top ? x[i] : top;
  // Lanes pass through double now and then, so that a large vocabulary loses no digits.
  double total = 0;
  const V highest = all(top);
  for (int64_t from = 0; from < n; from += 1024) {
    const int64_t end = from + 1024 < whole ? from + 1024 : whole;
    V lanes = all(0.0f);
    int64_t i = from;
    for (; i < end; i += W) {
      const V e = exp(load(x + i) - highest);
      lanes = lanes + e;
      if (out != nullptr) store(out + i, e);
    }
    total += double(sum(lanes));
    for (; i < n && i < from + 1024; i++) {
      float e[W];
      store(e, exp(all(x[i]) - highest));
      total += double(e[0]);
      if (out != nullptr) out[i] = e[0];
    }
  }
  if (out != nullptr) {
    const float share = float(weight / total);
    for (int64_t i = 0; i < whole; i += W) store(out + i, load(out + i) * all(share));
    for (int64_t i = whole; i < n; i++) out[i] *= share;
    out[target] = float(double(out[target]) - weight);
  }
  return weight * (double(top) + log(total) - wanted);
}

static double squares(const float* x, int64_t n) {
  const int64_t whole = n / W * W;
  double total = 0;
  for (int64_t i = 0; i < whole;) {
    const int64_t end = i + 512 < whole ? i + 512 : whole;
    V lanes = all(0.0f);
    for (; i < end; i += W) lanes = fma(load(x + i), load(x + i), lanes);
    total += double(sum(lanes));
  }
  for (int64_t i = whole; i < n; i++) total += double(x[i]) * double(x[i]);
  return total;
}

static void adamw(const AdamwCall& call, float* values, const float* gradient, float* mean, float* variance, int64_t n) {
  const V keep = all(call.keep), beta1 = all(call.beta1), beta2 = all(call.beta2), fresh1 = all(call.fresh1), fresh2 = all(call.fresh2);
  const V rate = all(call.rate), bias = all(call.varianceBias), epsilon = all(call.epsilon), factor = all(call.factor);
  for (int64_t i = 0; i < n; i += W) {
    const V g = factor * load(gradient + i);
    const V m = fma(beta1, load(mean + i), fresh1 * g), v = fma(beta2, load(variance + i), fresh2 * g * g);
    store(mean + i, m);
    store(variance + i, v);
    store(values + i, keep * load(values + i) - rate * m / (squareRoot(v * bias) + epsilon));
  }
}

}  // namespace grok1::GROK1_ISA
