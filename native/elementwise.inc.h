// Elementwise operations, norms, rotary embedding and softmax, for one instruction set.
#include "ops.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

static void add(const float* a, const float* b, float* out, int64_t n) {
  for (int64_t i = 0; i < n; i += W) store(out + i, load(a + i) + load(b + i));
}

static void scale(const float* x, float factor, float* out, int64_t n) {
  const V f = all(factor);
  for (int64_t i = 0; i < n; i += W) store(out + i, load(x + i) * f);
}

static void softcap(const float* x, float cap, float* out, int64_t n) {
  const V c = all(cap);
  for (int64_t i = 0; i < n; i += W) store(out + i, c * tanh(load(x + i) / c));
}

// Both activations are x * sigmoid(s): 1 + tanh(z) = 2 sigmoid(2z), which loses no digits where tanh is near -1.
static void gated(int activation, const float* gate, const float* up, float* out, int64_t n) {
  const V one = all(1.0f);
  if (activation == 0) {
    const V a = all(-2 * 0.7978845608028654f), b = all(-2 * 0.7978845608028654f * 0.044715f);
    for (int64_t i = 0; i < n; i += W) {
      const V x = load(gate + i);
      store(out + i, x / (one + exp(x * fma(b, x * x, a))) * load(up + i));
    }
  } else {
    for (int64_t i = 0; i < n; i += W) {
      const V x = load(gate + i);
      store(out + i, x / (one + exp(all(0.0f) - x)) * load(up + i));
    }
  }
}

static void rmsNorm(const float* x, const float* gain, float eps, float* out, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r++, x += cols, out += cols) {
    V s0 = all(0), s1 = s0, s2 = s0, s3 = s0;
    int64_t i = 0;
    for (; i + 4 * W <= cols; i += 4 * W) {
      const V a = load(x + i), b = load(x + i + W), c = load(x + i + 2 * W), d = load(x + i + 3 * W);
      s0 = fma(a, a, s0);
      s1 = fma(b, b, s1);
      s2 = fma(c, c, s2);
      s3 = fma(d, d, s3);
    }
    double squares = double(sum((s0 + s1) + (s2 + s3)));
    for (; i < cols; i++) squares += double(x[i]) * double(x[i]);
    const float factor = float(1.0 / sqrt(squares / double(cols) + double(eps)));
    const V f = all(factor);
    for (i = 0; i + W <= cols; i += W) store(out + i, load(x + i) * f * load(gain + i));
    for (; i < cols; i++) out[i] = x[i] * factor * gain[i];
  }
}

static void rope(const float* x, float* out, const float* cos, const float* sin, int heads, int headSize, int pairs,
                 bool adjacent) {
  for (int h = 0; h < heads; h++, x += headSize, out += headSize) {
    if (adjacent) {
      for (int i = 0; i < pairs; i++) {
        const float a = x[2 * i], b = x[2 * i + 1];
        out[2 * i] = a * cos[i] - b * sin[i];
        out[2 * i + 1] = a * sin[i] + b * cos[i];
      }
    } else {
      int i = 0;
      for (; i + W <= pairs; i += W) {
        const V a = load(x + i), b = load(x + pairs + i), c = load(cos + i), s = load(sin + i);
        store(out + i, a * c - b * s);
        store(out + pairs + i, a * s + b * c);
      }
      for (; i < pairs; i++) {
        const float a = x[i], b = x[pairs + i];
        out[i] = a * cos[i] - b * sin[i];
        out[pairs + i] = a * sin[i] + b * cos[i];
      }
    }
    for (int i = 2 * pairs; i < headSize; i++) out[i] = x[i];
  }
}

static void softmax(const float* x, float* out, int64_t n) {
  float highest = x[0];
  for (int64_t i = 1; i < n; i++) highest = x[i] > highest ? x[i] : highest;
  const V top = all(highest);
  double total = 0;
  for (int64_t i = 0; i < n; i += W) {
    const int lanes = n - i < W ? int(n - i) : W;
    float e[W];
    if (lanes == W) {
      store(e, exp(load(x + i) - top));
    } else {
      float padded[W] = {};
      for (int j = 0; j < lanes; j++) padded[j] = x[i + j];
      store(e, exp(load(padded) - top));
    }
    for (int j = 0; j < lanes; j++) {
      out[i + j] = e[j];
      total += double(e[j]);
    }
  }
  const float inverse = float(1.0 / total);
  for (int64_t i = 0; i < n; i++) out[i] *= inverse;
}

}  // namespace grok1::GROK1_ISA
